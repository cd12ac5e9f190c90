/** Publisher confirms in each client's own ways: one by one, by the batch, and as they come. */
import assert from 'node:assert/strict'
import { text } from 'node:stream/consumers'
import { after, before, describe, test } from 'node:test'
import { AMQPClient, AMQPSession } from '@cloudamqp/amqp-client'
import { connect } from 'amqplib'
import { Connection } from 'rabbitmq-client'
import { startTestBroker } from './broker.ts'
import type { TestBroker } from './broker.ts'
import { needPython, spawnPython } from './clients.ts'
import { amqplibPeer } from './peers/amqplib-peer.ts'
import { cloudamqpPeer } from './peers/cloudamqp-peer.ts'
import type { PeerKind } from './peers/peer.ts'
import { rabbitmqClientPeer } from './peers/rabbitmq-client-peer.ts'

const count = 200
const numbers = Array.from({ length: count }, (_, index) => String(index + 1))
const skipPika = await needPython('pika')

let broker: TestBroker
before(async () => {
  broker = await startTestBroker()
})
after(() => broker[Symbol.asyncDispose]())

/** A durable queue that `publish` fills with the numbers; another client finds them all, in their order. */
async function check(
  queue: string,
  receiver: PeerKind,
  publish: (queue: string) => Promise<void>,
): Promise<void> {
  await using to = await receiver.connect(broker.url())
  await to.declareQueue(queue, { durable: true })
  await publish(queue)
  assert.equal((await to.declareQueue(queue, { passive: true, durable: true })).messages, count)
  const { deliveries } = await to.consume(queue)
  const got = await deliveries.take(count)
  assert.deepEqual(
    got.map((message) => message.body.toString()),
    numbers,
  )
}

describe('amqplib', () => {
  const publishing = async (
    publish: (channel: Awaited<ReturnType<typeof open>>['channel']) => Promise<void>,
  ): Promise<void> => {
    const { connection, channel } = await open()
    await publish(channel)
    await connection.close()
  }
  const open = async () => {
    const connection = await connect(broker.url())
    return { connection, channel: await connection.createConfirmChannel() }
  }

  test('waits for a batch', () =>
    check('amqplib batch', cloudamqpPeer, (queue) =>
      publishing(async (channel) => {
        for (const number of numbers) channel.sendToQueue(queue, Buffer.from(number), { persistent: true })
        await channel.waitForConfirms()
      }),
    ))

  test('is called back for each, in order', () =>
    check('amqplib callbacks', rabbitmqClientPeer, (queue) =>
      publishing(async (channel) => {
        const confirmed: string[] = []
        await new Promise<void>((resolve) => {
          for (const number of numbers) {
            channel.sendToQueue(queue, Buffer.from(number), {}, (error: unknown) => {
              assert.equal(error, null)
              confirmed.push(number)
              if (confirmed.length === count) resolve()
            })
          }
        })
        assert.deepEqual(confirmed, numbers)
      }),
    ))
})

describe('rabbitmq-client', () => {
  test('its publisher awaits each', () =>
    check('publisher', amqplibPeer, async (queue) => {
      const connection = new Connection(broker.url())
      const publisher = connection.createPublisher({ confirm: true, maxAttempts: 2 })
      for (const number of numbers) await publisher.send({ routingKey: queue, durable: true }, number)
      await publisher.close()
      await connection.close()
    }))

  test('its publisher awaits all at once', () =>
    check('publisher at once', amqplibPeer, async (queue) => {
      const connection = new Connection(broker.url())
      const publisher = connection.createPublisher({ confirm: true })
      await publisher.send(queue, '1')
      await Promise.all(numbers.slice(1).map((number) => publisher.send(queue, number)))
      await publisher.close()
      await connection.close()
    }))
})

describe('@cloudamqp/amqp-client', () => {
  test('its channel awaits all at once, by their numbers', () =>
    check('cloudamqp', amqplibPeer, async (queue) => {
      const client = new AMQPClient(broker.url())
      const channel = await (await client.connect()).channel()
      await channel.confirmSelect()
      const tags = await Promise.all(numbers.map((number) => channel.basicPublish('', queue, number)))
      assert.deepEqual(tags.map(String), numbers)
      await client.close()
    }))

  test('its session awaits each', () =>
    check('cloudamqp session', rabbitmqClientPeer, async (name) => {
      const session = await AMQPSession.connect(broker.url())
      const queue = await session.queue(name, { durable: true })
      for (const number of numbers) await queue.publish(number, { deliveryMode: 2 })
      await session.stop()
    }))
})

describe('pika', () => {
  test('its asynchronous connection takes them as they come', { skip: skipPika }, () =>
    check('pika', amqplibPeer, async (queue) => {
      const child = spawnPython('async_confirms.py', broker.url(), queue, String(count))
      const { acked, nacked } = JSON.parse(await text(child.stdout)) as { acked: number; nacked: number }
      assert.deepEqual({ acked, nacked }, { acked: count, nacked: 0 })
    }),
  )
})
