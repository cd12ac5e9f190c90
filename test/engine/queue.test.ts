import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { silentJournal } from '../../src/engine/engine.ts'
import type { FieldTable } from '../../src/model/field-value.ts'
import type { Journal } from '../../src/model/record.ts'
import { Bench, codeOf } from './harness.ts'
import type { Client } from './harness.ts'

function headersOf(client: Client, queue: string): FieldTable {
  const got = client.session.get({ queue, noAck: true }, 0)
  return got?.delivery.entry.message.properties.headers ?? {}
}

describe('length limits', () => {
  test('drop-head makes room at the head; only what is ready counts', () => {
    const bench = Bench.create()
    const client = bench.client()
    const queue = client.queue('q', { 'x-max-length': 2 })
    client.send('q', 'a')
    client.consume('q', { tag: 't', prefetch: 1 })
    bench.settle()
    for (const body of ['b', 'c', 'd']) client.send('q', body)
    bench.settle()
    assert.equal(queue.unackedMessages, 1)
    client.session.cancel('t', bench.nowMs)
    assert.deepEqual(client.drain('q'), ['c', 'd'])
    assert.equal(queue.counters.dropped, 1)
  })

  test('bytes count as messages do', () => {
    const bench = Bench.create()
    const client = bench.client()
    client.queue('q', { 'x-max-length-bytes': 5 })
    for (const body of ['aa', 'bb', 'cc', 'dddddd']) client.send('q', body)
    assert.deepEqual(client.drain('q'), [])
    for (const body of ['aa', 'bb', 'cc']) client.send('q', body)
    assert.deepEqual(client.drain('q'), ['bb', 'cc'])
    bench.settle()
  })

  test('reject-publish refuses, and what a waiting consumer takes at once does not count', () => {
    const bench = Bench.create()
    const client = bench.client()
    const queue = client.queue('q', { 'x-max-length': 1, 'x-overflow': 'reject-publish' })
    assert.equal(client.send('q', 'a').type, 'routed')
    assert.equal(client.send('q', 'b').type, 'rejected')
    assert.equal(queue.counters.rejected, 1)
    client.consume('q', { prefetch: 2 })
    bench.settle()
    assert.equal(client.send('q', 'c').type, 'routed')
    assert.equal(client.send('q', 'd').type, 'routed')
    assert.equal(client.send('q', 'e').type, 'rejected')
    bench.settle()
    assert.deepEqual(client.takeBodies(), ['a', 'c'])
    assert.equal(queue.readyMessages, 1)
  })

  test('reject-publish-dlx dead-letters what it refuses', () => {
    const bench = Bench.create()
    const client = bench.client()
    client.queue('dead')
    client.queue('q', {
      'x-max-length': 1,
      'x-overflow': 'reject-publish-dlx',
      'x-dead-letter-exchange': '',
      'x-dead-letter-routing-key': 'dead',
    })
    client.send('q', 'a')
    assert.equal(client.send('q', 'b').type, 'rejected')
    assert.equal(headersOf(client, 'dead')['x-first-death-reason'], 'maxlen')
    bench.settle()
  })

  test('dropping cascades without end neither in depth nor in a cycle', () => {
    const bench = Bench.create()
    const client = bench.client()
    for (let index = 0; index < 50; index += 1) {
      client.queue(`q${index}`, {
        'x-max-length': 1,
        'x-dead-letter-exchange': '',
        'x-dead-letter-routing-key': `q${(index + 1) % 50}`,
      })
    }
    for (let index = 0; index < 200; index += 1) client.send('q0', String(index))
    bench.settle()
    for (const queue of bench.engine.vhost('/').queues.values()) assert.equal(queue.readyMessages, 1)
    assert.deepEqual(client.drain('q49'), ['150'])
  })
})

