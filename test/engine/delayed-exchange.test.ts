/** Exchanges of type x-delayed-message: what clients of RabbitMQ's plugin rely on, and that nothing is lost or early. */
import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import type { PublishExtras } from '../../src/engine/publish.ts'
import type { FieldTable, FieldValue } from '../../src/model/field-value.ts'
import { FakeStore } from './fake-store.ts'
import { Bench, codeOf } from './harness.ts'
import type { Client } from './harness.ts'

function declare(client: Client, type: FieldValue = 'direct', options: { durable?: boolean } = {}): void {
  client.session.declareExchange({
    name: 'x',
    kind: 'x-delayed-message',
    durable: true,
    arguments: { 'x-delayed-type': type },
    ...options,
  })
}

function setUp(type = 'direct') {
  const bench = Bench.create()
  const client = bench.client()
  declare(client, type)
  client.queue('q')
  client.session.bindQueue({ queue: 'q', exchange: 'x', routingKey: 'k' })
  const exchange = bench.engine.vhost('/').exchange('x')
  return { bench, client, exchange, held: () => exchange.holding!.delayed.length }
}

function send(client: Client, body: string, delay: FieldValue, extras: Partial<PublishExtras> = {}) {
  return client.publish('x', 'k', body, extras, { headers: { 'x-delay': delay } })
}

describe('holding back', () => {
  test('a message reaches its queues when its delay has passed, and not before', () => {
    const { bench, client, held } = setUp()
    assert.equal(send(client, 'm', 500).type, 'routed')
    assert.equal(held(), 1)
    bench.pass(499)
    assert.deepEqual(client.drain('q'), [])
    bench.pass(1)
    assert.equal(held(), 0)
    assert.deepEqual(client.drain('q'), ['m'])
  })

  test('they come in the order of their due times, equal ones in the order they were sent', () => {
    const { bench, client } = setUp()
    send(client, 'late', 300)
    send(client, 'a', 200)
    send(client, 'b', 200)
    send(client, 'soon', 100)
    client.consume('q', { noAck: true })
    for (let round = 0; round < 4; round += 1) bench.pass(100)
    assert.deepEqual(client.takeBodies(), ['soon', 'a', 'b', 'late'])
  })

  test('without a delay above 0 it is routed at once', () => {
    const { client, held } = setUp()
    const delays = [0, -1, -1000n, false, null, [], {}]
    for (const delay of delays) send(client, 'm', delay)
    client.publish('x', 'k', 'm')
    client.publish('x', 'k', 'm', {}, { headers: {} })
    assert.equal(held(), 0)
    assert.equal(client.drain('q').length, delays.length + 2)
  })

  test('a delay may be a number of any kind, or a text of digits', () => {
    const { bench, client, held } = setUp()
    for (const delay of [5, 5n, 5.9, '5', '+5']) send(client, 'm', delay)
    assert.equal(held(), 5)
    bench.pass(5)
    assert.equal(client.drain('q').length, 5)
  })

  test('who gets it sees the delay negated, and everything else as it was sent', () => {
    const { bench, client } = setUp()
    const headers = { 'x-delay': 500, other: 'o' }
    client.publish(
      'x',
      'k',
      'm',
      {},
      { headers, messageId: 'id', contentType: 'text/plain', deliveryMode: 2 },
    )
    bench.pass(500)
    const got = client.session.get({ queue: 'q', noAck: true }, bench.nowMs)
    const { message, publishedAtMs } = got!.delivery.entry
    assert.deepEqual(message.properties, {
      headers: { 'x-delay': -500, other: 'o' },
      messageId: 'id',
      contentType: 'text/plain',
      deliveryMode: 2,
    })
    assert.equal(message.exchange, 'x')
    assert.equal(message.routingKey, 'k')
    assert.equal(publishedAtMs, 1_000_000)
  })

  test('it is routed by the bindings of the moment when it is due', () => {
    const { bench, client } = setUp()
    client.queue('later')
    send(client, 'm', 100)
    client.session.unbindQueue({ queue: 'q', exchange: 'x', routingKey: 'k' })
    client.session.bindQueue({ queue: 'later', exchange: 'x', routingKey: 'k' })
    bench.pass(100)
    assert.deepEqual(client.drain('q'), [])
    assert.deepEqual(client.drain('later'), ['m'])
  })

  test('what is routed nowhere when it is due is dropped and counted; a mandatory one does not come back', () => {
    const { bench, client } = setUp()
    const outcome = client.publish('x', 'none', 'm', { mandatory: true }, { headers: { 'x-delay': 10 } })
    assert.equal(outcome.type, 'routed')
    bench.pass(10)
    assert.equal(bench.engine.counters.unroutable, 1)
    assert.equal(client.returned.length, 0)
    assert.equal(bench.engine.residentBytes, 0)
    client.publish('x', 'none', 'm', { mandatory: true })
    assert.equal(client.returned.length, 1)
  })

  test('its alternate exchange is asked when it is due', () => {
    const bench = Bench.create()
    const client = bench.client()
    client.session.declareExchange({
      name: 'x',
      kind: 'x-delayed-message',
      arguments: { 'x-delayed-type': 'direct', 'alternate-exchange': 'amq.fanout' },
    })
    client.queue('q')
    client.session.bindQueue({ queue: 'q', exchange: 'amq.fanout', routingKey: '' })
    send(client, 'm', 10)
    assert.deepEqual(client.drain('q'), [])
    bench.pass(10)
    assert.deepEqual(client.drain('q'), ['m'])
  })

  for (const type of ['fanout', 'topic', 'headers', 'x-consistent-hash']) {
    test(`what is due is routed as by an exchange of type ${type}`, () => {
      const bench = Bench.create()
      const client = bench.client()
      declare(client, type)
      client.queue('q')
      const routingKey = type === 'topic' ? 'a.*' : '1'
      const table: FieldTable = type === 'headers' ? { kind: 'a' } : {}
      client.session.bindQueue({ queue: 'q', exchange: 'x', routingKey, arguments: table })
      client.publish('x', 'a.b', 'm', {}, { headers: { 'x-delay': 10, kind: 'a' } })
      client.publish('x', 'a.b', 'at once', {}, { headers: { kind: 'a' } })
      assert.deepEqual(client.drain('q'), ['at once'])
      bench.pass(10)
      assert.deepEqual(client.drain('q'), ['m'])
    })
  }

  test('a hundred thousand are held and come in time', () => {
    const { bench, client, held } = setUp()
    for (let index = 0; index < 100_000; index += 1) send(client, 'm', 1 + ((index * 7919) % 1000))
    assert.equal(held(), 100_000)
    client.consume('q', { noAck: true })
    bench.nowMs += 500
    while (bench.engine.advance(bench.nowMs));
    assert.equal(held(), 50_000)
    assert.equal(bench.engine.vhost('/').queue('q').readyMessages, 50_000)
  })
})

