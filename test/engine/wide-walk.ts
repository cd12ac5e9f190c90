/**
 * The random walk of wide-walk.test.ts: queues of every kind behind exchanges of every kind, policies that change, headers
 * that clients forge, a store that answers late, restarts. Each queue that a message is for must take or refuse it, the
 * store must be told of each entry once, and nothing that a client sends may throw out of a turn.
 */
import assert from 'node:assert/strict'
import { transientPublish, persistentPublish } from '../../src/engine/publish.ts'
import type { FieldTable } from '../../src/model/field-value.ts'
import { MillraceError } from '../../src/model/errors.ts'
import { Message } from '../../src/model/message.ts'
import { encodeProperties } from '../../src/model/properties.ts'
import type { BrokerExchangeKind } from '../../src/model/record.ts'
import type { Random } from '../std/random.ts'
import { FakeStore } from './fake-store.ts'
import { Bench } from './harness.ts'
import type { Client } from './harness.ts'

const queues = ['a', 'b', 'c', 'd', 'e'] as const
const exchanges: readonly (readonly [name: string, kind: BrokerExchangeKind, table: FieldTable])[] = [
  ['fan', 'fanout', {}],
  ['top', 'topic', { 'alternate-exchange': 'fan' }],
  ['hash', 'x-consistent-hash', {}],
  ['late', 'x-delayed-message', { 'x-delayed-type': 'fanout' }],
  ['late.top', 'x-delayed-message', { 'x-delayed-type': 'topic' }],
]
const queueArguments: readonly FieldTable[] = [
  {},
  { 'x-max-length': 2 },
  { 'x-max-length': 1, 'x-overflow': 'reject-publish' },
  { 'x-max-length-bytes': 20, 'x-overflow': 'reject-publish-dlx', 'x-dead-letter-exchange': 'fan' },
  { 'x-message-ttl': 0, 'x-dead-letter-exchange': 'top' },
  { 'x-message-ttl': 5, 'x-dead-letter-exchange': '', 'x-dead-letter-routing-key': 'a' },
  { 'x-max-priority': 3, 'x-dead-letter-exchange': 'late' },
  { 'x-queue-type': 'quorum', 'x-delivery-limit': 1, 'x-dead-letter-exchange': 'hash' },
  { 'x-single-active-consumer': true, 'x-expires': 50 },
]
const policies: readonly FieldTable[] = [
  { 'max-length': 1 },
  { 'max-length': 0, overflow: 'reject-publish' },
  { 'message-ttl': 3 },
  { 'delivery-limit': 0, 'dead-letter-exchange': 'fan' },
  { 'alternate-exchange': 'late' },
  { expires: 40 },
]
const headers: readonly (FieldTable | undefined)[] = [
  undefined,
  {},
  { CC: ['a', 'b', 5], BCC: ['c'] },
  { 'x-delay': 7 },
  { 'x-delay': '3', BCC: ['k.x'] },
  { 'x-death': [{ queue: 'a', reason: 'expired', count: 1.5 }, 'odd'] },
  { 'x-death': 'odd', 'x-first-death-reason': 5 },
]
const limits = { parkedPerQueue: 2, dropsPerPublish: 3, workPerAdvance: 5, deliveriesPerDispatch: 7 }

export class WideWalk {
  readonly #random: Random
  readonly #store = new FakeStore({ messages: 3, bytes: 60, delayed: 2 })
  #bench: Bench
  #client: Client

  constructor(random: Random) {
    this.#random = random
    this.#bench = Bench.create({ journal: this.#store, pager: this.#store, limits })
    this.#client = this.#bench.client()
    for (const name of queues) this.#declareQueue(name)
    for (const name of ['top', 'fan', 'late', 'hash']) this.#bindSome(name)
  }

