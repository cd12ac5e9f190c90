/** What the Node clients build on the protocol: consumers that recover, RPC clients, sessions, callbacks. */
import assert from 'node:assert/strict'
import { once } from 'node:events'
import type { Socket } from 'node:net'
import { after, before, describe, test } from 'node:test'
import { AMQPSession } from '@cloudamqp/amqp-client'
import { connect } from 'amqplib'
import type { ChannelModel } from 'amqplib'
import callbackApi from 'amqplib/callback_api'
import { Connection, ConsumerStatus } from 'rabbitmq-client'
import { startTestBroker } from './broker.ts'
import type { TestBroker } from './broker.ts'
import { Inbox } from './inbox.ts'
import { amqplibPeer } from './peers/amqplib-peer.ts'

let broker: TestBroker
before(async () => {
  broker = await startTestBroker()
})
after(() => broker[Symbol.asyncDispose]())

describe('rabbitmq-client', () => {
  test('its consumer declares, requeues, drops to the dead letters, and its RPC client is answered', async () => {
    const connection = new Connection(broker.url())
    await connection.queueDeclare({ queue: 'dead', exclusive: true })
    const seen: [string, boolean][] = []
    const consumer = connection.createConsumer(
      {
        queue: 'jobs',
        queueOptions: {
          autoDelete: true,
          arguments: { 'x-dead-letter-exchange': '', 'x-dead-letter-routing-key': 'dead' },
        },
        exchanges: [{ exchange: 'events', type: 'topic', autoDelete: true }],
        queueBindings: [{ exchange: 'events', routingKey: 'jobs.*' }],
        qos: { prefetchCount: 1 },
      },
      async (message, reply) => {
        seen.push([message.body.task, message.redelivered])
        if (message.body.task === 'poison') return ConsumerStatus.DROP
        if (message.body.task === 'twice' && !message.redelivered) return ConsumerStatus.REQUEUE
        if (message.replyTo !== undefined) await reply({ done: message.body.task })
        return ConsumerStatus.ACK
      },
    )
    await once(consumer, 'ready')
    const publisher = connection.createPublisher({ confirm: true })
    for (const task of ['poison', 'twice']) {
      await publisher.send({ exchange: 'events', routingKey: 'jobs.now' }, { task })
    }
    const client = connection.createRPCClient({ confirm: true })
    const answer = await client.send({ exchange: 'events', routingKey: 'jobs.rpc' }, { task: 'answer' })
    assert.deepEqual(answer.body, { done: 'answer' })
    const dead = await connection.basicGet({ queue: 'dead', noAck: true })
    assert.deepEqual(dead?.body, { task: 'poison' })
    assert.deepEqual(seen, [
      ['poison', false],
      ['twice', false],
      ['twice', true],
      ['answer', false],
    ])
    for (const part of [client, publisher, consumer, connection]) await part.close()
  })

  test('its consumer comes back after its connection was cut', async () => {
    const connection = new Connection({ url: broker.url(), retryLow: 10 })
    connection.on('error', () => undefined)
    const inbox = new Inbox<string>()
    const queue = 'survives'
    const consumer = connection.createConsumer({ queue, queueOptions: { durable: true } }, ({ body }) =>
      inbox.push(String(body)),
    )
    await once(consumer, 'ready')
    ;(connection as unknown as { _socket: Socket })._socket.destroy()
    await once(consumer, 'ready')
    await using peer = await amqplibPeer.connect(broker.url())
    await peer.publish({ exchange: '', routingKey: queue, body: 'after' })
    assert.equal(await inbox.next(), 'after')
    await consumer.close()
    await connection.close()
  })
})

describe('@cloudamqp/amqp-client', () => {
  test('its session subscribes, answers calls by direct reply-to, and gets', async () => {
    const session = await AMQPSession.connect(broker.url())
    await session.rpcServer('double', (message) => String(Number(message.bodyString()) * 2))
    const answer = await session.rpcCall('double', '21', { timeout: 60_000 })
    assert.equal(answer.bodyString(), '42')

    const exchange = await session.topicExchange('weather')
    const queue = await session.queue('', { exclusive: true })
    await queue.bind(exchange, 'eu.#')
    const inbox = new Inbox<string>()
    const subscription = await queue.subscribe({ noAck: false, prefetch: 2 }, async (message) => {
      inbox.push(message.bodyString() ?? '')
      await message.ack()
    })
    for (const key of ['eu.berlin', 'us.boston', 'eu.rome']) await exchange.publish(key, { routingKey: key })
    assert.deepEqual(await inbox.take(2), ['eu.berlin', 'eu.rome'])
    await subscription.cancel()
    await session.stop()
  })
})

describe('amqplib', () => {
  test('its callback API', async () => {
    const inbox = new Inbox<string>()
    callbackApi.connect(broker.url(), {}, (_, connection) => {
      connection.createChannel((_, channel) => {
        channel.assertQueue('', { exclusive: true }, (_, { queue }) => {
          channel.consume(queue, (message) => {
            inbox.push(String(message?.content))
            connection.close()
          })
          channel.sendToQueue(queue, Buffer.from('by callback'))
        })
      })
    })
    assert.equal(await inbox.next(), 'by callback')
  })

  test('its recovery sets up again what was cut', async () => {
    const inbox = new Inbox<string>()
    const models = new Inbox<ChannelModel>()
    const queue = 'recovered'
    const setup = async (model: ChannelModel): Promise<void> => {
      const channel = await model.createChannel()
      await channel.assertQueue(queue, { durable: true })
      await channel.consume(queue, (message) => inbox.push(String(message?.content)), { noAck: true })
      models.push(model)
    }
    const connection = await connect(broker.url(), { recovery: { initialDelay: 10, setup } })
    connection.on('error', () => undefined)
    const { stream } = (await models.next()).connection as unknown as { stream: Socket }
    stream.destroy(new Error('cut by the test'))
    await models.next()
    await using peer = await amqplibPeer.connect(broker.url())
    await peer.publish({ exchange: '', routingKey: queue, body: 'after' })
    assert.equal(await inbox.next(), 'after')
    await connection.close()
  })

  test('a server that ends says 320', async () => {
    await using other = await startTestBroker()
    const connection = await connect(other.url())
    const closed = once(connection, 'close')
    const stopped = other.stop()
    const [reason] = (await closed) as [Error]
    assert.match(reason.message, /320 \(CONNECTION-FORCED\) with message "CONNECTION_FORCED/)
    await stopped
  })
})