describe('together with', () => {
  test('a time to live, which begins when the message is due', () => {
    const { bench, client } = setUp()
    send(client, 'm', 100, { ttlMs: 50 })
    bench.pass(100)
    bench.pass(49)
    assert.equal(bench.engine.vhost('/').queue('q').readyMessages, 1)
    bench.pass(1)
    assert.equal(bench.engine.vhost('/').queue('q').readyMessages, 0)
  })

  test('priorities, keys and copies', () => {
    const { bench, client } = setUp()
    const priorities = client.queue('p', { 'x-max-priority': 9 })
    client.session.bindQueue({ queue: 'p', exchange: 'x', routingKey: 'blind' })
    const headers = { 'x-delay': 10, BCC: ['blind'] }
    client.publish('x', 'k', 'low', { priority: 1, key: 'a' }, { headers, priority: 1 })
    client.publish('x', 'k', 'high', { priority: 5 }, { headers, priority: 5 })
    bench.pass(10)
    assert.equal(priorities.readyMessages, 2)
    const got = client.session.get({ queue: 'p', noAck: true }, bench.nowMs)
    assert.equal(got?.delivery.entry.message.body, 'high')
    assert.deepEqual(got?.delivery.entry.message.properties.headers, { 'x-delay': -10 })
    assert.deepEqual(client.drain('q'), ['low', 'high'])
  })

  test('a full queue, which refuses it or dead-letters it when it is due', () => {
    const { bench, client } = setUp()
    const full = (name: string, overflow: string) => {
      client.queue(name, {
        'x-max-length': 0,
        'x-overflow': overflow,
        'x-dead-letter-exchange': '',
        'x-dead-letter-routing-key': 'dead',
      })
      client.session.bindQueue({ queue: name, exchange: 'x', routingKey: 'k' })
    }
    client.queue('dead')
    full('silent', 'reject-publish')
    full('loud', 'reject-publish-dlx')
    assert.equal(send(client, 'm', 10).type, 'routed')
    bench.pass(10)
    assert.deepEqual(client.drain('dead'), ['m'])
    assert.deepEqual(client.drain('q'), ['m'])
    assert.equal(bench.engine.counters.rejected, 2)
  })

  test('a dead letter and another exchange that lead there', () => {
    const { bench, client, held } = setUp()
    client.session.declareExchange({ name: 'front', kind: 'fanout' })
    client.session.bindExchange({ source: 'front', destination: 'x', routingKey: '' })
    client.queue('side')
    client.session.bindQueue({ queue: 'side', exchange: 'front', routingKey: '' })
    client.publish('front', 'k', 'm', {}, { headers: { 'x-delay': 10 } })
    assert.deepEqual(client.drain('side'), ['m'])
    assert.equal(held(), 1)
    bench.pass(10)
    assert.deepEqual(client.drain('q'), ['m'])

    client.queue('dying', { 'x-dead-letter-exchange': 'x', 'x-dead-letter-routing-key': 'k' })
    client.send('dying', 'transient', { ttlMs: 5, persistent: false }, { headers: { 'x-delay': 20 } })
    bench.pass(5)
    assert.equal(held(), 1)
    bench.pass(20)
    assert.deepEqual(client.drain('q'), ['transient'])
  })

  test('a letter that has been held back is not held back again', () => {
    const { bench, client, held } = setUp()
    client.queue('dying', { 'x-dead-letter-exchange': 'x', 'x-dead-letter-routing-key': 'k' })
    client.session.bindQueue({ queue: 'dying', exchange: 'x', routingKey: 'd' })
    client.publish('x', 'd', 'm', { ttlMs: 5 }, { headers: { 'x-delay': 10 } })
    bench.pass(10)
    bench.pass(5)
    assert.equal(held(), 0)
    assert.deepEqual(client.drain('q'), ['m'])
  })

  test('a transaction', () => {
    const { bench, client, held } = setUp()
    client.session.txSelect()
    send(client, 'm', 10)
    assert.equal(held(), 0)
    client.session.txCommit(bench.nowMs)
    bench.pass(10)
    assert.deepEqual(client.drain('q'), ['m'])
  })
})