  step(): void {
    const random = this.#random
    const steps = [
      ...Array.from({ length: 6 }, () => () => this.#publish()),
      ...Array.from({ length: 4 }, () => () => this.#settle()),
      ...Array.from({ length: 4 }, () => () => this.#turn()),
      () => this.#consume(),
      () => this.#get(),
      () => this.#operate(),
      () => this.#change(),
      () => (random.below(20) === 0 ? this.#restart() : this.#turn()),
    ]
    try {
      random.pick(steps)()
    } catch (error) {
      // A request may be refused; a bug of ours is no MillraceError.
      if (!(error instanceof MillraceError)) throw error
    }
    this.#bench.engine.invariants()
  }

  /** Everything is deleted: nothing may be left on record. */
  finish(): void {
    this.#restart()
    this.#bench.engine.deleteVhost('/', this.#bench.nowMs)
    assert.equal(this.#bench.engine.residentBytes, 0)
    assert.equal(this.#store.kept.size, 0)
    assert.equal(this.#bench.engine.counters.lostEntries, 0)
  }

  #declareQueue(name: string): void {
    const table = this.#random.pick(queueArguments)
    this.#client.session.declareQueue({ name, durable: true, arguments: table }, this.#bench.nowMs)
  }

  #bindSome(name: string): void {
    const { session } = this.#client
    const [, kind, table] = exchanges.find((other) => other[0] === name)!
    session.declareExchange({ name, kind, durable: true, arguments: table })
    const queue = this.#random.pick(queues)
    const routingKey = kind === 'x-consistent-hash' ? '1' : this.#random.pick(['#', 'k.*', 'a'])
    session.bindQueue({ queue, exchange: name, routingKey })
    const { exchanges: there } = this.#bench.engine.vhost('/')
    if (this.#random.below(4) > 0 || !there.has('fan') || !there.has('top')) return
    session.bindExchange({ source: 'fan', destination: 'top', routingKey: '' })
  }

  #publish(): void {
    const random = this.#random
    const exchange = random.pick(['', 'fan', 'fan', 'top', 'hash', 'late', 'late.top'])
    const routingKey = exchange === '' ? random.pick(queues) : random.pick(['k.x', 'a', 'none'])
    const table = headers[random.below(headers.length)]
    const properties = { ...(table !== undefined && { headers: table }), priority: random.below(5) }
    const body = 'x'.repeat(random.below(12))
    const message =
      random.below(2) === 0
        ? Message.of(exchange, routingKey, properties, body)
        : Message.ofBytes(exchange, routingKey, encodeProperties(properties), body)
    const extras = {
      ...(random.below(3) === 0 ? transientPublish : persistentPublish),
      hasHeaders: table !== undefined,
      mandatory: random.below(4) === 0,
      ttlMs: random.pick([Infinity, Infinity, 0, 4]),
      key: random.pick(['', '', 'key']),
      priority: properties.priority,
    }
    const before = this.#answers()
    this.#client.session.publish(message, extras, this.#bench.nowMs)
    if (exchange === 'fan') this.#checkFanout(before)
  }

  /** Published and refused, by queue. */
  #answers(): Map<string, number> {
    const { queues: all } = this.#bench.engine.vhost('/')
    return new Map([...all].map(([name, { counters }]) => [name, counters.published + counters.rejected]))
  }

  #checkFanout(before: ReadonlyMap<string, number>): void {
    const vhost = this.#bench.engine.vhost('/')
    const after = this.#answers()
    for (const { destination } of vhost.exchange('fan').router.bindings()) {
      if (!vhost.queues.has(destination.name)) continue
      const { name } = destination
      assert.equal(after.get(name), (before.get(name) ?? 0) + 1, `${name} took the message or refused it`)
    }
  }

  #consume(): void {
    const random = this.#random
    const { session } = this.#client
    const tag = random.pick(['s', 't', 'u'])
    if (session.consumers.has(tag)) session.cancel(tag, this.#bench.nowMs)
    else
      this.#client.consume(random.pick(queues), {
        tag,
        noAck: random.below(3) === 0,
        prefetch: random.below(4),
      })
  }

  #get(): void {
    const noAck = this.#random.below(2) === 0
    this.#client.session.get({ queue: this.#random.pick(queues), noAck }, this.#bench.nowMs)
  }

  #settle(): void {
    const random = this.#random
    const { session } = this.#client
    const { nowMs } = this.#bench
    const tag = session.unacked.oldestTag + random.below(3)
    random.pick([
      () => session.settleAck(tag),
      () => session.ack(tag, true, nowMs),
      () => session.nack(tag, { multiple: random.below(2) === 0, requeue: true }, nowMs),
      () => session.reject(tag, { requeue: false }, nowMs),
      () => session.settleRetry(tag, random.below(9), nowMs),
      () => session.settleRelease(tag, random.below(2) * 5, nowMs),
      () => session.settleDead(tag, { reason: 'attempts', error: 'no' }, nowMs),
    ])()
  }

  /** Nobody's request: whatever is thrown here would end the broker. */
  #turn(): void {
    const { engine } = this.#bench
    this.#bench.nowMs += this.#random.below(6)
    try {
      if (engine.nextDueMs() <= this.#bench.nowMs) engine.advance(this.#bench.nowMs)
      engine.dispatch(this.#bench.nowMs)
      if (this.#random.below(2) === 0) this.#store.answer(engine)
    } catch (error) {
      throw new Error('a turn threw', { cause: error })
    }
    this.#client.deliveries.length = 0
  }

  #operate(): void {
    const random = this.#random
    const { engine, nowMs } = this.#bench
    const [from, to] = [random.pick(queues), random.pick(queues)].map((name) => engine.vhost('/').queue(name))
    random.pick<() => unknown>([
      () => engine.purge(from!, random.pick(['ready', 'delayed', 'all'])),
      () => engine.pause(from!, random.below(2) === 0),
      () => engine.move({ from: from!, to: to! }, 3, nowMs),
      () => engine.browseReady(from!, undefined, 3),
    ])()
  }

  #change(): void {
    const random = this.#random
    const { engine, nowMs } = this.#bench
    const policy = { vhost: '/', name: random.pick(['p', 'q']), operator: false, priority: 0 } as const
    const name = random.pick(exchanges)[0]
    random.pick<() => unknown>([
      () => engine.policies.delete(policy, nowMs),
      () =>
        engine.policies.set(
          {
            ...policy,
            pattern: random.pick(['^a', '[cd]']),
            applyTo: 'all',
            definition: random.pick(policies),
          },
          nowMs,
        ),
      () => this.#client.session.deleteQueue(random.pick(queues)),
      () => this.#client.session.deleteExchange(name),
      () => this.#bindSome(name),
      () => this.#bindSome(name),
      () => queues.forEach((queue) => this.#declareQueue(queue)),
    ])()
  }

  /** A crash: what was declared is there again, as the log has it and as a snapshot has it. */
  #restart(): void {
    const { engine, nowMs } = this.#bench
    const { definitions, nextSeq } = engine.snapshot()
    const recovered = this.#store.recover([...this.#store.definitions], nextSeq)
    this.#bench = new Bench({ journal: this.#store, pager: this.#store, limits })
    this.#bench.nowMs = nowMs
    this.#bench.engine.restore(recovered)
    this.#client = this.#bench.client()
    this.#bench.engine.invariants()
    assert.deepEqual(linesOf(this.#bench.engine.snapshot().definitions), linesOf(definitions))
  }
}

function linesOf(facts: readonly object[]): string[] {
  return facts.map((fact) => JSON.stringify(Object.entries(fact).sort())).sort()
}
