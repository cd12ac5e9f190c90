/** What is different with a queue that is declared as a quorum queue: what programs can see of one. */
import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import type { DeclareQueue } from '../../src/engine/topology.ts'
import { persistentPublish as persistent } from '../../src/engine/publish.ts'
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

  test('tells in x-delivery-count how often a message came back, and nothing the first time', () => {
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
