import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { Bench, codeOf, JournalLog } from './harness.ts'

describe('declaring a queue', () => {
  test('an equal declaration is idempotent, an unequal one changes nothing', () => {
    const bench = Bench.create()
    const { session } = bench.client()
    const declare = (change: object) =>
      session.declareQueue({ name: 'q', durable: true, arguments: { 'x-max-length': 5 }, ...change }, 0)
    assert.deepEqual(declare({}), { name: 'q', messageCount: 0, consumerCount: 0 })
    declare({ arguments: { 'x-max-length': 5n, 'x-unknown': 'any', 'x-queue-type': 'classic' } })
    assert.equal(
      codeOf(() => declare({ durable: false })),
      'PRECONDITION_FAILED',
    )
    assert.equal(
      codeOf(() => declare({ autoDelete: true })),
      'PRECONDITION_FAILED',
    )
    assert.equal(
      codeOf(() => declare({ arguments: {} })),
      'PRECONDITION_FAILED',
    )
    assert.equal(
      codeOf(() => declare({ exclusive: true })),
      'RESOURCE_LOCKED',
    )
    assert.throws(
      () => declare({ arguments: { 'x-max-length': 6 } }),
      /inequivalent arg 'x-max-length' for queue 'q' in vhost '\/': received '6' but current is '5'/,
    )
    bench.settle()
  })

  test('reserved names are ACCESS_REFUSED, passive ones and those of the broker are fine', () => {
    const bench = Bench.create()
    const { session } = bench.client()
    assert.equal(
      codeOf(() => session.declareQueue({ name: 'amq.mine' }, 0)),
      'ACCESS_REFUSED',
    )
    const { name } = session.declareQueue({ name: '' }, 0)
    assert.match(name, /^amq\.gen-/)
    assert.equal(session.checkQueue(name, 0).name, name)
    assert.equal(
      codeOf(() => session.checkQueue('amq.other', 0)),
      'NOT_FOUND',
    )
  })

  test('an empty name means the last queue declared here, else NOT_FOUND', () => {
    const bench = Bench.create()
    const client = bench.client()
    assert.equal(
      codeOf(() => client.session.purgeQueue('')),
      'NOT_FOUND',
    )
    client.queue('q')
    client.session.bindQueue({ queue: '', exchange: 'amq.direct', routingKey: '' })
    assert.equal(client.publish('amq.direct', 'q', 'x').type, 'routed')
    assert.equal(client.session.purgeQueue(''), 1)
    bench.settle()
  })

  test('line breaks are stripped from names', () => {
    const bench = Bench.create()
    const { session } = bench.client()
    assert.equal(session.declareQueue({ name: 'a\r\nb' }, 0).name, 'ab')
  })

  test('an exclusive queue is its connection’s alone, and goes with it', () => {
    const bench = Bench.create()
    const owner = bench.client({ connectionId: 1 })
    const same = bench.client({ connectionId: 1 })
    const other = bench.client({ connectionId: 2 })
    owner.session.declareQueue({ name: 'q', exclusive: true }, 0)
    same.session.declareQueue({ name: 'q', exclusive: true }, 0)
    for (const run of [
      () => other.session.declareQueue({ name: 'q', exclusive: true }, 0),
      () => other.session.checkQueue('q', 0),
      () => other.consume('q'),
      () => other.session.get({ queue: 'q', noAck: true }, 0),
      () => other.session.deleteQueue('q'),
      () => other.session.purgeQueue('q'),
      () => other.session.bindQueue({ queue: 'q', exchange: 'amq.direct', routingKey: '' }),
    ]) {
      assert.equal(codeOf(run), 'RESOURCE_LOCKED')
    }
    assert.equal(other.send('q', 'a').type, 'routed')
    bench.engine.closeConnection(1, bench.nowMs)
    bench.settle()
    assert.equal(bench.engine.queueCount, 0)
    assert.equal(owner.session.closed, true)
  })
})