describe('what is refused', () => {
  test('an exchange whose type of routing is missing or unknown', () => {
    const client = Bench.create().client()
    for (const type of [5, null]) {
      assert.throws(() => declare(client, type), {
        code: 'PRECONDITION_FAILED',
        message: "Invalid argument, 'x-delayed-type' must be an existing exchange type",
      })
    }
    for (const type of ['nothing', 'x-delayed-message']) {
      assert.throws(() => declare(client, type), { message: `unknown exchange type '${type}'` })
    }
    assert.equal(
      codeOf(() => client.session.declareExchange({ name: 'x', kind: 'x-delayed-message' })),
      'PRECONDITION_FAILED',
    )
  })

  test('a delay that is no number, or longer than the limit', () => {
    const { bench, client } = setUp()
    for (const delay of ['soon', bench.engine.limits.delayMs + 1, 2n ** 62n]) {
      assert.equal(
        codeOf(() => send(client, 'm', delay)),
        'PRECONDITION_FAILED',
      )
      // Who publishes need not have looked for copies.
      assert.equal(
        codeOf(() => send(client, 'm', delay, { hasHeaders: false })),
        'PRECONDITION_FAILED',
      )
    }
    assert.deepEqual(client.drain('q'), [])
  })
})

describe('the exchange', () => {
  test('takes what it holds back along when it is deleted, with or without its virtual host', () => {
    const { bench, client } = setUp()
    send(client, 'm', 10)
    client.session.deleteExchange('x')
    assert.equal(bench.engine.residentBytes, 0)
    bench.settle()
    declare(client)
    send(client, 'm', 10)
    bench.engine.deleteVhost('/', bench.nowMs)
    assert.equal(bench.engine.residentBytes, 0)
    bench.pass(10)
  })

  test('has no queue that anybody sees, publishes to, or puts a policy on', () => {
    const { bench, client, exchange } = setUp()
    bench.engine.policies.set(
      {
        vhost: '/',
        name: 'p',
        operator: false,
        pattern: '.*',
        applyTo: 'all',
        priority: 0,
        definition: { expires: 5, 'max-length': 0 },
      },
      bench.nowMs,
    )
    client.consume('q')
    assert.deepEqual([...bench.engine.vhost('/').queues.keys()], ['q'])
    assert.equal(client.send('', 'm').type, 'unroutable')
    send(client, 'm', 100)
    bench.pass(50)
    assert.equal(exchange.holding?.delayed.length, 1)
  })
})

