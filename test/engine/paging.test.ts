import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { entryOverheadBytes } from '../../src/model/entry.ts'
import { persistentPublish } from '../../src/engine/publish.ts'
import { Message } from '../../src/model/message.ts'
import { encodeProperties } from '../../src/model/properties.ts'
import type { Definition, RecoveredLane } from '../../src/model/record.ts'
import { FakeStore } from './fake-store.ts'
import { Bench } from './harness.ts'

function setUp(window: { messages?: number; bytes?: number; delayed?: number } = {}) {
  const store = new FakeStore({ messages: 4, bytes: 1000, delayed: 2, ...window })
  const bench = Bench.create({ journal: store, pager: store })
  const client = bench.client()
  /** Dispatches, answers and looks again until nothing moves. */
  const settle = (): void => {
    do bench.settle()
    while (store.answer(bench.engine))
  }
  return { store, bench, client, settle }
}

/** What so many entries with so many bytes of bodies take. */
const resident = (entries: number, bytes: number): number => entries * entryOverheadBytes + bytes

const numbers = (from: number, to: number) =>
  Array.from({ length: to - from }, (_item, index) => String(from + index))

describe('paging', () => {
  test('memory stays within the window, and order is kept however long the queue', () => {
    const { bench, client, settle } = setUp()
    const queue = client.queue('q')
    for (const body of numbers(1000, 1100)) client.send('q', body)
    assert.equal(queue.readyMessages, 100)
    assert.equal(queue.readyBytes, 400)
    assert.equal(bench.engine.residentBytes, resident(4, 16))
    client.consume('q', { tag: 't', prefetch: 3 })
    const seen: string[] = []
    for (let round = 0; seen.length < 100; round += 1) {
      assert.ok(round < 200)
      settle()
      assert.ok(bench.engine.residentBytes <= resident(4 + 3, 4 * (4 + 3)))
      for (const delivery of client.deliveries.splice(0)) {
        seen.push(String(delivery.entry.message.body))
        client.session.settleAck(delivery.deliveryTag)
      }
    }
    assert.deepEqual(seen, numbers(1000, 1100))
    assert.equal(bench.engine.residentBytes, 0)
  })

  test('the window is one of bytes too, but holds one entry however large', () => {
    const { bench, client } = setUp({ messages: 100, bytes: 10 })
    const queue = client.queue('q')
    client.send('q', 'x'.repeat(50))
    client.send('q', 'y')
    assert.equal(bench.engine.residentBytes, resident(1, 50))
    assert.equal(queue.readyMessages, 2)
    bench.engine.invariants()
  })

  test('headers count in the window as bodies do', () => {
    const { bench, client } = setUp({ messages: 100, bytes: 1_000 })
    client.queue('q')
    const propertyBytes = encodeProperties({ headers: { note: 'x'.repeat(600) } })
    for (let index = 0; index < 5; index += 1) {
      client.session.publish(Message.ofBytes('', 'q', propertyBytes, 'm'), persistentPublish, bench.nowMs)
    }
    assert.equal(bench.engine.residentBytes, resident(2, 2 * (propertyBytes.length + 1)))
    bench.engine.invariants()
  })

  test('a transient entry is put on record when it leaves memory, and forgotten when it is done', () => {
    const { store, client, settle } = setUp()
    const queue = client.queue('q', {}, { durable: false })
    for (const body of numbers(0, 10)) client.send('q', body)
    assert.equal(store.kept.size, 6)
    client.consume('q', { noAck: true })
    settle()
    assert.deepEqual(client.takeBodies(), numbers(0, 10))
    assert.equal(store.kept.size, 0)
    assert.equal(queue.depth, 0)
    for (const body of numbers(0, 10)) client.send('q', body)
    client.session.deleteQueue('q')
    assert.equal(store.kept.size, 0)
  })

  test('a purge while a load is outstanding throws its answer away', () => {
    const { store, bench, client, settle } = setUp()
    const queue = client.queue('q')
    store.readEarly = true
    for (const body of numbers(0, 20)) client.send('q', body)
    client.consume('q', { prefetch: 4 })
    bench.settle()
    assert.equal(store.pending.length, 1)
    assert.equal(client.session.purgeQueue('q'), 16)
    for (const body of numbers(20, 30)) client.send('q', body)
    settle()
    assert.equal(queue.readyMessages, 10)
    client.session.ack(0, true, bench.nowMs)
    for (let round = 0; round < 10; round += 1) {
      settle()
      client.session.ack(0, true, bench.nowMs)
    }
    assert.deepEqual(client.takeBodies(), [...numbers(0, 4), ...numbers(20, 30)])
    assert.equal(queue.depth, 0)
    assert.equal(bench.engine.counters.lostEntries, 0)
  })

  test('a get that finds nothing tells an empty queue from one whose head is being read', () => {
    const { store, bench, client } = setUp()
    const queue = client.queue('q')
    for (const body of numbers(0, 20)) client.send('q', body)
    assert.deepEqual(client.drain('q'), numbers(0, 4))
    assert.equal(queue.isReading, true)
    assert.equal(store.answer(bench.engine), true)
    assert.equal(queue.isReading, false)
    assert.equal(client.drain('q').at(0), '4')
    client.session.purgeQueue('q')
    assert.equal(queue.isReading, false)
  })

  test('a queue may go while a load is outstanding', () => {
    const { client, settle } = setUp()
    client.queue('q')
    for (const body of numbers(0, 20)) client.send('q', body)
    client.drain('q')
    client.session.deleteQueue('q')
    settle()
  })

  test('the head is dropped where it is, the rest is read first', () => {
    const { client, settle } = setUp()
    const queue = client.queue('q', { 'x-max-length': 10 })
    for (const body of numbers(0, 40)) client.send('q', body)
    settle()
    assert.equal(queue.readyMessages, 10)
    client.consume('q', { noAck: true })
    settle()
    assert.deepEqual(client.takeBodies(), numbers(30, 40))
  })

  test('a large return makes room by letting the tail of the window go', () => {
    const { store, bench, client, settle } = setUp()
    const other = bench.client()
    client.queue('q')
    for (const body of numbers(0, 40)) client.send('q', body)
    client.consume('q', { prefetch: 16 })
    settle()
    assert.equal(client.deliveries.length, 16)
    client.session.close(bench.nowMs)
    settle()
    assert.ok(bench.engine.residentBytes <= resident(16, 16 * 2 + 4))
    other.consume('q', { noAck: true })
    settle()
    assert.deepEqual(other.takeBodies(), numbers(0, 40))
    assert.equal(store.kept.size, 0)
  })

  test('what is counted and is not there any more is counted as lost', () => {
    const { store, bench, client, settle } = setUp()
    const queue = client.queue('q')
    for (const body of numbers(0, 20)) client.send('q', body)
    for (const seq of store.kept.keys()) if (seq > 8) store.kept.delete(seq)
    client.consume('q', { noAck: true })
    settle()
    assert.deepEqual(client.takeBodies(), numbers(0, 8))
    assert.equal(queue.readyMessages, 0)
    assert.equal(queue.readyBytes, 0)
    assert.equal(bench.engine.counters.lostEntries, 12)
  })

  test('delayed entries beyond the window are read back before they are due', () => {
    const { store, bench, client, settle } = setUp()
    const queue = client.queue('q')
    for (let index = 0; index < 20; index += 1) {
      client.send('q', String(index), { delayMs: 10_000 - index * 100 }, { messageId: `id${index}` })
    }
    assert.equal(queue.delayed.length, 20)
    assert.equal(queue.delayed.pagedLength, 18)
    const far = store.kept.get(12)!.entry
    assert.equal(bench.engine.cancelDelayedEntry(queue, far), true)
    assert.equal(bench.engine.cancelDelayedEntry(queue, far), false)
    client.consume('q', { noAck: true })
    for (let round = 0; round < 120; round += 1) {
      bench.nowMs += 100
      settle()
    }
    assert.deepEqual(
      client.takeBodies(),
      numbers(0, 20)
        .toReversed()
        .filter((body) => body !== '11'),
    )
    assert.equal(queue.depth, 0)
    assert.equal(store.kept.size, 0)
    assert.equal(bench.engine.nextDueMs(), Infinity)
  })

  test('priorities are kept while the higher lane is being read', () => {
    const { client, settle } = setUp()
    client.queue('q', { 'x-max-priority': 1 })
    for (const body of numbers(0, 20)) client.send('q', body, { priority: Number(body) % 2 })
    client.consume('q', { noAck: true })
    settle()
    const bodies = client.takeBodies()
    assert.ok(bodies.slice(0, 10).every((body) => Number(body) % 2 === 1))
    assert.equal(bodies.length, 20)
  })

  test('browsing says where the part on disk begins', () => {
    const { bench, client } = setUp()
    const queue = client.queue('q')
    for (const body of numbers(0, 20)) client.send('q', body)
    const page = bench.engine.browseReady(queue, undefined, 10)
    assert.equal(page.entries.length, 4)
    assert.deepEqual(page.paged, { lane: 0, afterSeq: 4 })
  })

  test('browsing shows what came back in its place', () => {
    const { bench, client } = setUp({ messages: 10 })
    const queue = client.queue('q')
    for (const body of numbers(0, 6)) client.send('q', body)
    for (let index = 0; index < 3; index += 1) client.session.get({ queue: 'q', noAck: false }, 0)
    client.session.reject(2, { requeue: true }, 0)
    client.session.reject(1, { requeue: true }, 0)
    const bodies = bench.engine
      .browseReady(queue, undefined, 10)
      .entries.map(({ message }) => String(message.body))
    assert.deepEqual(bodies, ['0', '1', '3', '4', '5'])
  })

  test('what comes back lets go of no more of the window than there is too much', () => {
    const { bench, client, settle } = setUp({ messages: 100, bytes: 40 })
    client.queue('q')
    client.send('q', 'x'.repeat(60))
    client.session.get({ queue: 'q', noAck: false }, 0)
    for (const body of numbers(100, 110)) client.send('q', body)
    assert.equal(bench.engine.residentBytes, resident(11, 90))
    client.session.reject(1, { requeue: true }, 0)
    assert.equal(bench.engine.residentBytes, resident(1, 60))
    client.session.get({ queue: 'q', noAck: true }, 0)
    settle()
    assert.deepEqual(client.drain('q'), numbers(100, 110))
    settle()
    assert.equal(bench.engine.residentBytes, 0)
  })

  test('a delayed entry is called off wherever it is, in memory or on its way there', () => {
    const { store, bench, client, settle } = setUp()
    const queue = client.queue('q')
    for (const body of ['near', 'also near', 'far', 'coming', 'last']) {
      client.send('q', body, { delayMs: 10_000 })
    }
    const entryOf = (body: string) =>
      [...store.kept.values()].find(({ entry }) => entry.message.body === body)!.entry
    assert.equal(bench.engine.cancelDelayedEntry(queue, entryOf('near')), true)
    assert.equal(bench.engine.cancelDelayedEntry(queue, entryOf('far')), true)
    const coming = entryOf('coming')
    store.readEarly = true
    bench.nowMs += 9_500
    bench.settle()
    assert.equal(bench.engine.cancelDelayedEntry(queue, coming), true)
    assert.equal(bench.engine.cancelDelayedEntry(queue, coming), false)
    settle()
    bench.nowMs += 500
    settle()
    assert.deepEqual(client.drain('q'), ['also near', 'last'])
    assert.equal(bench.engine.counters.lostEntries, 0)
  })

  test('delayed entries without a body are read back as many as may be at once', () => {
    const { bench, client, settle } = setUp()
    client.queue('q')
    for (let index = 0; index < 10; index += 1) client.send('q', '', { delayMs: 100 })
    client.consume('q', { noAck: true })
    bench.nowMs += 100
    settle()
    assert.equal(client.deliveries.length, 10)
  })
})

