import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { Bench, JournalLog, codeOf } from './harness.ts'

describe('time to live', () => {
  test('the smaller of the queue’s and the message’s counts, and what has expired is never delivered', () => {
    const bench = Bench.create()
    const client = bench.client()
    const queue = client.queue('q', { 'x-message-ttl': 1000 })
    client.send('q', 'short', { ttlMs: 500 })
    client.send('q', 'long', { ttlMs: 5000 })
    bench.pass(499)
    assert.equal(queue.readyMessages, 2)
    bench.pass(1)
    assert.equal(queue.readyMessages, 1)
    bench.pass(500)
    assert.equal(queue.readyMessages, 0)
    assert.equal(queue.counters.expired, 2)
    assert.deepEqual(client.drain('q'), [])
  })

  test('a dispatch that comes late does not deliver it either', () => {
    const bench = Bench.create()
    const client = bench.client()
    client.queue('q')
    client.consume('q')
    client.send('q', 'a', { ttlMs: 10 })
    bench.nowMs += 10
    bench.engine.dispatch(bench.nowMs)
    assert.equal(client.deliveries.length, 0)
    bench.settle()
  })

  test('0 delivers now or never', () => {
    const bench = Bench.create()
    const client = bench.client()
    const queue = client.queue('q')
    client.send('q', 'nobody', { ttlMs: 0 })
    bench.settle()
    assert.equal(queue.readyMessages, 0)
    client.consume('q', { prefetch: 1 })
    client.send('q', 'now', { ttlMs: 0 })
    client.send('q', 'no credit', { ttlMs: 0 })
    bench.settle()
    assert.deepEqual(client.takeBodies(), ['now'])
    assert.equal(queue.readyMessages, 0)
    client.session.nack(1, { multiple: false, requeue: true }, bench.nowMs)
    bench.settle()
    assert.deepEqual(client.takeBodies(), [])
    assert.equal(queue.depth, 0)
  })

  test('a requeue keeps the deadline', () => {
    const bench = Bench.create()
    const client = bench.client()
    const queue = client.queue('q')
    client.send('q', 'a', { ttlMs: 100 })
    client.consume('q', { tag: 't' })
    bench.settle()
    bench.pass(200)
    client.session.cancel('t', bench.nowMs)
    client.session.nack(1, { multiple: false, requeue: true }, bench.nowMs)
    bench.settle()
    assert.equal(queue.depth, 0)
  })

  test('what expired behind a head that does not goes as soon as it is at the head', () => {
    const bench = Bench.create()
    const client = bench.client()
    const queue = client.queue('q')
    client.send('q', 'stays')
    client.send('q', 'goes', { ttlMs: 100 })
    bench.pass(200)
    assert.equal(
      client.session.get({ queue: 'q', noAck: true }, bench.nowMs)?.delivery.entry.message.body,
      'stays',
    )
    bench.settle()
    assert.equal(queue.depth, 0)
  })
})

describe('delays', () => {
  test('a message is held back until it is due, never early, and a short delay is not stuck behind a long one', () => {
    const bench = Bench.create()
    const client = bench.client()
    const queue = client.queue('q')
    client.consume('q')
    client.send('q', 'long', { delayMs: 1000 })
    client.send('q', 'short', { delayMs: 100 })
    bench.pass(99)
    assert.equal(queue.delayed.length, 2)
    assert.deepEqual(client.takeBodies(), [])
    bench.pass(1)
    assert.deepEqual(client.takeBodies(), ['short'])
    assert.equal(bench.engine.nextDueMs(), bench.nowMs + 900)
    bench.pass(900)
    assert.deepEqual(client.takeBodies(), ['long'])
    assert.equal(bench.engine.nextDueMs(), Infinity)
  })

  test('the time to live of a delayed message begins when it is due', () => {
    const bench = Bench.create()
    const client = bench.client()
    const queue = client.queue('q')
    client.send('q', 'a', { delayMs: 1000, ttlMs: 100 })
    bench.pass(1050)
    assert.equal(queue.readyMessages, 1)
    bench.pass(50)
    assert.equal(queue.readyMessages, 0)
  })

  test('out of range is INVALID_ARGUMENT, and nothing is stored', () => {
    const bench = Bench.create({ limits: { delayMs: 1000 } })
    const client = bench.client()
    const queue = client.queue('q')
    for (const extras of [{ delayMs: -1 }, { delayMs: 1001 }, { delayMs: NaN }, { ttlMs: -1 }]) {
      assert.equal(
        codeOf(() => client.send('q', 'a', extras)),
        'INVALID_ARGUMENT',
      )
    }
    assert.equal(queue.depth, 0)
  })

  test('a delayed message can be called off by its id', () => {
    const bench = Bench.create()
    const client = bench.client()
    const queue = client.queue('q')
    client.send('q', 'a', { delayMs: 100 }, { messageId: 'one' })
    client.send('q', 'b', { delayMs: 200 }, { messageId: 'two' })
    assert.equal(bench.engine.cancelDelayed(queue, 'one'), 1)
    assert.equal(bench.engine.cancelDelayed(queue, 'one'), 0)
    bench.pass(300)
    assert.deepEqual(client.drain('q'), ['b'])
  })

  test('a retry goes to the tail after its delay with its attempts counted; a release does not count', () => {
    const bench = Bench.create()
    const client = bench.client()
    const queue = client.queue('q')
    client.consume('q', { prefetch: 1 })
    client.send('q', 'a')
    client.send('q', 'b')
    bench.settle()
    assert.equal(client.session.settleRetry(1, 100, bench.nowMs), true)
    assert.equal(client.session.settleRetry(1, 100, bench.nowMs), false)
    bench.settle()
    assert.deepEqual(client.takeBodies(), ['a', 'b'])
    client.session.settleRelease(2, 50, bench.nowMs)
    bench.pass(100)
    assert.equal(client.deliveries[0]?.attempt, 1)
    client.session.settleRelease(3, 0, bench.nowMs)
    bench.settle()
    assert.deepEqual(client.takeBodies(), ['b', 'b'])
    client.session.settleAck(4)
    bench.settle()
    assert.equal(client.deliveries[0]?.attempt, 2)
    assert.equal(client.deliveries[0]?.redelivered, true)
    assert.deepEqual(client.takeBodies(), ['a'])
    assert.equal(queue.counters.retried, 1)
  })
})