describe('deleting a queue', () => {
  test('says how many messages were ready, and tells consumers', () => {
    const bench = Bench.create()
    const client = bench.client()
    client.queue('q')
    client.queue('other')
    for (const body of ['a', 'b', 'c']) client.send('q', body)
    client.consume('q', { tag: 't', prefetch: 1 })
    bench.settle()
    assert.equal(client.session.deleteQueue('q'), 2)
    assert.deepEqual(client.cancelled, [])
    bench.settle()
    assert.deepEqual(client.cancelled, ['t'])
    client.session.ack(1, false, bench.nowMs)
    assert.equal(client.session.deleteQueue('q'), 0)
    bench.settle()
    assert.equal(bench.engine.residentBytes, 0)
  })

  test('if-unused and if-empty are PRECONDITION_FAILED where they do not hold', () => {
    const bench = Bench.create()
    const client = bench.client()
    client.queue('q')
    client.send('q', 'a')
    assert.equal(
      codeOf(() => client.session.deleteQueue('q', { ifEmpty: true })),
      'PRECONDITION_FAILED',
    )
    client.consume('q')
    assert.equal(
      codeOf(() => client.session.deleteQueue('q', { ifUnused: true })),
      'PRECONDITION_FAILED',
    )
    bench.settle()
  })

  test('auto-delete goes with the last consumer, if it ever had one', () => {
    const bench = Bench.create()
    const client = bench.client()
    const other = bench.client()
    client.queue('q', {}, { autoDelete: true })
    client.session.cancel('none', 0)
    client.consume('q', { tag: 'a' })
    other.consume('q', { tag: 'b' })
    client.session.cancel('a', 0)
    assert.equal(bench.engine.queueCount, 1)
    other.session.close(0)
    assert.equal(bench.engine.queueCount, 0)
    bench.settle()
  })

  test('x-expires counts from the last use, and not while there are consumers', () => {
    const bench = Bench.create()
    const client = bench.client()
    client.queue('q', { 'x-expires': 1000 })
    client.queue('r', { 'x-expires': 1000 })
    client.consume('r', { tag: 't' })
    bench.pass(900)
    client.session.get({ queue: 'q', noAck: true }, bench.nowMs)
    bench.pass(900)
    assert.equal(bench.engine.queueCount, 2)
    bench.pass(200)
    assert.equal(bench.engine.queueCount, 1)
    bench.pass(5000)
    client.session.cancel('t', bench.nowMs)
    bench.pass(900)
    assert.equal(bench.engine.queueCount, 1)
    bench.pass(200)
    assert.equal(bench.engine.queueCount, 0)
    assert.equal(bench.engine.nextDueMs(), Infinity)
  })
})

