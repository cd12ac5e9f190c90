/**
 * One consumer of the port. Everything it has to say goes into one request, `work`: what was settled since the last one, how
 * much it can take, and that it is alive. One request is under way at a time; what is settled meanwhile goes with the next.
 *
 * ```text
 *  joining ──▶ working ──cancel──▶ resting ──all settled──▶ gone
 *     ▲           │
 *     └── lost ───┘   the lease ran out: what it held is lost, and it joins anew under another name
 * ```
 *
 * Nobody polls: a consumer that found too little is told when there is more, and comes by itself when something is due, and
 * now and then to renew its lease.
 */
import { ClosedError, MillraceError } from '../../model/errors.ts'
import type * as port from '../../client/driver.ts'
import type { ConsumerSetup } from './consumer-setup.ts'
import { deliveriesOf } from './delivery.ts'
import type { RedisDelivery } from './delivery.ts'
import { joinQueue } from './join.ts'
import { Lease, longestTimerMs } from './lease.ts'
import type { Argument, Reply } from './node-redis.ts'
import { assertDelay } from './outbound.ts'
import { ReadAhead } from './read-ahead.ts'
import { Settling } from './settling.ts'
import { within } from './within.ts'

/** Deliveries that one request brings at most, so that the server is not kept from others. */
const maximumClaim = 512
/** Parts of the lease: how often it is renewed, and how much of it the server renews at least to. */
const renewals = 3
const surePart = 0.9
/** What the server is told at the end may take so long. */
const farewellMs = 2_000

export class Consumer implements port.Consumer {
  readonly #setup: ConsumerSetup
  #name = ''
  #number = 0
  #prefetch: number
  readonly #held = new Set<RedisDelivery>()
  /** What of it is not handed out yet. */
  readonly #ahead = new ReadAhead((delivery) => this.#giveBack(delivery))
  #settling = new Settling()
  /** There may be something to take. */
  #hungry = true
  #underWay: Promise<void> | undefined
  #scheduled = false
  #state: 'joining' | 'working' | 'resting' | 'gone' = 'joining'
  #timer: NodeJS.Timeout | undefined
  readonly #lease = new Lease(() => this.#lapse())
  /** The lease has run out as far as we can tell, with nothing or something in somebody's hands. */
  #lapsed: false | 'idle' | 'handling' = false
  #onIdle: (() => void)[] = []
  #expiresMs = 0

  constructor(setup: ConsumerSetup) {
    this.#setup = setup
    this.#prefetch = setup.options.prefetch
  }

  get queue(): string {
    return this.#setup.queue
  }

  /** How long the queue stays when nobody uses it; 0: for ever. */
  get expiresMs(): number {
    return this.#expiresMs
  }

  /** @throws MillraceError NOT_FOUND, ACCESS_REFUSED, RESOURCE_LOCKED */
  async begin(): Promise<void> {
    await this.#join()
    this.#state = 'working'
    this.#schedule()
  }

  setPrefetch(prefetch: number): void {
    this.#prefetch = prefetch
    this.#handOut()
    this.wake()
  }