describe('retries', () => {
  test('of a message that is not on record stay off it', () => {
    const journal = new JournalLog()
    const bench = Bench.create({ journal })
    const client = bench.client()
    client.queue('q')
    client.send('q', 'm', { persistent: false })
    client.session.get({ queue: 'q', noAck: false }, bench.nowMs)
    journal.take()
    client.session.settleRetry(1, 10, bench.nowMs)
    bench.pass(10)
    assert.deepEqual(client.drain('q'), ['m'])
    assert.deepEqual(journal.take(), [])
  })

  test('end at the delivery limit', () => {
    const bench = Bench.create()
    const client = bench.client()
    client.queue('dead')
    client.queue('q', {
      'x-delivery-limit': 1,
      'x-dead-letter-exchange': '',
      'x-dead-letter-routing-key': 'dead',
    })
    client.send('q', 'm')
    for (const left of [0, 1]) {
      const { deliveryTag } = client.session.get({ queue: 'q', noAck: false }, bench.nowMs)!.delivery
      client.session.settleRetry(deliveryTag, 10, bench.nowMs)
      bench.pass(10)
      assert.equal(client.session.queue('dead').readyMessages, left)
    }
    assert.equal(client.headers('dead')['x-first-death-reason'], 'delivery_limit')
  })

  test('end at the next delivery where the limit was lowered meanwhile', () => {
    const bench = Bench.create()
    const client = bench.client()
    const queue = client.queue('q')
    client.send('q', 'm')
    for (let count = 0; count < 3; count += 1) {
      const { deliveryTag } = client.session.get({ queue: 'q', noAck: false }, bench.nowMs)!.delivery
      client.session.reject(deliveryTag, { requeue: true }, bench.nowMs)
    }
    const policy = { vhost: '/', name: 'p', operator: false, pattern: '', priority: 0 } as const
    const definition = { 'delivery-limit': 2 }
    bench.engine.policies.set({ ...policy, applyTo: 'queues', definition }, bench.nowMs)
    assert.equal(queue.readyMessages, 1)
    assert.deepEqual(client.drain('q'), [])
    assert.equal(queue.counters.dropped, 1)
  })
})

describe('de-duplication', () => {
  test('a key is stored once within its window, and the first id is told', () => {
    const bench = Bench.create()
    const client = bench.client()
    const queue = client.queue('q')
    const dedupe = { key: 'k', windowMs: 1000 }
    assert.equal(client.send('q', 'a', { dedupe }, { messageId: 'first' }).type, 'routed')
    const second = client.send('q', 'b', { dedupe }, { messageId: 'second' })
    assert.deepEqual({ ...second }, { type: 'duplicate', queues: 0, messageId: 'first' })
    assert.deepEqual(client.drain('q'), ['a'])
    assert.equal(client.send('q', 'c', { dedupe }).type, 'duplicate')
    bench.pass(1000)
    assert.equal(client.send('q', 'd', { dedupe }).type, 'routed')
    assert.equal(queue.counters.duplicates, 2)
    bench.pass(1000)
    assert.equal(queue.deduplication?.size, 0)
  })

  test('a refused first try is no duplicate', () => {
    const bench = Bench.create()
    const client = bench.client()
    client.queue('q', { 'x-max-length': 1, 'x-overflow': 'reject-publish' })
    client.send('q', 'first')
    const dedupe = { key: 'k', windowMs: 1000 }
    assert.equal(client.send('q', 'a', { dedupe }).type, 'rejected')
    client.consume('q')
    assert.equal(client.send('q', 'a', { dedupe }).type, 'routed')
    bench.settle()
    assert.deepEqual(client.takeBodies(), ['first', 'a'])
  })

  test('beyond the limit of keys the one that ends first is forgotten', () => {
    const bench = Bench.create({ limits: { deduplicationKeysPerQueue: 2 } })
    const client = bench.client()
    client.queue('q')
    for (const key of ['a', 'b', 'c']) client.send('q', key, { dedupe: { key, windowMs: 1000 } })
    assert.equal(client.send('q', 'b', { dedupe: { key: 'b', windowMs: 1000 } }).type, 'duplicate')
    assert.equal(client.send('q', 'a', { dedupe: { key: 'a', windowMs: 1000 } }).type, 'routed')
    bench.settle()
  })
})
