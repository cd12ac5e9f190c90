/** \@cloudamqp/amqp-client, by its channels. Its session is in node-clients.test.ts. */
import { readFileSync } from 'node:fs'
import { AMQPClient } from '@cloudamqp/amqp-client'
import type { AMQPChannel, AMQPMessage, AMQPProperties } from '@cloudamqp/amqp-client'
import { Inbox } from '../inbox.ts'
import type { Delivered, Incoming, Outgoing, Peer, PeerKind, Returned } from './peer.ts'
import { present } from './present.ts'

export const cloudamqpPeer: PeerKind = {
  name: '@cloudamqp/amqp-client',
  async connect(url, caFile) {
    const client = new AMQPClient(url, caFile === undefined ? {} : { ca: readFileSync(caFile) })
    const returned = new Inbox<Returned>()
    const blocked = new Inbox<string>()
    // oxlint-disable-next-line unicorn/prefer-add-event-listener -- no EventTarget
    client.onerror = () => undefined
    client.onblocked = (reason) => blocked.push(reason)
    client.onunblocked = () => blocked.push('')
    const connection = await client.connect()
    const channel = await connection.channel()
    // oxlint-disable-next-line unicorn/prefer-add-event-listener -- no EventTarget
    channel.onerror = () => undefined
    channel.onReturn = (message) => {
      returned.push({ ...incoming(message), replyCode: message.replyCode ?? 0 })
    }
    await channel.confirmSelect()
    return {
      returned,
      blocked,
      ...topology(channel),
      publish: (message) => publish(channel, message),
      async get(queue) {
        const message = await channel.basicGet(queue, { noAck: false })
        return message === null ? undefined : delivered(message)
      },
      consume: (queue, setting) => consume(channel, queue, setting),
      replyCode: (error) => Number(/\((?<code>\d{3})\)/.exec(String(error))?.groups?.['code']),
      close: () => client.close(),
      kill: () => client.socket?.destroy(),
      [Symbol.asyncDispose]: () => Promise.resolve(void client.socket?.destroy()),
    }
  },
}

function topology(
  channel: AMQPChannel,
): Pick<Peer, 'declareQueue' | 'deleteQueue' | 'declareExchange' | 'bindQueue'> {
  return {
    async declareQueue(queue, { arguments: args = {}, ...setting } = {}) {
      const ok = await channel.queueDeclare(
        queue,
        { durable: false, autoDelete: false, exclusive: false, ...setting },
        args,
      )
      return { queue: ok.name, messages: ok.messageCount, consumers: ok.consumerCount }
    },
    async deleteQueue(queue) {
      await channel.queueDelete(queue)
    },
    async declareExchange(exchange, type, setting) {
      await channel.exchangeDeclare(exchange, type, { durable: false, ...setting })
    },
    async bindQueue(queue, exchange, routingKey, args = {}) {
      await channel.queueBind(queue, exchange, routingKey, args)
    },
  }
}

async function publish(channel: AMQPChannel, message: Outgoing): Promise<void> {
  const { exchange, routingKey, mandatory = false } = message
  const { timestamp, ...rest } = message.properties ?? {}
  const properties = {
    ...rest,
    ...(timestamp === undefined ? {} : { timestamp: new Date(timestamp * 1_000) }),
  } as AMQPProperties
  await channel.basicPublish(exchange, routingKey, Buffer.from(message.body), properties, mandatory)
}

async function consume(
  channel: AMQPChannel,
  queue: string,
  setting: { readonly prefetch?: number; readonly noAck?: boolean } = {},
): Promise<Awaited<ReturnType<Peer['consume']>>> {
  const deliveries = new Inbox<Delivered>()
  await channel.basicQos(setting.prefetch ?? 0)
  const consumer = await channel.basicConsume(queue, { noAck: setting.noAck ?? false }, (message) =>
    deliveries.push(delivered(message)),
  )
  return {
    deliveries,
    cancelledByServer: consumer.wait().catch(() => undefined),
    cancel: async () => void (await consumer.cancel()),
  }
}

function delivered(message: AMQPMessage): Delivered {
  return {
    ...incoming(message),
    redelivered: message.redelivered,
    ack: () => message.ack(),
    reject: ({ requeue }) => message.nack(requeue),
  }
}

function incoming(message: AMQPMessage): Incoming {
  const { timestamp, ...properties } = message.properties
  return {
    exchange: message.exchange,
    routingKey: message.routingKey,
    // The library gives a view of its read buffer.
    body: Buffer.from(message.body ?? ''),
    properties: present({
      ...properties,
      timestamp: timestamp === undefined ? undefined : timestamp.getTime() / 1_000,
    }),
  }
}
