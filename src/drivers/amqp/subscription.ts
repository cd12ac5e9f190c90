/**
 * One consumer of the port: a channel of its own, on which its messages come and are settled.
 *
 * AMQP fixes a consumer's credit when it begins, and quorum queues know no other. Where the credit is raised, a further
 * consumer on the same channel brings the difference; where it is lowered, the old ones end and a new one begins as
 * soon as few enough messages are in hand.
 *
 * It outlives its channel: when that closes, what was delivered is lost (`lost` aborts), and the next connection brings a
 * new channel. It ends when it is cancelled, or the queue is gone.
 */
import { assert } from '../../std/assert.ts'
import { Deque } from '../../std/deque.ts'
import { ClosedError, MillraceError } from '../../model/errors.ts'
import { countArgument } from '../../model/extension.ts'
import type { ConsumeOptions, Consumer, Delivery } from '../../client/driver.ts'
import { openChannel } from './amqplib.ts'
import type { Connection, Incoming } from './amqplib.ts'
import { AmqpDelivery } from './delivery.ts'
import type { Hold, Settlements } from './delivery.ts'
import { asMillraceError, stillHeld } from './failure.ts'

export interface SubscriptionSetup {
  readonly queue: string
  readonly options: ConsumeOptions
  readonly sink: (delivery: Delivery) => void
  /** It stands alone on its queue: a second consumer would be refused, or wait until this one ends. */
  readonly alone: boolean
  /** How deliveries are settled. */
  readonly settlements: Settlements
  readonly native: boolean
  readonly connection: () => Promise<Connection>
  /** Whether the queue is still there. */
  readonly queueExists: () => Promise<boolean>
  /** It was deleted. */
  readonly onQueueGone: () => void
  /** It will not come back. */
  readonly onEnded: (subscription: Subscription) => void
  /** All that was delivered is settled. */
  readonly onIdle: () => void
}

/** How long the loss of a connection may be behind that of its queues. */
const goneMs = 500

/** Until a channel that the server closed is opened anew: whatever it was, it may be done again at once. */
const anewMs = 500

/** Half a minute of waits; then it is somebody else's queue. */
const maximumRefusals = 8

/** What is added to the credit at least, as a part of it: each addition is a consumer more. */
const leastAddition = 0.25

/** One channel and the consumers on it. */
interface Stage extends Hold {
  readonly losing: AbortController
  /** Credit by consumer tag. */
  readonly consumers: Map<string, number>
  /** Deliveries that are not settled. */
  unsettled: number
  /** Of those, how many came to consumers that have ended. */
  orphaned: number
  /** Of those, the ones that came beyond the credit while it was being lowered: nobody has them yet. */
  readonly surplus: Deque<AmqpDelivery>
}

export class Subscription implements Consumer {
  readonly #setup: SubscriptionSetup
  #prefetch: number
  #stage: Stage | undefined
  #cancelled = false
  /** Connections in a row that found another exclusive consumer in the way. */
  #refusals = 0
  /** Changes of credit, one after the other. */
  #changes: Promise<void> = Promise.resolve()

  constructor(setup: SubscriptionSetup) {
    this.#setup = setup
    this.#prefetch = setup.options.prefetch
  }

  get queue(): string {
    return this.#setup.queue
  }

  /** Deliveries in somebody's hands. */
  get unsettled(): number {
    return this.#stage?.unsettled ?? 0
  }

  /** @throws MillraceError NOT_FOUND, ACCESS_REFUSED, RESOURCE_LOCKED, CONNECTION_LOST */
  async begin(connection: Connection): Promise<void> {
    if (this.#cancelled) return
    const losing = new AbortController()
    let stage: Stage | undefined
    const channel = await openChannel(connection, (cause) => stage && this.#channelClosed(stage, cause))
    const begun: Stage = {
      queue: this.#setup.queue,
      settlements: this.#setup.settlements,
      native: this.#setup.native,
      channel,
      losing,
      lost: losing.signal,
      consumers: new Map(),
      unsettled: 0,
      orphaned: 0,
      surplus: new Deque(),
      settled: (consumerTag) => this.#settled(begun, consumerTag),
    }
    stage = begun
    try {
      await this.#consume(stage, this.#prefetch)
    } catch (error) {
      channel.close().catch(() => undefined)
      throw asMillraceError(error, `consume the queue ${this.#setup.queue}`)
    }
    this.#stage = stage
    if (this.#cancelled) await this.#leave(stage)
  }

  setPrefetch(prefetch: number): void {
    assert(prefetch >= 1 && prefetch <= 65_535, 'a credit that AMQP can hold')
    this.#prefetch = prefetch
    this.#change(async (stage) => {
      if (this.#credit(stage) > prefetch) await this.#endConsumers(stage)
      await this.#topUp(stage)
    })
  }

  async cancel(): Promise<void> {
    if (this.#cancelled) return
    this.#cancelled = true
    this.#setup.onEnded(this)
    const stage = this.#stage
    if (stage !== undefined) await this.#leave(stage)
  }

  /** Hands everything back at once: the channel closes. */
  async close(): Promise<void> {
    this.#cancelled = true
    const stage = this.#stage
    this.#stage = undefined
    if (stage === undefined) return
    stage.losing.abort(new ClosedError('The consumer was closed'))
    this.#setup.onIdle()
    await Promise.resolve()
      .then(() => stage.channel.close())
      .catch(() => undefined)
  }

  /** The connection is gone. */
  down(cause: Error): void {
    const stage = this.#stage
    this.#stage = undefined
    if (stage === undefined) return
    stage.losing.abort(cause)
    this.#setup.onIdle()
  }

  async #consume(stage: Stage, credit: number): Promise<void> {
    const { channel, consumers } = stage
    const { options, queue, native } = this.#setup
    await channel.prefetch(credit)
    let tag: string | undefined
    const reply = await channel.consume(queue, (incoming) => this.#arrived(stage, tag, incoming), {
      ...(options.exclusive !== undefined && { exclusive: options.exclusive }),
      ...(options.priority !== undefined && { priority: options.priority }),
      ...(native && { arguments: { [countArgument]: true } }),
    })
    tag = reply.consumerTag
    consumers.set(tag, credit)
  }

  #arrived(stage: Stage, tag: string | undefined, incoming: Incoming | null): void {
    if (incoming === null) return this.#cancelledByServer(stage, tag)
    stage.unsettled += 1
    const delivery = new AmqpDelivery(incoming, stage)
    if (stage.unsettled - stage.surplus.length > this.#prefetch) stage.surplus.push(delivery)
    else this.#setup.sink(delivery)
  }

  #settled(stage: Stage, consumerTag: string): void {
    stage.unsettled -= 1
    if (stage.surplus.length > 0) this.#handOverSurplus(stage)
    if (!stage.consumers.has(consumerTag) && stage.orphaned > 0) {
      stage.orphaned -= 1
      if (!this.#cancelled && this.#stage === stage) this.#change((current) => this.#topUp(current))
    }
    if (stage.unsettled > 0) return
    this.#setup.onIdle()
    if (this.#cancelled && this.#stage === stage) void this.close()
  }

  #handOverSurplus(stage: Stage): void {
    while (!this.#cancelled && stage.unsettled - stage.surplus.length < this.#prefetch) {
      const delivery = stage.surplus.shift()
      if (delivery === undefined) return
      this.#setup.sink(delivery)
    }
  }

  #credit(stage: Stage): number {
    let credit = 0
    for (const each of stage.consumers.values()) credit += each
    return credit
  }