describe('dead letters', () => {
  test('carry their history, newest first, one table for each queue and reason', () => {
    const bench = Bench.create()
    const client = bench.client()
    client.queue('q', { 'x-dead-letter-exchange': 'amq.fanout', 'x-message-ttl': 100 })
    client.queue('dead', { 'x-dead-letter-exchange': '', 'x-dead-letter-routing-key': 'q' })
    client.session.bindQueue({ queue: 'dead', exchange: 'amq.fanout', routingKey: '' })
    client.send('q', 'a', { ttlMs: 50 }, { expiration: '50', headers: { CC: ['other'], mine: 1 } })
    bench.pass(50)
    const time = new Date(bench.nowMs - (bench.nowMs % 1000))
    const first = client.session.get({ queue: 'dead', noAck: false }, bench.nowMs)
    const { message } = first!.delivery.entry
    const expired = {
      count: 1n,
      reason: 'expired',
      queue: 'q',
      time,
      exchange: '',
      'routing-keys': ['q', 'other'],
      'original-expiration': '50',
    }
    assert.equal(message.exchange, 'amq.fanout')
    assert.equal(message.routingKey, 'q')
    assert.equal(message.properties.expiration, undefined)
    assert.deepEqual(message.properties.headers, {
      CC: ['other'],
      mine: 1,
      'x-death': [expired],
      'x-first-death-reason': 'expired',
      'x-first-death-queue': 'q',
      'x-first-death-exchange': '',
      'x-last-death-reason': 'expired',
      'x-last-death-queue': 'q',
      'x-last-death-exchange': '',
    })
    client.session.reject(first!.delivery.deliveryTag, { requeue: false }, bench.nowMs)
    bench.pass(100)
    const second = client.session.get({ queue: 'dead', noAck: false }, bench.nowMs)
    const headers = second!.delivery.entry.message.properties.headers!
    const rejected = {
      count: 1n,
      reason: 'rejected',
      queue: 'dead',
      time,
      exchange: 'amq.fanout',
      'routing-keys': ['q', 'other'],
    }
    assert.deepEqual(headers['x-death'], [{ ...expired, count: 2n }, rejected])
    assert.equal(headers['x-first-death-reason'], 'expired')
    assert.equal(headers['x-last-death-queue'], 'q')
    bench.settle()
  })

  test('a cycle that nobody rejected in is dropped', () => {
    const bench = Bench.create()
    const client = bench.client()
    const queue = client.queue('q', {
      'x-message-ttl': 10,
      'x-dead-letter-exchange': '',
      'x-dead-letter-routing-key': 'q',
    })
    client.send('q', 'a')
    bench.pass(10)
    assert.equal(queue.depth, 0)
    assert.equal(queue.counters.deadLettered, 0)
  })

  test('without an exchange, or one that is not there, they are dropped', () => {
    const bench = Bench.create()
    const client = bench.client()
    const none = client.queue('none')
    const gone = client.queue('gone', { 'x-dead-letter-exchange': 'gone' })
    for (const name of ['none', 'gone']) {
      client.send(name, 'a')
      const tag = client.session.get({ queue: name, noAck: false }, 0)!.delivery.deliveryTag
      client.session.reject(tag, { requeue: false }, 0)
    }
    assert.equal(none.counters.dropped, 1)
    assert.equal(gone.counters.dropped, 1)
    bench.settle()
    assert.equal(bench.engine.residentBytes, 0)
  })

  test('the delivery limit counts returns', () => {
    const bench = Bench.create()
    const client = bench.client()
    client.queue('dead')
    const queue = client.queue('q', {
      'x-queue-type': 'quorum',
      'x-delivery-limit': 2,
      'x-dead-letter-exchange': '',
      'x-dead-letter-routing-key': 'dead',
    })
    client.send('q', 'a')
    for (let attempt = 1; attempt <= 3; attempt += 1) {
      const delivery = client.session.get({ queue: 'q', noAck: false }, 0)!.delivery
      assert.equal(delivery.attempt, attempt)
      client.session.reject(delivery.deliveryTag, { requeue: true }, 0)
    }
    assert.equal(queue.depth, 0)
    assert.equal(headersOf(client, 'dead')['x-first-death-reason'], 'delivery_limit')
    bench.settle()
  })

  test('what a handler gave up says why', () => {
    const bench = Bench.create()
    const client = bench.client()
    client.queue('dead')
    client.queue('q', { 'x-dead-letter-exchange': '', 'x-dead-letter-routing-key': 'dead' })
    client.send('q', 'a')
    const { deliveryTag } = client.session.get({ queue: 'q', noAck: false }, 0)!.delivery
    assert.equal(
      client.session.settleDead(deliveryTag, { reason: 'attempts', error: 'no such user' }, 0),
      true,
    )
    const headers = headersOf(client, 'dead')
    assert.equal(headers['x-millrace-reason'], 'attempts')
    assert.equal(headers['x-millrace-error'], 'no such user')
    assert.equal(headers['x-millrace-attempts'], 1)
    bench.settle()
  })

  test('what a handler says at any length fits into the headers', () => {
    const published: Journal['published'] = (entries) => void entries[0]!.message.propertyBytes
    const bench = Bench.create({ journal: { ...silentJournal, published } })
    const client = bench.client()
    client.queue('dead')
    client.queue('q', { 'x-dead-letter-exchange': '', 'x-dead-letter-routing-key': 'dead' })
    client.send('q', 'a')
    const { deliveryTag } = client.session.get({ queue: 'q', noAck: false }, 0)!.delivery
    const page = 'x'.repeat(1_000_000)
    client.session.settleDead(deliveryTag, { reason: page, error: page }, 0)
    assert.equal(String(headersOf(client, 'dead')['x-millrace-error']).length, 4_096)
    bench.settle()
  })
})