describe('across a crash', () => {
  test('what is held back is on record, persistent or not, and goes on as what it was', () => {
    const store = new FakeStore({ messages: 4, bytes: 1000, delayed: 2 })
    let bench = Bench.create({ journal: store, pager: store })
    let client = bench.client()
    declare(client)
    client.queue('q')
    client.session.bindQueue({ queue: 'q', exchange: 'x', routingKey: 'k' })
    for (let body = 0; body < 10; body += 1) send(client, String(body), 100, { persistent: body % 2 === 0 })
    const crash = (definitions = [...store.definitions]): void => {
      const { nowMs, engine } = bench
      const recovered = store.recover(definitions, engine.snapshot().nextSeq)
      bench = new Bench({ journal: store, pager: store })
      bench.nowMs = nowMs
      bench.engine.restore(recovered)
      client = bench.client()
    }
    const settle = (): void => {
      do bench.settle()
      while (store.answer(bench.engine))
    }
    crash()
    crash(bench.engine.snapshot().definitions.slice())
    assert.equal(bench.engine.vhost('/').exchange('x').holding?.delayed.length, 10)
    bench.nowMs += 99
    settle()
    assert.equal(bench.engine.vhost('/').queue('q').readyMessages, 0)
    bench.nowMs += 1
    settle()
    assert.equal(bench.engine.vhost('/').queue('q').readyMessages, 10)
    crash()
    client.consume('q', { noAck: true })
    settle()
    assert.deepEqual(client.takeBodies(), ['0', '2', '4', '6', '8'])
    assert.equal(store.kept.size, 0)
  })

  test('a transient exchange keeps nothing', () => {
    const store = new FakeStore({ messages: 4, bytes: 1000, delayed: 2 })
    const bench = Bench.create({ journal: store, pager: store })
    const client = bench.client()
    declare(client, 'direct', { durable: false })
    for (let body = 0; body < 5; body += 1) send(client, String(body), 100)
    assert.equal(store.kept.size, 3)
    bench.nowMs += 100
    do bench.settle()
    while (store.answer(bench.engine))
    assert.equal(store.kept.size, 0)
    send(client, 'm', 5)
    client.session.deleteExchange('x')
    assert.equal(store.definitions.length, 1)
  })

  test('an exchange whose place is not on record gets a new one', () => {
    const store = new FakeStore({ messages: 4, bytes: 1000, delayed: 2 })
    const bench = Bench.create({ journal: store, pager: store })
    declare(bench.client())
    const damaged = store.definitions.filter(({ type }) => type !== 'queue.declared')
    const next = new Bench({ journal: store, pager: store })
    next.engine.restore(store.recover(damaged, 1))
    assert.equal(next.engine.vhost('/').exchange('x').holding?.id, 1)
    const lost = store.definitions.filter(({ type }) => type !== 'exchange.declared')
    const other = new Bench({ journal: store, pager: store })
    other.engine.restore(store.recover(lost, 1))
    assert.equal(other.engine.queueCount, 0)
  })
})