describe('what was counted at a start', () => {
  const definitions: Definition[] = [
    { type: 'vhost.declared', vhost: '/' },
    {
      type: 'queue.declared',
      id: 1,
      vhost: '/',
      name: 'q',
      autoDelete: false,
      arguments: { 'x-max-length': 6 },
    },
  ]

  /** @param change what the store counts, where it is not what it has */
  function restart(bodies: readonly string[], change: Partial<RecoveredLane>) {
    const store = new FakeStore({ messages: 4, bytes: 1000, delayed: 2 })
    const before = Bench.create({ journal: store, pager: store })
    before.client().queue('q')
    const writer = before.client()
    for (const body of bodies) writer.send('q', body)
    const recovered = store.recover(definitions, 1000)
    const lanes = recovered.queues.flatMap((queue) => queue.lanes.map((lane) => ({ ...lane, ...change })))
    const bench = new Bench({ journal: store, pager: store })
    const queues = recovered.queues.map((queue) => ({ ...queue, lanes }))
    bench.engine.restore({ ...recovered, queues })
    const client = bench.client()
    const settle = (): void => {
      do bench.settle()
      while (store.answer(bench.engine))
    }
    return { bench, client, settle, queue: client.session.queue('q') }
  }

  test('is what there is, in messages and in bytes', () => {
    const { bench, client, settle, queue } = restart(numbers(0, 5), { bodyBytes: 1000 })
    client.consume('q', { noAck: true })
    settle()
    assert.deepEqual(client.takeBodies(), numbers(0, 5))
    assert.equal(queue.readyBytes, 0)
    assert.equal(bench.engine.counters.lostEntries, 0)
  })

  test('and is more than was counted is not handed out', () => {
    const { client, settle, queue } = restart(numbers(0, 5), { count: 3, bodyBytes: 3 })
    client.consume('q', { noAck: true })
    settle()
    assert.deepEqual(client.takeBodies(), numbers(0, 3))
    assert.equal(queue.readyMessages, 0)
  })

  test('and is none is not looked for', () => {
    const { bench, queue } = restart(numbers(0, 5), { count: 0, bodyBytes: 0 })
    assert.equal(queue.depth, 0)
    assert.equal(bench.engine.nextDueMs(), Infinity)
  })

  test('and is more than the queue may hold now is dropped from its head', () => {
    const { client, settle, queue } = restart(numbers(0, 9), {})
    assert.equal(queue.readyMessages, 9)
    settle()
    assert.equal(queue.readyMessages, 6)
    client.consume('q', { noAck: true })
    settle()
    assert.deepEqual(client.takeBodies(), numbers(3, 9))
  })
})