describe('consumers', () => {
  test('take turns, the highest priority with credit first', () => {
    const bench = Bench.create()
    const client = bench.client()
    client.queue('q')
    client.consume('q', { tag: 'low', prefetch: 5 })
    client.consume('q', { tag: 'a', prefetch: 2, arguments: { 'x-priority': 1 } })
    client.consume('q', { tag: 'b', prefetch: 2, arguments: { 'x-priority': 1 } })
    for (let index = 0; index < 6; index += 1) client.send('q', String(index))
    bench.settle()
    assert.deepEqual(
      client.deliveries.map(({ consumerTag }) => consumerTag),
      ['a', 'b', 'a', 'b', 'low', 'low'],
    )
  })

  test('with a single active consumer the others stand by', () => {
    const bench = Bench.create()
    const client = bench.client()
    client.queue('q', { 'x-single-active-consumer': true })
    client.consume('q', { tag: 'a', prefetch: 1 })
    client.consume('q', { tag: 'b' })
    client.send('q', 'x')
    client.send('q', 'y')
    bench.settle()
    assert.deepEqual(
      client.deliveries.map(({ consumerTag }) => consumerTag),
      ['a'],
    )
    client.session.cancel('a', bench.nowMs)
    bench.settle()
    assert.deepEqual(
      client.deliveries.map(({ consumerTag }) => consumerTag),
      ['a', 'b'],
    )
    const exclusive = { queue: 'q', tag: 'c', exclusive: true }
    assert.equal(
      codeOf(() => client.session.consume(exclusive, 0)),
      'ACCESS_REFUSED',
    )
  })

  test('an exclusive one stays alone', () => {
    const bench = Bench.create()
    const client = bench.client()
    client.queue('q')
    client.session.consume({ queue: 'q', tag: 'a', exclusive: true }, 0)
    assert.equal(
      codeOf(() => client.consume('q')),
      'ACCESS_REFUSED',
    )
    assert.equal(
      codeOf(() => client.session.consume({ queue: 'q', tag: 'a' }, 0)),
      'NOT_ALLOWED',
    )
    client.session.cancel('a', 0)
    client.consume('q')
    assert.equal(
      codeOf(() => client.session.consume({ queue: 'q', tag: 'b', exclusive: true }, 0)),
      'ACCESS_REFUSED',
    )
    bench.settle()
  })

  test('cancelling does not requeue', () => {
    const bench = Bench.create()
    const client = bench.client()
    const queue = client.queue('q')
    client.send('q', 'a')
    client.consume('q', { tag: 't' })
    bench.settle()
    client.session.cancel('t', 0)
    bench.settle()
    assert.equal(queue.unackedMessages, 1)
    client.session.ack(1, false, 0)
    assert.equal(queue.depth, 0)
  })

  test('a paused queue delivers nothing and takes what is published', () => {
    const bench = Bench.create()
    const client = bench.client()
    const queue = client.queue('q')
    client.consume('q')
    bench.engine.pause(queue, true)
    client.send('q', 'a')
    bench.settle()
    assert.equal(client.deliveries.length, 0)
    assert.equal(client.session.get({ queue: 'q', noAck: true }, 0), undefined)
    bench.engine.pause(queue, false)
    bench.settle()
    assert.equal(client.deliveries.length, 1)
  })
})