  /** Brings the credit to what is asked for, as far as what is still in hand of ended consumers allows. */
  async #topUp(stage: Stage): Promise<void> {
    const credit = this.#credit(stage)
    const room = this.#prefetch - credit - stage.orphaned
    if (room <= 0) return
    const isWorthIt = stage.orphaned === 0 || credit === 0 || room >= this.#prefetch * leastAddition
    if (!isWorthIt) return
    if (this.#setup.alone && credit > 0) {
      await this.#endConsumers(stage)
      return this.#topUp(stage)
    }
    await this.#consume(stage, room)
  }

  async #endConsumers(stage: Stage): Promise<void> {
    for (const tag of stage.consumers.keys()) await stage.channel.cancel(tag)
    stage.consumers.clear()
    stage.orphaned = stage.unsettled
  }

  /** One change of credit after the other; a channel that closes under it is somebody else's concern. */
  #change(change: (stage: Stage) => Promise<void>): void {
    this.#changes = this.#changes.then(async () => {
      const stage = this.#stage
      if (stage === undefined || this.#cancelled) return
      await change(stage).catch(() => undefined)
    })
  }

  /** No more deliveries; the channel stays while there is something to settle on it. */
  async #leave(stage: Stage): Promise<void> {
    await this.#changes
    await this.#endConsumers(stage).catch(() => undefined)
    for (let next = stage.surplus.shift(); next !== undefined; next = stage.surplus.shift()) {
      next.settle({ type: 'release' }).catch(() => undefined)
    }
    if (stage.unsettled === 0 && this.#stage === stage) await this.close()
  }

  /** The queue was deleted, or moved to another node of the cluster: then it is there, and we come back to it. */
  #cancelledByServer(stage: Stage, tag: string | undefined): void {
    if (tag !== undefined) {
      stage.consumers.delete(tag)
      stage.orphaned = stage.unsettled
    }
    if (this.#cancelled) return
    this.#setup.queueExists().then(
      (exists) => {
        if (!exists) this.#queueGone(stage)
        else if (this.#stage === stage) this.#change((current) => this.#topUp(current))
      },
      () => undefined,
    )
  }

  /** Deleted; unless the whole server loses its topology: then the connection goes too, and the next one declares it anew. */
  #queueGone(stage: Stage): void {
    setTimeout(() => {
      if (this.#cancelled || this.#stage !== stage) return
      this.#setup.onQueueGone()
      this.#end(undefined)
    }, goneMs).unref()
  }

  /** The server closed this channel alone: a handler kept a message longer than it allows, for one. */
  #channelClosed(stage: Stage, cause: Error | undefined): void {
    if (this.#stage !== stage || cause === undefined) return
    const error = asMillraceError(cause, `consume the queue ${this.#setup.queue}`)
    this.down(error)
    setTimeout(() => {
      if (this.#cancelled) return
      this.#setup
        .connection()
        .then((connection) => this.resume(connection))
        .catch(() => undefined)
    }, anewMs)
  }

  /** Begins anew, and ends where it never can again. */
  async resume(connection: Connection): Promise<void> {
    if (this.#cancelled || this.#stage !== undefined) return
    try {
      await this.begin(connection)
    } catch (error) {
      if (!(error instanceof MillraceError) || error.code === 'CONNECTION_LOST') throw error
      if (this.#setup.options.exclusive === true && error.code === 'ACCESS_REFUSED') {
        this.#refusals += 1
        if (this.#refusals < maximumRefusals) throw stillHeld(`The queue ${this.#setup.queue}`, error)
      }
      return this.#end(error)
    }
    this.#refusals = 0
  }

  #end(error: Error | undefined): void {
    if (this.#cancelled) return
    this.#cancelled = true
    this.#setup.onEnded(this)
    void this.close()
    this.#setup.options.onCancelled?.(error)
  }
}
