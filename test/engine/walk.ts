/** The random walk of random.test.ts: one queue, its dead-letter queue, two clients, and a naive model of all of it. */
import assert from 'node:assert/strict'
import type { EngineDelivery } from '../../src/engine/delivery.ts'
import type { Entry } from '../../src/model/entry.ts'
import type { Random } from '../std/random.ts'
import { FakeStore } from './fake-store.ts'
import { Bench } from './harness.ts'
import type { Client } from './harness.ts'
import { WalkModel } from './walk-model.ts'
import type { Item } from './walk-model.ts'

export interface Plan {
  readonly priorities: number
  readonly keys: number
  readonly ttl: boolean
  readonly delays: boolean
  readonly paging: boolean
  readonly restarts: boolean
}

export class Walk {
  readonly #random: Random
  readonly #plan: Plan
  readonly #store: FakeStore | undefined
  readonly #model = new WalkModel()
  readonly #steps: string[] = []
  #bench: Bench
  #clients: Client[] = []
  #bodies = 0

  constructor(random: Random, plan: Plan) {
    this.#random = random
    this.#plan = plan
    this.#store = plan.paging ? new FakeStore({ messages: 4, bytes: 60, delayed: 3 }) : undefined
    this.#bench = this.#newBench()
    this.#bench.engine.declareVhost('/')
    this.#connect()
    const [client] = this.#clients
    client!.queue('q', {
      ...(plan.priorities > 0 ? { 'x-max-priority': plan.priorities } : {}),
      'x-dead-letter-exchange': '',
      'x-dead-letter-routing-key': 'dead',
    })
    client!.queue('dead')
  }

