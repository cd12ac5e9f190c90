/** What is different with a queue that is declared as a quorum queue: what programs can see of one. */
import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import type { DeclareQueue } from '../../src/engine/topology.ts'
import { persistentPublish as persistent } from '../../src/engine/publish.ts'
import type { FieldTable } from '../../src/model/field-value.ts'
import { Message } from '../../src/model/message.ts'
import { maximumPropertyBytes } from '../../src/model/properties.ts'
import { FakeStore } from './fake-store.ts'
import { Bench } from './harness.ts'

const quorum = { 'x-queue-type': 'quorum' }

describe('a quorum queue', () => {
  const refused: readonly (readonly [Partial<DeclareQueue>, string])[] = [
    [{ autoDelete: true }, "invalid property 'auto-delete' for queue 'q' in vhost '/'"],
    [{ exclusive: true }, "invalid property 'exclusive-owner' for queue 'q' in vhost '/'"],
    [{ durable: false }, "invalid property 'non-durable' for queue 'q' in vhost '/'"],
    [{ name: '' }, 'Cannot declare a server-named queue for type rabbit_quorum_queue'],
  ]
  for (const [wanted, message] of refused) {
    test(`is not declared with ${JSON.stringify(wanted)}`, () => {
      const { session } = Bench.create().client()
      const declaration = { name: 'q', durable: true, arguments: quorum, ...wanted }
      assert.throws(() => session.declareQueue(declaration, 0), { code: 'PRECONDITION_FAILED', message })
    })
  }

  const refusedArguments: readonly (readonly [string, FieldTable, string])[] = [
    [
      'what only classic queues take is refused, whatever its value',
      { 'x-queue-mode': 5 },
      "invalid arg 'x-queue-mode' for queue 'q' in vhost '/' of queue type rabbit_quorum_queue",
    ],
    [
      'of several that it does not take the first is told of',
      { 'x-queue-mode': 'lazy', 'x-max-age': '1h', 'x-max-priority': 5 },
      "invalid arg 'x-queue-mode' for queue 'q' in vhost '/' of queue type rabbit_quorum_queue",
    ],
    [
      'a wrong value is told of before an argument that it does not take',
      { 'x-queue-mode': 'lazy', 'x-max-length': -1 },
      "invalid arg 'x-max-length' for queue 'q' in vhost '/': {value_negative,-1}",
    ],
    [
      'the strategy of dead letters is looked at before lengths and overflow',
      { 'x-overflow': 'no', 'x-max-in-memory-length': -1, 'x-dead-letter-strategy': 'never' },
      "invalid arg 'x-dead-letter-strategy' for queue 'q' in vhost '/': invalid_dlx_strategy",
    ],
    [
      'lengths in memory are looked at before overflow',
      { 'x-overflow': 'no', 'x-max-in-memory-length': -1 },
      "invalid arg 'x-max-in-memory-length' for queue 'q' in vhost '/': {value_negative,-1}",
    ],
    [
      'a group is of one member at least',
      { 'x-queue-leader-locator': 'nowhere', 'x-quorum-initial-group-size': 0 },
      "invalid arg 'x-quorum-initial-group-size' for queue 'q' in vhost '/': {value_zero,0}",
    ],
    [
      'a leader is where RabbitMQ knows to find it',
      { 'x-queue-leader-locator': 'nowhere' },
      "invalid arg 'x-queue-leader-locator' for queue 'q' in vhost '/': invalid_queue_locator_arg",
    ],
  ]
  for (const [rule, table, message] of refusedArguments) {
    test(rule, () => {
      const client = Bench.create().client()
      assert.throws(() => client.queue('q', { ...quorum, ...table }), {
        code: 'PRECONDITION_FAILED',
        message,
      })
    })
  }

  test('without a name is refused before its arguments are looked at', () => {
    const { session } = Bench.create().client()
    const table = { ...quorum, 'x-max-length': -1, 'x-max-priority': 5 }
    assert.throws(() => session.declareQueue({ name: '', durable: true, arguments: table }, 0), {
      message: 'Cannot declare a server-named queue for type rabbit_quorum_queue',
    })
  })

  test('is compared with a further declaration by the arguments that it takes, in its own order', () => {
    const client = Bench.create().client()
    client.queue('q', quorum)
    client.queue('q', { ...quorum, 'x-max-priority': 5, 'x-queue-mode': 'lazy' })
    assert.throws(() => client.queue('q', { ...quorum, 'x-message-ttl': 5, 'x-delivery-limit': 5 }), {
      message: /^inequivalent arg 'x-delivery-limit'/,
    })
    assert.throws(() => client.queue('q', { 'x-max-length': 5 }), {
      message: /^inequivalent arg 'x-max-length'/,
    })
  })

  test('drops from its head where it is to dead-letter what it refuses', () => {
    const bench = Bench.create()
    const client = bench.client()
    client.queue('dead')
    client.queue('q', {
      ...quorum,
      'x-max-length': 1,
      'x-overflow': 'reject-publish-dlx',
      'x-dead-letter-exchange': '',
      'x-dead-letter-routing-key': 'dead',
    })
    client.send('q', 'first')
    assert.equal(client.send('q', 'second').type, 'routed')
    bench.settle()
    const bodyOf = (queue: string) =>
      String(client.session.get({ queue, noAck: true }, bench.nowMs)?.delivery.message.body)
    assert.deepEqual([bodyOf('q'), bodyOf('dead')], ['second', 'first'])
  })

  test('hands over again what came back, though it is full, where somebody waits for it', () => {
    const bench = Bench.create()
    const client = bench.client()
    const queue = client.queue('q', { ...quorum, 'x-max-length': 0 })
    client.consume('q', { prefetch: 2 })
    client.send('q', 'm')
    bench.settle()
    client.session.nack(1, { multiple: false, requeue: true }, bench.nowMs)
    bench.settle()
    assert.deepEqual(
      client.deliveries.map(({ redelivered }) => redelivered),
      [false, true],
    )
    client.session.cancel(client.deliveries[0]!.consumerTag, bench.nowMs)
    client.session.recover({ requeue: true }, bench.nowMs)
    bench.settle()
    assert.equal(queue.depth, 0)
  })

  test('is not consumed from by a channel with a prefetch of its own', () => {
    const { session } = Bench.create().client()
    session.declareQueue({ name: 'q', durable: true, arguments: quorum }, 0)
    session.qos({ prefetchCount: 5, global: true })
    assert.throws(() => session.consume({ queue: 'q', tag: 'c' }, 0), {
      code: 'UNSUPPORTED',
      message: "queue 'q' in vhost '/' does not support global qos",
    })
    session.qos({ prefetchCount: 5, global: false })
    session.consume({ queue: 'q', tag: 'c' }, 0)
  })

  test('and a classic one refuse what consumers of other types of queue say', () => {
    const { session } = Bench.create().client()
    session.declareQueue({ name: 'q', durable: true, arguments: quorum }, 0)
    session.declareQueue({ name: 'classic' }, 0)
    const consume = (queue: string, table: FieldTable) => () =>
      session.consume({ queue, tag: '', arguments: table }, 0)
    const refused = (name: string, queue: string, why: string) => ({
      message: `invalid arg '${name}' for queue '${queue}' in vhost '/'${why}`,
    })
    const offset = { 'x-stream-offset': 'first' }
    const failover = 'x-cancel-on-ha-failover'
    const ofQuorum = ' of queue type rabbit_quorum_queue'
    assert.throws(consume('q', offset), refused('x-stream-offset', 'q', ofQuorum))
    assert.throws(
      consume('classic', offset),
      refused('x-stream-offset', 'classic', ' of queue type rabbit_classic_queue'),
    )
    assert.throws(consume('q', { [failover]: 5 }), refused(failover, 'q', ofQuorum))
    assert.throws(
      consume('classic', { [failover]: 'yes' }),
      refused(failover, 'classic', ': {unacceptable_type,longstr}'),
    )
    consume('classic', { [failover]: true })()
  })

  test('with a single active consumer is not read by get', () => {
    const client = Bench.create().client()
    client.queue('q', { ...quorum, 'x-single-active-consumer': true })
    assert.throws(() => client.session.get({ queue: 'q', noAck: false }, 0), {
      code: 'RESOURCE_LOCKED',
      message:
        "cannot obtain access to locked queue 'q' in vhost '/'. basic.get operations are not supported by quorum queues " +
        'with single active consumer',
    })
  })

  for (const noAck of [false, true]) {
    const counts = noAck ? 'does not count' : 'counts'
    test(`${counts} in what get says is left what has run out behind the head, noAck ${noAck}`, () => {
      const bench = Bench.create()
      const client = bench.client()
      client.queue('q', quorum)
      client.send('q', 'lasts')
      client.send('q', 'runs out', { ttlMs: 5 })
      bench.nowMs += 10
      const got = client.session.get({ queue: 'q', noAck }, bench.nowMs)
      assert.equal(got?.messageCount, noAck ? 0 : 1)
    })
  }

  test('tells who gets a message how often it came back from the first time on', () => {
    const bench = Bench.create()
    const client = bench.client()
    client.queue('q', quorum)
    client.send('q', 'm', {}, { headers: { 'x-delivery-count': 7 } })
    const counts: unknown[] = []
    for (let round = 0; round < 2; round += 1) {
      const got = client.session.get({ queue: 'q', noAck: false }, bench.nowMs)
      counts.push(got?.delivery.message.properties.headers?.['x-delivery-count'])
      client.session.recover({ requeue: true }, bench.nowMs)
    }
    assert.deepEqual(counts, [0n, 1n])
  })

  test('tells in x-delivery-count how often a message came back, and a consumer nothing the first time', () => {
    const bench = Bench.create()
    const client = bench.client()
    client.queue('q', quorum)
    client.queue('classic')
    client.send('q', 'm', {}, { headers: { own: 1 } })
    client.send('classic', 'm', {}, { headers: { own: 1 } })
    client.consume('q', { prefetch: 1 })
    client.consume('classic', { prefetch: 1 })
    const shown: unknown[] = []
    for (let round = 0; round < 3; round += 1) {
      bench.settle()
      for (const delivery of client.deliveries.splice(0)) {
        shown.push(delivery.message.properties.headers)
        assert.equal(delivery.redelivered, round > 0)
        client.session.nack(delivery.deliveryTag, { multiple: false, requeue: true }, bench.nowMs)
      }
    }
    assert.deepEqual(shown, [
      { own: 1 },
      { own: 1 },
      { own: 1, 'x-delivery-count': 1n },
      { own: 1 },
      { own: 1, 'x-delivery-count': 2n },
      { own: 1 },
    ])
  })

  for (const [type, expected] of [
    ['quorum', 'other'],
    ['classic', 'first'],
  ] as const) {
    test(`of type ${type}: a consumer that was full comes ${type === 'quorum' ? 'last' : 'where it was'}`, () => {
      const bench = Bench.create()
      const client = bench.client()
      client.queue('q', { 'x-queue-type': type })
      client.consume('q', { tag: 'first', prefetch: 1 })
      client.send('q', '1')
      bench.settle()
      client.consume('q', { tag: 'other', prefetch: 1 })
      const [first] = client.deliveries.splice(0)
      client.session.ack(first!.deliveryTag, false, bench.nowMs)
      client.send('q', '2')
      bench.settle()
      assert.deepEqual(
        client.deliveries.map(({ consumer }) => consumer?.tag),
        [expected],
      )
    })
  }

  test('shows a message as it is where its headers have no room for the count', () => {
    const bench = Bench.create()
    const client = bench.client()
    client.queue('q', quorum)
    const headers = { filler: 'x'.repeat(maximumPropertyBytes - 30) }
    client.session.publish(Message.of('', 'q', { headers }, 'm'), { ...persistent, hasHeaders: true }, 0)
    for (let round = 0; round < 2; round += 1) {
      const got = client.session.get({ queue: 'q', noAck: false }, bench.nowMs)
      assert.deepEqual(Object.keys(got?.delivery.message.properties.headers ?? {}), ['filler'])
      client.session.recover({ requeue: true }, bench.nowMs)
    }
  })

  test('keeps every message on record, were it not persistent', () => {
    const store = new FakeStore({ messages: 4, bytes: 1000, delayed: 2 })
    const client = Bench.create({ journal: store, pager: store }).client()
    client.queue('q', quorum)
    client.queue('classic')
    client.session.bindQueue({ queue: 'q', exchange: 'amq.fanout', routingKey: '' })
    client.session.bindQueue({ queue: 'classic', exchange: 'amq.fanout', routingKey: '' })
    client.publish('amq.fanout', '', 'both', { persistent: false })
    client.send('q', 'plain', { persistent: false })
    assert.deepEqual(
      [...store.kept.values()].map(({ entry }) => [String(entry.message.body), entry.transient]),
      [
        ['both', false],
        ['plain', false],
      ],
    )
  })
})
