import assert from 'node:assert/strict'
import { test } from 'node:test'
import { silentJournal } from '../../src/engine/engine.ts'
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