  step(): void {
    const actions = [
      () => this.#publish(),
      () => this.#publish(),
      () => this.#publish(),
      () => this.#settle('ack'),
      () => this.#settle('ack'),
      () => this.#settle('requeue'),
      () => this.#settle('release'),
      () => this.#settle('reject'),
      () => this.#settle('retry'),
      () => this.#consume(),
      () => this.#dispatch(),
      () => this.#dispatch(),
      () => this.#answer(),
      () => this.#answer(),
      () => this.#pass(),
      () => (this.#random.below(10) === 0 ? this.#closeSession() : this.#cancel()),
      () => (this.#random.below(20) === 0 ? this.#purge() : this.#setPrefetch()),
      () => (this.#random.below(10) === 0 && this.#plan.restarts ? this.#restart() : this.#move()),
    ]
    actions[this.#random.below(actions.length)]!()
    this.#bench.engine.invariants()
    this.#compare()
  }

  /** Lets everything come out in the end. */
  finish(): void {
    this.#note('finish')
    for (let round = 0; this.#model.size > 0; round += 1) {
      assert.ok(round < 5000, `everything comes out: ${this.#model.size} left`)
      if (this.#random.below(5) === 0) this.#bench.nowMs += 1000
      for (const client of this.#clients) {
        for (const queue of ['q', 'dead']) {
          if (![...client.session.consumers.values()].some((consumer) => consumer.queue.name === queue)) {
            client.consume(queue, { prefetch: 5 })
          }
        }
      }
      this.#dispatch()
      this.#answer()
      for (const item of this.#model.held()) this.#ack(item)
      this.#notice()
      this.#bench.engine.invariants()
    }
    for (const queue of this.#bench.engine.vhost('/').queues.values()) {
      assert.equal(queue.unackedMessages + queue.delayed.length, 0)
    }
    assert.equal(this.#bench.engine.counters.lostEntries, 0)
  }

  history(): string {
    return this.#steps.slice(-Number(process.env['HISTORY'] ?? 60)).join('\n')
  }

  #note(step: string): void {
    this.#steps.push(step)
  }

  #newBench(): Bench {
    const limits = {
      parkedPerQueue: 5,
      deliveriesPerTurn: 3,
      deliveriesPerDispatch: 10,
      workPerAdvance: 5,
      delayedLoadBatch: 2,
    }
    return new Bench({ limits, ...(this.#store ? { journal: this.#store, pager: this.#store } : {}) })
  }

  #connect(): void {
    this.#clients = [this.#bench.client(), this.#bench.client()]
  }

  #client(): Client {
    return this.#clients[this.#random.below(2)]!
  }

  #publish(): void {
    const plan = this.#plan
    const key = plan.keys > 0 && this.#random.below(2) === 0 ? `k${this.#random.below(plan.keys)}` : ''
    const lane = key === '' ? this.#random.below(plan.priorities + 1) : key.length % (plan.priorities + 1)
    const delayMs = plan.delays && this.#random.below(4) === 0 ? 1 + this.#random.below(3000) : 0
    const ttlMs = plan.ttl && this.#random.below(4) === 0 ? 1 + this.#random.below(2000) : Infinity
    const persistent = this.#random.below(4) !== 0
    const body = `m${(this.#bodies += 1)}`.padEnd(1 + this.#random.below(20), '.')
    this.#note(
      `publish ${body} key=${key} lane=${lane} delay=${delayMs} ttl=${ttlMs} persistent=${persistent}`,
    )
    const nowMs = this.#bench.nowMs
    this.#client().send('q', body, { key, priority: lane, delayMs, ttlMs, persistent })
    this.#model.publish({
      body,
      lane,
      key,
      persistent,
      expiresAtMs: nowMs + delayMs + ttlMs,
      dueAtMs: delayMs > 0 ? nowMs + delayMs : 0,
    })
  }

  #settle(how: 'ack' | 'requeue' | 'release' | 'reject' | 'retry'): void {
    const held = this.#model.held()
    if (held.length === 0) return
    const item = held[this.#random.below(held.length)]!
    const { session, deliveryTag } = item.held!
    const nowMs = this.#bench.nowMs
    this.#note(`${how} ${item.body} from ${item.place}`)
    if (how === 'ack') return this.#ack(item)
    item.held = undefined
    if (how === 'requeue') {
      session.nack(deliveryTag, { multiple: false, requeue: true }, nowMs)
      item.count += 1
      item.front = true
    } else if (how === 'release') {
      const delayMs = this.#plan.delays ? Math.max(0, this.#random.below(2000) - 1000) : 0
      session.settleRelease(deliveryTag, delayMs, nowMs)
      item.front = true
      if (delayMs > 0) this.#model.renew(item, delayMs, nowMs)
    } else if (how === 'reject') {
      session.reject(deliveryTag, { requeue: false }, nowMs)
      this.#model.reject(item)
    } else {
      const delayMs = this.#plan.delays ? this.#random.below(2000) : 0
      session.settleRetry(deliveryTag, delayMs, nowMs)
      item.count += 1
      this.#model.renew(item, delayMs, nowMs)
    }
  }

  #ack(item: Item): void {
    const { session, deliveryTag } = item.held!
    if (this.#random.below(2) === 0) session.ack(deliveryTag, false, this.#bench.nowMs)
    else assert.equal(session.settleAck(deliveryTag), true)
    assert.equal(session.settleAck(deliveryTag), false)
    this.#model.remove(item)
  }

  #consume(): void {
    const client = this.#client()
    if (client.session.consumers.size > 2) return
    const queue = this.#random.below(3) === 0 ? 'dead' : 'q'
    const prefetch = this.#random.below(5)
    this.#note(`consume ${queue} prefetch=${prefetch}`)
    client.consume(queue, { prefetch, arguments: { 'x-priority': this.#random.below(2) } })
  }

  #cancel(): void {
    const client = this.#client()
    for (const tag of client.session.consumers.keys()) {
      this.#note(`cancel ${tag}`)
      client.session.cancel(tag, this.#bench.nowMs)
      return
    }
  }

  #setPrefetch(): void {
    const client = this.#client()
    for (const tag of client.session.consumers.keys())
      client.session.setPrefetch(tag, 1 + this.#random.below(4))
  }

  #closeSession(): void {
    this.#note('close')
    const index = this.#random.below(2)
    const { session } = this.#clients[index]!
    session.close(this.#bench.nowMs)
    this.#model.returned(this.#model.held().filter((item) => item.held?.session === session))
    this.#clients[index] = this.#bench.client()
  }

  #purge(): void {
    const state = (['ready', 'delayed', 'all'] as const)[this.#random.below(3)]!
    this.#note(`purge ${state}`)
    const queue = this.#bench.engine.vhost('/').queue('q')
    this.#bench.engine.purge(queue, state)
    for (const item of this.#model.at('q')) {
      if (item.held !== undefined) continue
      // Whether the engine has noticed that it is due is its own affair: ask it for neither.
      const is = item.dueAtMs > 0 ? 'delayed' : 'ready'
      if (state === 'all' || state === is) this.#model.remove(item)
    }
  }

  #move(): void {
    if (this.#plan.keys > 0 || this.#plan.ttl || this.#plan.priorities > 0) return
    const vhost = this.#bench.engine.vhost('/')
    const waiting = this.#model.at('dead').filter((item) => item.held === undefined)
    waiting.sort((a, b) => a.order - b.order)
    const route = { from: vhost.queue('dead'), to: vhost.queue('q') }
    const { messages } = this.#bench.engine.move(route, 1 + this.#random.below(3), this.#bench.nowMs)
    this.#note(`move ${messages}`)
    for (const item of waiting.slice(0, messages)) {
      item.place = 'q'
      item.count = 0
      item.front = false
      item.order = this.#model.next()
    }
  }

  #pass(): void {
    this.#bench.nowMs += this.#random.below(800)
    this.#note(`now ${this.#bench.nowMs}`)
  }

  #answer(): void {
    if (this.#store === undefined) return
    this.#store.readEarly = this.#random.below(2) === 0
    if (this.#store.answer(this.#bench.engine)) this.#note('answer')
  }

  #dispatch(): void {
    this.#note('dispatch')
    const { engine, nowMs } = this.#bench
    engine.advance(nowMs)
    this.#notice()
    engine.invariants()
    engine.dispatch(nowMs)
    this.#notice()
    for (const client of this.#clients) {
      const { deliveries } = client
      for (const delivery of deliveries) this.#checkFresh(delivery)
    }
    const delivered = this.#clients.flatMap(({ deliveries }) => deliveries.splice(0))
    this.#accept(delivered)
  }

  #checkFresh(delivery: EngineDelivery): void {
    assert.ok(delivery.entry.expiresAtMs > this.#bench.nowMs, 'what has expired is not delivered')
  }

  /** Each delivery must be the first of what could be delivered from its queue. */
  #accept(delivered: readonly EngineDelivery[]): void {
    for (const queue of ['q', 'dead']) {
      const own = delivered.filter((delivery) => delivery.queue.name === queue)
      const pending = own.map((delivery) => this.#itemOf(delivery))
      pending.sort((a, b) => this.#model.before(a, b))
      for (const item of pending) {
        const delivery = own.find(({ entry }) => entry.message.body === item.body)!
        this.#note(`delivered ${item.body} from ${queue}`)
        assert.equal(item.held, undefined, `${item.body} is in one consumer's hands`)
        assert.equal(item.place, queue)
        assert.equal(item.dueAtMs, 0, `${item.body} is not early`)
        assert.equal(delivery.attempt, item.count + 1, `the attempts of ${item.body} are counted`)
        assert.equal(delivery.redelivered, item.count > 0)
        assert.ok(this.#model.mayGo(item), `the key of ${item.body} is free`)
        for (const other of this.#model.at(queue)) {
          if (other === item || other.held !== undefined || other.dueAtMs > 0) continue
          if (other.expiresAtMs <= this.#bench.nowMs || !this.#model.mayGo(other)) continue
          if (pending.includes(other)) continue
          // A key that becomes free brings others to the front; between different keys no order is promised.
          if (other.key !== item.key) continue
          assert.ok(this.#model.before(item, other) < 0, `${other.body} goes before ${item.body}`)
        }
        if (item.key !== '') this.#model.own(item)
        item.held = delivery
      }
    }
  }

  #itemOf(delivery: EngineDelivery): Item {
    const item = this.#model.get(String(delivery.entry.message.body))
    assert.ok(item !== undefined, `${String(delivery.entry.message.body)} is still there`)
    return item
  }

  /** What time has done to the engine, in the order in which it did: entries became ready, or dead. */
  #notice(): void {
    const { engine, nowMs } = this.#bench
    const where = new Map<string, { seq: number; delayed: boolean; place: string }>()
    const look = (entry: Entry, delayed: boolean): void => {
      const body = String(entry.message.body)
      const known = where.get(body)
      if (known !== undefined && known.seq >= entry.seq) return
      const place = engine.queueById(entry.queueId)?.name ?? ''
      where.set(body, { seq: entry.seq, delayed, place })
    }
    // First what says it for sure: the owner of a key that became due is on record as held back.
    for (const queue of engine.vhost('/').queues.values()) {
      queue.lanes.forEach((entry) => look(entry, false))
      queue.delayed.forEach((entry) => look(entry, true))
      queue.forEachResident((entry) => look(entry, false))
    }
    for (const client of this.#clients) for (const { entry } of client.deliveries) look(entry, false)
    for (const { entry } of this.#store?.kept.values() ?? []) look(entry, entry.dueAtMs > 0)
    for (const [body, found] of [...where].sort((a, b) => a[1].seq - b[1].seq)) {
      const item = this.#model.get(body)
      if (item === undefined) continue
      if (item.place === 'q' && found.place === 'dead') {
        assert.ok(item.expiresAtMs <= nowMs, `${body} is dead because it expired`)
        this.#model.bury(item)
      } else if (item.dueAtMs > 0 && !found.delayed) {
        assert.ok(item.dueAtMs <= nowMs, `${item.body} does not become ready early`)
        item.dueAtMs = 0
        item.order = this.#model.next()
        item.front = item.key !== '' && this.#model.owns(item)
      }
    }
  }

  #restart(): void {
    const store = this.#store!
    this.#note('restart')
    const snapshot = this.#bench.engine.snapshot()
    for (const [seq, count] of snapshot.deliveryCounts) {
      assert.equal(store.countOf(seq), count, 'a snapshot knows the delivery counts')
    }
    const definitions = this.#random.below(2) === 0 ? snapshot.definitions : [...store.definitions]
    const nowMs = this.#bench.nowMs
    this.#bench = this.#newBench()
    this.#bench.nowMs = nowMs
    this.#bench.engine.restore(store.recover(definitions, snapshot.nextSeq))
    this.#model.restarted()
    this.#connect()
  }

  #compare(): void {
    const vhost = this.#bench.engine.vhost('/')
    for (const name of ['q', 'dead'] as const) {
      const queue = vhost.queue(name)
      const items = this.#model.at(name)
      const unacked = items.filter((item) => item.held !== undefined).length
      assert.equal(queue.unackedMessages, unacked, `unacked of ${name}`)
      if (!this.#plan.ttl) assert.equal(queue.depth, items.length, `depth of ${name}`)
    }
  }
}