  async cancel(): Promise<void> {
    if (this.#state !== 'working' && this.#state !== 'joining') return
    this.#state = 'resting'
    this.#ahead.stop()
    // A server that is away is told when it is back, or finds out by the lease.
    await within(farewellMs, this.#rest())
  }

  /** Resolves when nothing is held any more and all is told. */
  async whenIdle(): Promise<void> {
    if (this.isBusy) await new Promise<void>((resolve) => this.#onIdle.push(resolve))
  }

  /** Hands back what is held. Waits for no more than what is under way. */
  async close(): Promise<void> {
    if (this.#state === 'gone') return
    this.#state = 'resting'
    while (this.#underWay !== undefined) await this.#underWay
    if (this.#settling.size > 0) await this.#request().catch(() => undefined)
    this.#loseAll(new ClosedError('The consumer was closed'))
    await this.#leave()
  }

  /** There is something to take. */
  wake(): void {
    this.#hungry = true
    this.#schedule()
  }

  acknowledge(delivery: RedisDelivery): Promise<boolean> {
    if (delivery.holder !== this.#name) return Promise.resolve(false)
    const settled = this.#settling.acknowledge(delivery)
    this.#settled(delivery, true)
    return settled
  }

  async settle(
    delivery: RedisDelivery,
    outcome: port.Outcome,
    out: readonly port.Outgoing[] | undefined,
  ): Promise<boolean> {
    if (outcome.type === 'retry' || outcome.type === 'release') assertDelay(outcome.delayMs ?? 0)
    if (out !== undefined && out.length > 0) await this.#setup.publish(out)
    if (delivery.holder !== this.#name) return false
    const isAck = outcome.type === 'ack'
    const settled = isAck ? this.#settling.acknowledge(delivery) : this.#settling.settle(delivery, outcome)
    this.#settled(delivery, isAck)
    return settled
  }

  async extend(delivery: RedisDelivery, ms: number): Promise<boolean> {
    if (delivery.holder !== this.#name) return false
    const sentAtMs = performance.now()
    const kept = await this.#call('extend', [this.#name, String(Math.ceil(ms))])
    if (kept === 1) this.#lease.holds(sentAtMs, ms)
    return kept === 1
  }

  /** Something is held, or to be told. */
  get isBusy(): boolean {
    return this.#held.size > 0 || this.#settling.size > 0 || this.#underWay !== undefined
  }

  #settled(delivery: RedisDelivery, isAck: boolean): void {
    this.#held.delete(delivery)
    const mayBeQuick = isAck && this.#setup.options.readAhead === true
    this.#ahead.settled(mayBeQuick ? performance.now() - delivery.handedOutMs : Infinity)
    // Not within the call of who settles: it may not count itself as done before that returns, or has just begun to cancel.
    if (this.#ahead.waiting > 0) queueMicrotask(() => this.#handOut())
    this.#schedule()
  }

  #giveBack(delivery: RedisDelivery): void {
    delivery.settle({ type: 'release' }).catch(() => undefined)
    this.#hungry = true
  }

  async #rest(): Promise<void> {
    // What is given back is in its place before another consumer is let in.
    this.#pump()
    // What comes with the request under way is handed back.
    while (this.#underWay !== undefined) await this.#underWay
    if (this.#held.size === 0 && this.#settling.size === 0) return this.#leave()
    await this.#call('rest', [this.#name]).catch(() => undefined)
    this.#schedule()
  }

  /** At the end of the turn, when all that is settled in it is known. */
  #schedule(): void {
    if (this.#scheduled || this.#state === 'gone' || this.#state === 'joining') return
    if (this.#underWay !== undefined) return
    this.#scheduled = true
    setImmediate(() => {
      this.#scheduled = false
      this.#pump()
    })
  }

  #pump(): void {
    if ((this.#hungry && this.#credit > 0) || this.#settling.size > 0) this.#renew()
  }

  /** A request, even where there is nothing to settle and no credit. */
  #renew(): void {
    if (this.#underWay !== undefined || this.#state === 'gone' || this.#state === 'joining') return
    this.#underWay = this.#request()
      .catch(() => undefined)
      .finally(() => {
        this.#underWay = undefined
        this.#requested()
      })
  }

  #requested(): void {
    if (this.#state === 'gone') return
    if (!this.isBusy) {
      for (const resolve of this.#onIdle.splice(0)) resolve()
      if (this.#state === 'resting') return void this.#leave().catch(() => undefined)
    }
    this.#pump()
  }

  get #credit(): number {
    if (this.#state !== 'working' || this.#lapsed) return 0
    const wanted = this.#ahead.window(this.#prefetch) - this.#held.size
    return Math.min(maximumClaim, Math.max(0, wanted))
  }

  /** Of those that wait, how many may be handed out. */
  get #room(): number {
    return Math.min(this.#ahead.waiting, this.#prefetch - (this.#held.size - this.#ahead.waiting))
  }

  /** Never rejects but with what ends the consumer. */
  async #request(): Promise<void> {
    if (this.#lapsed && this.#settling.size === 0) return this.#beginAnew()
    const settling = this.#settling
    this.#settling = new Settling()
    const credit = this.#credit
    const name = this.#name
    this.#hungry = false
    this.#ahead.asked()
    this.#number += 1
    let sentAtMs = 0
    let reply: readonly Reply[]
    try {
      const lease = String(this.#setup.leaseMs)
      const words = [name, String(this.#number), '0', name, lease, String(credit), ...settling.words(name)]
      reply = (await this.#call('work', words, () => (sentAtMs = performance.now()))) as readonly Reply[]
    } catch (error) {
      settling.fail(error as Error, this.#settling)
      this.#fail(error as Error)
      return
    }
    const verdict = String(reply[0])
    if (verdict !== 'ok') {
      settling.refuse()
      return this.#lostOrMissing(verdict)
    }
    const sureMs = this.#setup.leaseMs * surePart
    // Read too late, by a process that was frozen or busy: others may have what it brings by now.
    if (performance.now() >= sentAtMs + sureMs) this.#loseHold()
    else this.#lease.holds(sentAtMs, sureMs)
    const [, acks, others, dueMs, out] = reply
    if (String(out) === '1') {
      const ferried = this.#setup.ferry().catch(() => undefined)
      // Who gave it up is told when it is where it goes.
      if (settling.hasDead) await ferried
    }
    settling.answer(String(acks), String(others))
    const taken = deliveriesOf(this, name, reply)
    this.#hungry ||= credit > 0 && taken.length === credit
    if (!this.#lapsed) this.#deliver(taken)
    this.#wait(Number(dueMs))
    if (this.#lapsed) await this.#beginAnew()
  }

  #deliver(deliveries: readonly RedisDelivery[]): void {
    for (const delivery of deliveries) {
      this.#held.add(delivery)
      this.#ahead.push(delivery)
    }
    if (this.#state !== 'working' || this.#ahead.mustGoBack(this.#room)) this.#ahead.stop()
    else this.#handOut()
  }

  /** As many as there is room for; where the sink makes room for more, these are handed out after it. */
  #handOut(): void {
    for (let room = this.#room; room > 0 && this.#room > 0; room -= 1) {
      if (this.#state !== 'working') return
      const nowMs = performance.now()
      // A handler that kept the process busy: others may have what waited for it.
      if (!this.#lease.isHeld(nowMs)) return this.#lapse()
      const delivery = this.#ahead.shift() as RedisDelivery
      delivery.handedOutMs = nowMs
      this.#setup.sink(delivery)
    }
    this.#ahead.watch()
  }

  /** Comes again when something is due, and in time for the lease. */
  #wait(dueMs: number): void {
    clearTimeout(this.#timer)
    if (this.#state === 'gone') return
    const renewMs = this.#setup.leaseMs / renewals
    const ms = dueMs < 0 ? renewMs : Math.min(renewMs, dueMs, longestTimerMs)
    this.#timer = setTimeout(() => {
      this.#hungry = true
      this.#renew()
    }, ms)
  }

  #lapse(): void {
    this.#loseHold()
    this.#renew()
  }

  #loseHold(): void {
    this.#lapsed ||= this.#held.size === 0 ? 'idle' : 'handling'
    this.#loseAll(
      new MillraceError('CONNECTION_LOST', `The lease on messages of ${this.queue} was not renewed in time`),
    )
  }

  #loseAll(cause: Error): void {
    for (const delivery of this.#held) delivery.lose(cause)
    this.#held.clear()
    this.#ahead.lose()
  }

  async #lostOrMissing(verdict: string): Promise<void> {
    const why = verdict === 'lost' ? 'The lease ran out' : 'The queue is not there any more'
    this.#loseAll(
      new MillraceError('CONNECTION_LOST', `${why}: messages of ${this.queue} are lost to this consumer`),
    )
    if (this.#state !== 'working') return
    if (verdict === 'missing' && !(await this.#setup.onMissing())) return this.#end(undefined)
    await this.#beginAnew()
  }

  async #beginAnew(): Promise<void> {
    const [name, lapsed] = [this.#name, this.#lapsed]
    this.#lapsed = false
    if (this.#state !== 'working') return
    try {
      // The others need not wait until the server knows.
      if (lapsed !== false) await this.#call('leave', [name, lapsed === 'idle' ? '2' : '1'])
      await this.#join()
      this.#hungry = true
    } catch (error) {
      this.#fail(error as Error)
    }
  }

  #fail(error: Error): void {
    if (error instanceof ClosedError) {
      this.#loseAll(error)
      this.#stop()
      return
    }
    // Refused for the time being: the next try is made as the lease asks for it.
    if (error instanceof MillraceError && error.code === 'ACCESS_REFUSED') return this.#wait(-1)
    this.#end(error)
  }

  #end(error: Error | undefined): void {
    if (this.#state === 'gone') return
    this.#stop()
    this.#setup.options.onCancelled?.(error)
  }

  async #join(): Promise<void> {
    const before = this.#name === '' ? undefined : this.#name
    this.#name = this.#setup.newName()
    this.#number = 0
    this.#setup.onNamed(this, this.#name, before)
    const { queue, options, leaseMs, driver } = this.#setup
    const sentAtMs = performance.now()
    const exclusive = options.exclusive === true ? '1' : '0'
    const rank = String(options.priority ?? 0)
    const reply = await this.#call('join', [this.#name, String(leaseMs), exclusive, driver, rank])
    this.#expiresMs = joinQueue(queue, reply)
    this.#lease.holds(sentAtMs, leaseMs * surePart)
  }

  async #leave(): Promise<void> {
    if (this.#state === 'gone') return
    const name = this.#name
    this.#stop()
    const reply = await this.#call('leave', [name]).catch(() => null)
    if (String(reply) === 'deleted') await this.#setup.onMissing()
  }

  #stop(): void {
    this.#state = 'gone'
    clearTimeout(this.#timer)
    this.#lease.end()
    this.#ahead.lose()
    for (const resolve of this.#onIdle.splice(0)) resolve()
    this.#setup.onGone(this)
  }

  /** @param onSent told before each try */
  #call(name: string, words: readonly Argument[], onSent = (): void => undefined): Promise<Reply> {
    const { caller, keys, queue } = this.#setup
    return caller.call({
      name,
      key: keys.queue(queue),
      words,
      numbered: name === 'work',
      patient: true,
      onSent,
      doing: `consume the queue ${queue}`,
    })
  }
}