describe('priorities', () => {
  test('higher goes first, first come first served within one; above the maximum is the maximum', () => {
    const bench = Bench.create()
    const client = bench.client()
    client.queue('q', { 'x-max-priority': 3 })
    for (const [body, priority] of [
      ['a', 0],
      ['b', 3],
      ['c', 1],
      ['d', 9],
      ['e', 1],
    ] as const) {
      client.send('q', body, { priority })
    }
    assert.deepEqual(client.drain('q'), ['b', 'd', 'c', 'e', 'a'])
    bench.settle()
  })
})

describe('order by key', () => {
  test('one of a key at a time, in order, while others pass', () => {
    const bench = Bench.create()
    const client = bench.client()
    const queue = client.queue('q')
    client.consume('q')
    for (const body of ['a1', 'a2', 'b1', 'a3', 'b2', 'free']) {
      client.send('q', body, { key: body === 'free' ? '' : body.slice(0, 1) })
    }
    bench.settle()
    assert.equal(queue.readyMessages, 3)
    assert.deepEqual(client.takeBodies(), ['a1', 'b1', 'free'])
    client.session.settleRetry(1, 1000, bench.nowMs)
    bench.settle()
    assert.deepEqual(client.takeBodies(), [])
    bench.pass(1000)
    assert.deepEqual(client.takeBodies(), ['a1'])
    client.session.settleAck(4)
    client.session.settleAck(2)
    bench.settle()
    assert.deepEqual(client.takeBodies(), ['a2', 'b2'])
  })

  test('moving keeps the order of a key, what is set aside included', () => {
    const bench = Bench.create()
    const client = bench.client()
    const from = client.queue('from')
    const to = client.queue('to')
    for (const body of ['a1', 'a2', 'b1', 'a3', 'b2']) client.send('from', body, { key: body.slice(0, 1) })
    client.consume('from', { tag: 't', prefetch: 2 })
    bench.settle()
    client.session.cancel('t', bench.nowMs)
    client.session.nack(0, { multiple: true, requeue: true }, bench.nowMs)
    assert.equal(bench.engine.move({ from, to }, 10, bench.nowMs).messages, 5)
    bench.settle()
    assert.deepEqual(client.drain('to'), ['a1', 'a2', 'b1', 'a3', 'b2'])
  })

  test('a key that becomes free lets the head go, however much is set aside', () => {
    const bench = Bench.create({ limits: { parkedPerQueue: 1 } })
    const client = bench.client()
    const queue = client.queue('q')
    client.consume('q')
    for (const body of ['a1', 'b1', 'b2', 'a2']) {
      client.send('q', body, { key: body.slice(0, 1) }, { messageId: body })
    }
    bench.settle()
    assert.deepEqual(client.takeBodies(), ['a1', 'b1'])
    client.session.settleRetry(1, 1000, bench.nowMs)
    bench.settle()
    assert.equal(bench.engine.cancelDelayed(queue, 'a1'), 1)
    bench.settle()
    assert.deepEqual(client.takeBodies(), ['a2'])
  })

  test('what a move has left behind waits for its key as before', () => {
    const bench = Bench.create()
    const client = bench.client()
    const from = client.queue('from')
    const to = client.queue('to', { 'x-max-length': 0, 'x-overflow': 'reject-publish' })
    for (const body of ['a1', 'a2', 'a3']) client.send('from', body, { key: 'a' })
    client.consume('from')
    bench.settle()
    assert.equal(bench.engine.move({ from, to }, 10, bench.nowMs).messages, 0)
    bench.settle()
    assert.equal(bench.engine.move({ from, to: client.queue('other') }, 1, bench.nowMs).messages, 1)
    bench.settle()
    assert.deepEqual(client.takeBodies(), ['a1'])
    client.session.settleAck(1)
    bench.settle()
    assert.deepEqual(client.takeBodies(), ['a3'])
    assert.deepEqual(client.drain('other'), ['a2'])
  })

  test('a key is free again when its owner is purged while it is held back', () => {
    const bench = Bench.create()
    const client = bench.client()
    const queue = client.queue('q')
    client.consume('q')
    client.send('q', 'a1', { key: 'a' })
    client.send('q', 'a2', { key: 'a' })
    bench.settle()
    client.session.settleRetry(1, 1000, bench.nowMs)
    bench.settle()
    assert.equal(bench.engine.purge(queue, 'delayed'), 1)
    bench.settle()
    assert.deepEqual(client.takeBodies(), ['a1', 'a2'])
  })
})