describe('exchanges', () => {
  test('errors are those of RabbitMQ', () => {
    const bench = Bench.create()
    const client = bench.client()
    const { session } = client
    session.declareExchange({ name: 'x', kind: 'topic' })
    session.declareExchange({ name: 'x', kind: 'topic' })
    session.declareExchange({ name: 'amq.direct', kind: 'direct', durable: true })
    client.queue('q')
    const refused = {
      'other type': [() => session.declareExchange({ name: 'x', kind: 'direct' }), 'PRECONDITION_FAILED'],
      'other flag': [
        () => session.declareExchange({ name: 'x', kind: 'topic', internal: true }),
        'PRECONDITION_FAILED',
      ],
      'no such type': [
        () => session.declareExchange({ name: 'y', kind: 'what' as 'topic' }),
        'PRECONDITION_FAILED',
      ],
      'reserved name': [() => session.declareExchange({ name: 'amq.x', kind: 'topic' }), 'ACCESS_REFUSED'],
      'default declared': [() => session.declareExchange({ name: '', kind: 'direct' }), 'ACCESS_REFUSED'],
      'default deleted': [() => session.deleteExchange(''), 'ACCESS_REFUSED'],
      'default bound': [
        () => session.bindQueue({ queue: 'q', exchange: '', routingKey: 'k' }),
        'ACCESS_REFUSED',
      ],
      'amq. deleted': [() => session.deleteExchange('amq.topic'), 'ACCESS_REFUSED'],
      'no exchange': [
        () => session.bindQueue({ queue: 'q', exchange: 'none', routingKey: 'k' }),
        'NOT_FOUND',
      ],
      'no queue': [() => session.bindQueue({ queue: 'none', exchange: 'x', routingKey: 'k' }), 'NOT_FOUND'],
      'no target': [() => client.publish('none', '', 'a'), 'NOT_FOUND'],
      'not there': [() => session.checkExchange('none'), 'NOT_FOUND'],
      'default looked for': [() => session.checkExchange(''), 'ACCESS_REFUSED'],
      'default unbound': [
        () => session.unbindQueue({ queue: 'q', exchange: '', routingKey: 'q' }),
        'ACCESS_REFUSED',
      ],
    } as const
    for (const [what, [run, code]] of Object.entries(refused)) assert.equal(codeOf(run), code, what)
    session.deleteExchange('none')
    session.unbindQueue({ queue: 'q', exchange: 'x', routingKey: 'never bound' })
    session.unbindQueue({ queue: 'none', exchange: 'x', routingKey: 'k' })
    session.unbindQueue({ queue: 'q', exchange: 'none', routingKey: 'k' })
    session.unbindExchange({ source: 'none', destination: 'x', routingKey: 'k' })
    session.unbindExchange({ source: 'x', destination: 'none', routingKey: 'k' })
    session.bindQueue({ queue: 'q', exchange: 'x', routingKey: 'k' })
    assert.equal(
      codeOf(() => session.deleteExchange('x', { ifUnused: true })),
      'PRECONDITION_FAILED',
    )
    bench.settle()
  })

  test('an internal exchange takes messages from other exchanges only', () => {
    const bench = Bench.create()
    const client = bench.client()
    client.session.declareExchange({ name: 'in', kind: 'fanout', internal: true })
    client.session.bindExchange({ source: 'amq.direct', destination: 'in', routingKey: 'k' })
    client.queue('q')
    client.session.bindQueue({ queue: 'q', exchange: 'in', routingKey: '' })
    assert.equal(
      codeOf(() => client.publish('in', '', 'a')),
      'ACCESS_REFUSED',
    )
    assert.equal(client.publish('amq.direct', 'k', 'a').queues, 1)
    bench.settle()
  })

  test('each queue gets a message once, also through a cycle of exchanges', () => {
    const bench = Bench.create()
    const client = bench.client()
    client.queue('q')
    for (const name of ['a', 'b', 'c']) {
      client.session.declareExchange({ name, kind: 'fanout' })
      client.session.bindQueue({ queue: 'q', exchange: name, routingKey: '' })
    }
    for (const [source, destination] of [
      ['a', 'b'],
      ['b', 'c'],
      ['c', 'a'],
      ['a', 'a'],
    ] as const) {
      client.session.bindExchange({ source, destination, routingKey: '' })
    }
    assert.equal(client.publish('b', '', 'x').queues, 1)
    assert.deepEqual(client.drain('q'), ['x'])
    bench.settle()
  })

  test('the alternate exchange takes what that exchange itself routes nowhere', () => {
    const bench = Bench.create()
    const client = bench.client()
    client.session.declareExchange({ name: 'lost', kind: 'fanout' })
    client.session.declareExchange({ name: 'x', kind: 'direct', arguments: { 'alternate-exchange': 'lost' } })
    client.session.declareExchange({ name: 'top', kind: 'fanout' })
    client.session.bindExchange({ source: 'top', destination: 'x', routingKey: '' })
    client.queue('q')
    client.queue('found')
    client.session.bindQueue({ queue: 'q', exchange: 'x', routingKey: 'k' })
    client.session.bindQueue({ queue: 'found', exchange: 'lost', routingKey: '' })
    client.publish('x', 'k', 'a')
    client.publish('x', 'other', 'b')
    client.publish('top', 'other', 'c')
    client.session.bindQueue({ queue: 'q', exchange: 'top', routingKey: '' })
    // x matches q, which the route has already: that is not nowhere.
    client.publish('top', 'k', 'd')
    assert.deepEqual(client.drain('q'), ['a', 'd'])
    assert.deepEqual(client.drain('found'), ['b', 'c'])
    bench.settle()
  })

  test('CC and BCC are further routing keys; BCC is not shown', () => {
    const bench = Bench.create()
    const client = bench.client()
    for (const name of ['a', 'b', 'c']) client.queue(name)
    const headers = { CC: ['b'], BCC: ['c', 'a'] }
    assert.equal(client.publish('', 'a', 'x', {}, { headers }).queues, 3)
    const got = client.session.get({ queue: 'c', noAck: true }, 0)
    assert.deepEqual(got?.delivery.entry.message.properties.headers, { CC: ['b'] })
    assert.equal(
      codeOf(() => client.publish('', 'a', 'x', {}, { headers: { CC: 'b' } })),
      'PRECONDITION_FAILED',
    )
    bench.settle()
  })

  test('auto-delete goes with the last binding', () => {
    const bench = Bench.create()
    const client = bench.client()
    client.session.declareExchange({ name: 'first', kind: 'fanout', autoDelete: true })
    client.session.declareExchange({ name: 'x', kind: 'fanout', autoDelete: true })
    client.session.bindExchange({ source: 'first', destination: 'x', routingKey: '' })
    client.queue('q')
    client.session.bindQueue({ queue: 'q', exchange: 'x', routingKey: '' })
    client.session.deleteQueue('q')
    const { exchanges } = bench.engine.vhost('/')
    assert.equal(exchanges.has('x'), false)
    assert.equal(exchanges.has('first'), false)
    bench.settle()
  })

  test('mandatory and unroutable comes back before publish returns', () => {
    const bench = Bench.create()
    const client = bench.client()
    assert.equal(client.publish('amq.direct', 'none', 'a', { mandatory: true }).type, 'unroutable')
    assert.equal(client.publish('amq.direct', 'none', 'b').type, 'unroutable')
    assert.deepEqual(
      client.returned.map(({ body }) => body),
      ['a'],
    )
    assert.equal(bench.engine.counters.unroutable, 2)
  })
})

