import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { silentJournal } from '../../src/engine/engine.ts'
import { persistentPublish } from '../../src/engine/publish.ts'
import { maximumFieldDepth } from '../../src/model/field-value.ts'
import type { FieldTable, FieldValue } from '../../src/model/field-value.ts'
import { Message } from '../../src/model/message.ts'
import { encodeProperties } from '../../src/model/properties.ts'
import type { Journal } from '../../src/model/record.ts'
import { Bench } from './harness.ts'

test('dead letters carry their history, newest first, one table for each queue and reason', () => {
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
    count: 1,
    reason: 'rejected',
    queue: 'dead',
    time,
    exchange: 'amq.fanout',
    'routing-keys': ['q', 'other'],
  }
  assert.deepEqual(headers['x-death'], [{ ...expired, count: 2 }, rejected])
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

test('without a dead-letter exchange, or with one that is not there, dead letters are dropped', () => {
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
  assert.equal(client.headers('dead')['x-first-death-reason'], 'delivery_limit')
  bench.settle()
})

test('what a handler gave up says why', () => {
  const bench = Bench.create()
  const client = bench.client()
  client.queue('dead')
  client.queue('q', { 'x-dead-letter-exchange': '', 'x-dead-letter-routing-key': 'dead' })
  client.send('q', 'a')
  const { deliveryTag } = client.session.get({ queue: 'q', noAck: false }, 0)!.delivery
  assert.equal(client.session.settleDead(deliveryTag, { reason: 'attempts', error: 'no such user' }, 0), true)
  const headers = client.headers('dead')
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
  assert.equal(String(client.headers('dead')['x-millrace-error']).length, 4_096)
  bench.settle()
})

test('a queue that refuses a message into its dead letters does not keep it from the others', () => {
  const bench = Bench.create()
  const client = bench.client()
  const full = { 'x-max-length': 0, 'x-overflow': 'reject-publish-dlx', 'x-dead-letter-exchange': '' }
  client.queue('a', { ...full, 'x-dead-letter-routing-key': 'dead' })
  for (const name of ['b', 'c', 'dead']) client.queue(name)
  for (const queue of ['a', 'b', 'c']) {
    client.session.bindQueue({ queue, exchange: 'amq.fanout', routingKey: '' })
  }
  client.publish('amq.fanout', '', 'm')
  bench.settle()
  for (const name of ['b', 'c', 'dead']) assert.deepEqual(client.drain(name), ['m'], name)
})

describe('what a queue refuses or expires on the way', () => {
  const toDead = { 'x-dead-letter-exchange': '', 'x-dead-letter-routing-key': 'dead' }
  const refusing = { ...toDead, 'x-max-length': 0, 'x-overflow': 'reject-publish-dlx' }

  function setUp(first: FieldTable, exchange: string) {
    const bench = Bench.create()
    const client = bench.client()
    const table = { 'x-delayed-type': 'fanout' }
    client.session.declareExchange({ name: 'held', kind: 'x-delayed-message', arguments: table })
    client.queue('dead')
    client.queue('first', first)
    for (const name of ['second', 'third']) client.queue(name)
    for (const queue of ['first', 'second', 'third']) {
      client.session.bindQueue({ queue, exchange, routingKey: '' })
    }
    return { bench, client }
  }

  test('takes nothing from the other queues of a fanout', () => {
    const { client } = setUp(refusing, 'amq.fanout')
    assert.deepEqual(client.publish('amq.fanout', '', 'a'), { type: 'rejected', queues: 2, messageId: '' })
    for (const name of ['dead', 'second', 'third']) assert.deepEqual(client.drain(name), ['a'], name)
  })

  test('takes nothing from the other queues where a time to live of 0 has run out', () => {
    const { client } = setUp({ ...toDead, 'x-message-ttl': 0 }, 'amq.fanout')
    client.send('first', 'old')
    client.publish('amq.fanout', '', 'a')
    for (const name of ['second', 'third']) assert.deepEqual(client.drain(name), ['a'], name)
    assert.deepEqual(client.drain('dead'), ['old'])
  })

  test('takes nothing from the other queues when what was held back is due', () => {
    const { bench, client } = setUp(refusing, 'held')
    client.publish('held', '', 'a', {}, { headers: { 'x-delay': 5 } })
    bench.pass(5)
    for (const name of ['dead', 'second', 'third']) assert.deepEqual(client.drain(name), ['a'], name)
    assert.equal(bench.engine.counters.unroutable, 0)
  })
})

describe('a dead letter of a message whose headers a client forged', () => {
  function letterOf(headers: FieldTable, form: 'bytes' | 'objects'): FieldTable {
    const bench = Bench.create()
    const client = bench.client()
    client.queue('dead')
    client.queue('q', {
      'x-message-ttl': 5,
      'x-dead-letter-exchange': '',
      'x-dead-letter-routing-key': 'dead',
    })
    const message =
      form === 'bytes'
        ? Message.ofBytes('', 'q', encodeProperties({ headers }), 'body')
        : Message.of('', 'q', { headers }, 'body')
    client.session.publish(message, { ...persistentPublish, hasHeaders: true }, bench.nowMs)
    bench.pass(5)
    return client.headers('dead')
  }

  const counts: readonly [number | bigint | string | null, bigint][] = [
    [1.5, 1n],
    [1e300, 1n],
    [NaN, 1n],
    ['2', 1n],
    [null, 1n],
    [2, 3n],
    [2n ** 63n - 1n, -(2n ** 63n)],
  ]
  for (const form of ['bytes', 'objects'] as const) {
    for (const [count, expected] of counts) {
      test(`counts on from ${count === null ? 'nothing' : `${typeof count} ${count}`} in ${form}`, () => {
        const letter = letterOf({ 'x-death': [{ queue: 'q', reason: 'expired', count }] }, form)
        const [death] = letter['x-death'] as FieldTable[]
        assert.equal(BigInt(death?.['count'] as number | bigint), expected)
      })
    }

    test(`passes on what it says of other queues in ${form}`, () => {
      for (const count of [1.5, 1e300, 7, 2n ** 63n - 1n, 'many']) {
        const letter = letterOf({ 'x-death': [{ queue: 'other', reason: 'expired', count }] }, form)
        const deaths = letter['x-death'] as FieldTable[]
        assert.equal(String(deaths[1]?.['count']), String(count))
      }
    })

    test(`names the copies that are keys, and nothing that is nested, in ${form}`, () => {
      let nested: FieldValue = 'deep'
      for (let depth = 2; depth < maximumFieldDepth; depth += 1) nested = [nested]
      const letter = letterOf({ CC: ['copy', nested] }, form)
      const [death] = letter['x-death'] as FieldTable[]
      assert.deepEqual(death?.['routing-keys'], ['q', 'copy'])
    })
  }
})