describe('operators', () => {
  test('purging drops what is ready and leaves what is in hands', () => {
    const bench = Bench.create()
    const client = bench.client()
    const queue = client.queue('q')
    client.consume('q', { prefetch: 1 })
    for (const body of ['a', 'b', 'c']) client.send('q', body)
    client.send('q', 'd', { delayMs: 1000 })
    bench.settle()
    assert.equal(client.session.purgeQueue('q'), 2)
    bench.settle()
    assert.equal(queue.depth, 2)
    assert.equal(bench.engine.purge(queue, 'all'), 1)
    bench.settle()
    assert.equal(queue.depth, 1)
  })

  test('moving puts messages at the tail of another queue, their attempts at none', () => {
    const bench = Bench.create({ limits: { entriesPerMove: 2 } })
    const client = bench.client()
    const from = client.queue('from')
    const to = client.queue('to', { 'x-max-length': 4, 'x-overflow': 'reject-publish' })
    for (const body of ['a', 'b', 'c', 'd']) client.send('from', body)
    client.send('to', 'first')
    const { deliveryTag } = client.session.get({ queue: 'from', noAck: false }, 0)!.delivery
    client.session.reject(deliveryTag, { requeue: true }, 0)
    assert.deepEqual(bench.engine.move({ from, to }, 10, 0), { messages: 2, more: true })
    assert.deepEqual(bench.engine.move({ from, to }, 8, 0), { messages: 1, more: false })
    bench.settle()
    assert.equal(from.readyMessages, 1)
    client.session.get({ queue: 'to', noAck: true }, 0)
    assert.equal(client.session.get({ queue: 'to', noAck: false }, 0)!.delivery.attempt, 1)
    bench.settle()
  })

  test('browsing shows the order of delivery page by page and changes nothing', () => {
    const bench = Bench.create()
    const client = bench.client()
    const queue = client.queue('q', { 'x-max-priority': 1 })
    for (const [body, priority] of [
      ['a', 0],
      ['b', 1],
      ['c', 0],
      ['d', 1],
      ['e', 0],
    ] as const) {
      client.send('q', body, { priority })
    }
    client.send('q', 'later', { delayMs: 1000 })
    const seen: unknown[] = []
    let page = bench.engine.browseReady(queue, undefined, 2)
    seen.push(...page.entries.map(({ message }) => message.body))
    while (page.next !== undefined) {
      page = bench.engine.browseReady(queue, page.next, 2)
      seen.push(...page.entries.map(({ message }) => message.body))
    }
    assert.deepEqual(seen, ['b', 'd', 'a', 'c', 'e'])
    assert.equal(bench.engine.browseDelayed(queue, 0, 10).length, 1)
    client.consume('q', { prefetch: 2 })
    bench.settle()
    assert.deepEqual(
      bench.engine.browseUnacked(queue, 0, 10).map(({ message }) => message.body),
      ['b', 'd'],
    )
    assert.equal(queue.readyMessages, 3)
  })

  test('statistics add up', () => {
    const bench = Bench.create()
    const client = bench.client()
    const queue = client.queue('q')
    client.consume('q', { prefetch: 2 })
    for (const body of ['a', 'b', 'c']) client.send('q', body)
    bench.nowMs += 500
    bench.settle()
    client.session.settleAck(1)
    client.session.nack(2, { multiple: false, requeue: true }, bench.nowMs)
    bench.settle()
    const { published, delivered, redelivered, acked } = queue.counters
    assert.deepEqual(
      { published, delivered, redelivered, acked },
      { published: 3, delivered: 4, redelivered: 1, acked: 1 },
    )
    assert.equal(queue.oldestMs(bench.nowMs), 0)
    client.session.close(bench.nowMs)
    assert.equal(queue.oldestMs(bench.nowMs), 500)
  })
})
