/** What RabbitMQ adds to the patterns, as clients see it: dead letters, priorities, returns, exclusive queues, cancels. */
import assert from 'node:assert/strict'
import { after, before, describe, test } from 'node:test'
import { startTestBroker } from './broker.ts'
import type { TestBroker } from './broker.ts'
import { everyone, ring } from './peers/pairs.ts'
import type { Delivered } from './peers/peer.ts'

let broker: TestBroker
before(async () => {
  broker = await startTestBroker()
})
after(() => broker[Symbol.asyncDispose]())

describe('dead letters: what is rejected and what expires goes to the dead-letter exchange, and says why', () => {
  for (const { name, sender, receiver, skip } of ring) {
    test(name, { skip }, async () => {
      await using from = await sender.connect(broker.url())
      await using to = await receiver.connect(broker.url())
      const [queue, exchange, grave] = [`work ${name}`, `dlx ${name}`, `grave ${name}`]
      await to.declareExchange(exchange, 'direct')
      await to.declareQueue(grave)
      await to.bindQueue(grave, exchange, 'buried')
      const dead = await to.consume(grave)
      await from.declareQueue(queue, {
        arguments: {
          'x-dead-letter-exchange': exchange,
          'x-dead-letter-routing-key': 'buried',
          'x-message-ttl': 3_600_000,
        },
      })
      const properties = { messageId: 'unwanted', headers: { kept: 'yes' } }
      await from.publish({ exchange: '', routingKey: queue, body: 'unwanted', properties })
      const message = await to.get(queue)
      await message?.reject({ requeue: false })
      const rejected = await dead.deliveries.next()
      assert.equal(rejected.properties.messageId, 'unwanted')
      assert.equal(rejected.properties.headers?.['kept'], 'yes')
      assert.deepEqual(death(rejected), { queue, reason: 'rejected', exchange: '', count: 1, keys: [queue] })

      const late = { exchange: '', routingKey: queue, body: 'late', properties: { expiration: '1' } }
      await from.publish(late)
      const expired = await dead.deliveries.next()
      assert.equal(expired.properties.expiration, undefined)
      assert.deepEqual(death(expired), { queue, reason: 'expired', exchange: '', count: 1, keys: [queue] })
      assert.deepEqual([expired.exchange, expired.routingKey], [exchange, 'buried'])
    })
  }
})

describe('priorities: the higher one comes first, equals in their order', () => {
  for (const { name, sender, receiver, skip } of ring) {
    test(name, { skip }, async () => {
      await using from = await sender.connect(broker.url())
      await using to = await receiver.connect(broker.url())
      const queue = `priorities ${name}`
      await from.declareQueue(queue, { arguments: { 'x-max-priority': 5 } })
      for (const [body, priority] of [
        ['a', 1],
        ['b', 0],
        ['c', 5],
        ['d', 1],
        ['e', 200],
      ] as const) {
        await from.publish({ exchange: '', routingKey: queue, body, properties: { priority } })
      }
      const { deliveries } = await to.consume(queue, { prefetch: 10 })
      const order = (await deliveries.take(5)).map((message) => message.body.toString())
      assert.deepEqual(order, ['c', 'e', 'a', 'd', 'b'])
    })
  }
})

describe('by itself', () => {
  for (const { kind, skip } of everyone) {
    test(`${kind.name} gets back what is mandatory and reaches no queue`, { skip }, async () => {
      await using peer = await kind.connect(broker.url())
      const properties = { messageId: 'stray' }
      await peer.publish({
        exchange: 'amq.direct',
        routingKey: 'nobody',
        body: 'a',
        mandatory: true,
        properties,
      })
      const {
        replyCode,
        exchange,
        routingKey,
        body,
        properties: { messageId },
      } = await peer.returned.next()
      assert.deepEqual(
        { replyCode, exchange, routingKey, body: body.toString(), messageId },
        { replyCode: 312, exchange: 'amq.direct', routingKey: 'nobody', body: 'a', ...properties },
      )
    })

    test(`${kind.name} hears the refusal of a full queue`, { skip }, async () => {
      await using peer = await kind.connect(broker.url())
      const { queue } = await peer.declareQueue('', {
        exclusive: true,
        arguments: { 'x-max-length': 1, 'x-overflow': 'reject-publish' },
      })
      await peer.publish({ exchange: '', routingKey: queue, body: 'fits' })
      await assert.rejects(peer.publish({ exchange: '', routingKey: queue, body: 'too much' }))
      assert.equal((await peer.declareQueue(queue, { passive: true, exclusive: true })).messages, 1)
    })

    test(`${kind.name}: a requeued message comes again, marked`, { skip }, async () => {
      await using peer = await kind.connect(broker.url())
      const { queue } = await peer.declareQueue('', { exclusive: true })
      await peer.publish({ exchange: '', routingKey: queue, body: 'again' })
      const message = await peer.get(queue)
      assert.equal(message?.redelivered, false)
      await message.reject({ requeue: true })
      const again = await peer.get(queue)
      assert.equal(again?.redelivered, true)
      await again.ack()
      assert.equal(await peer.get(queue), undefined)
    })

    test(`${kind.name} says the reply code of what the server refuses`, { skip }, async () => {
      const cases = [
        [
          404,
          (peer: Awaited<ReturnType<typeof kind.connect>>) => peer.declareQueue('nowhere', { passive: true }),
        ],
        [403, (peer) => peer.declareQueue('amq.mine')],
        [406, (peer) => peer.declareExchange('amq.fanout', 'direct')],
      ] as const satisfies [number, (peer: Awaited<ReturnType<typeof kind.connect>>) => Promise<unknown>][]
      for (const [code, offend] of cases) {
        await using peer = await kind.connect(broker.url())
        await assert.rejects(offend(peer), (error) => peer.replyCode(error) === code)
      }
    })
  }
})

describe('exclusive queues: locked for another connection, and gone with their own', () => {
  for (const { name, sender, receiver, skip } of ring) {
    test(name, { skip }, async () => {
      await using owner = await sender.connect(broker.url())
      const { queue } = await owner.declareQueue('', { exclusive: true })
      assert.match(queue, /^amq\.gen-/)
      await using other = await receiver.connect(broker.url())
      await assert.rejects(
        other.declareQueue(queue, { passive: true }),
        (error) => other.replyCode(error) === 405,
      )
      await owner.close()
      await using third = await receiver.connect(broker.url())
      await assert.rejects(
        third.declareQueue(queue, { passive: true }),
        (error) => third.replyCode(error) === 404,
      )
    })
  }
})

describe('consumer cancel notification: a consumer hears that its queue was deleted', () => {
  for (const { name, sender, receiver, skip } of ring) {
    test(name, { skip }, async () => {
      await using owner = await sender.connect(broker.url())
      await using consumer = await receiver.connect(broker.url())
      const queue = `doomed ${name}`
      await owner.declareQueue(queue)
      const { cancelledByServer } = await consumer.consume(queue)
      await owner.deleteQueue(queue)
      await cancelledByServer
      // Its channel goes on.
      await consumer.declareQueue(`${queue} again`)
    })
  }
})

interface Death {
  readonly queue: string
  readonly reason: string
  readonly exchange: string
  readonly count: number
  readonly 'routing-keys': readonly string[]
}

/** The newest of x-death, as far as a test can know it. */
function death(message: Delivered) {
  const deaths = message.properties.headers?.['x-death'] as readonly Death[]
  assert.equal(deaths.length, 1)
  const { queue, reason, exchange, count, 'routing-keys': keys } = deaths[0] as Death
  return { queue, reason, exchange, count, keys }
}