describe('virtual hosts', () => {
  test('are name spaces of their own', () => {
    const bench = Bench.create()
    bench.engine.declareVhost('v')
    bench.engine.declareVhost('v')
    const here = bench.client()
    const there = bench.client({ vhost: 'v' })
    here.queue('q')
    assert.equal(there.send('q', 'a').type, 'unroutable')
    there.queue('q')
    assert.equal(there.send('q', 'a').type, 'routed')
    assert.deepEqual(here.drain('q'), [])
    bench.engine.deleteVhost('v', bench.nowMs)
    assert.equal(there.session.closed, true)
    assert.equal(
      codeOf(() => bench.engine.vhost('v')),
      'NOT_FOUND',
    )
    assert.equal(
      codeOf(() => bench.client({ vhost: 'v' })),
      'NOT_FOUND',
    )
    bench.settle()
    assert.equal(bench.engine.queueCount, 1)
  })

  test('what goes with one does not count against the limits any more', () => {
    const bench = Bench.create({ limits: { exchanges: 2, bindings: 2, queues: 1 } })
    for (let round = 0; round < 3; round += 1) {
      bench.engine.declareVhost('v')
      const { session } = bench.client({ vhost: 'v' })
      for (const name of ['x', 'y']) session.declareExchange({ name, kind: 'topic' })
      session.declareQueue({ name: 'q' }, bench.nowMs)
      session.bindQueue({ queue: 'q', exchange: 'x', routingKey: 'k' })
      session.bindExchange({ source: 'x', destination: 'y', routingKey: 'k' })
      session.bindExchange({ source: 'x', destination: 'y', routingKey: 'k' })
      bench.engine.deleteVhost('v', bench.nowMs)
      bench.settle()
    }
  })

  test('the snapshot says what is durable, and only that', () => {
    const bench = Bench.create({ journal: new JournalLog() })
    const client = bench.client()
    client.queue('q', { 'x-max-length': 3 })
    client.queue('t', {}, { durable: false })
    client.session.declareExchange({ name: 'x', kind: 'topic', durable: true })
    client.session.declareExchange({ name: 'y', kind: 'topic' })
    for (const exchange of ['x', 'y', 'amq.topic']) {
      for (const queue of ['q', 't']) client.session.bindQueue({ queue, exchange, routingKey: 'k' })
    }
    bench.engine.pause(client.session.queue('q'), true)
    const { definitions } = bench.engine.snapshot()
    assert.deepEqual(
      definitions.map((definition) =>
        'source' in definition ? `bound ${definition.source}` : definition.type,
      ),
      ['vhost.declared', 'exchange.declared', 'queue.declared', 'queue.paused', 'bound amq.topic', 'bound x'],
    )
    bench.settle()
  })
})
