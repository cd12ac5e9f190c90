/** rabbitmq-client, by its channels. Its publisher, consumer and RPC client are in node-clients.test.ts. */
import { readFileSync } from 'node:fs'
import { AMQPError, Connection } from 'rabbitmq-client'
import type { AsyncMessage, Channel, Envelope, ReturnedMessage, SyncMessage } from 'rabbitmq-client'
import { Inbox } from '../inbox.ts'
import type { Delivered, Incoming, Outgoing, Peer, PeerKind, Returned } from './peer.ts'
import { present } from './present.ts'

/** The library says names for reply codes. */
const replyCodes: Readonly<Record<string, number>> = {
  NO_ROUTE: 312,
  ACCESS_REFUSED: 403,
  NOT_FOUND: 404,
  RESOURCE_LOCKED: 405,
  PRECONDITION_FAILED: 406,
  NOT_ALLOWED: 530,
}

const propertyNames = [
  'contentType',
  'contentEncoding',
  'headers',
  'priority',
  'correlationId',
  'replyTo',
  'expiration',
  'messageId',
  'timestamp',
  'type',
  'userId',
  'appId',
] as const

export const rabbitmqClientPeer: PeerKind = {
  name: 'rabbitmq-client',
  async connect(url, caFile) {
    const connection = new Connection(caFile === undefined ? url : { url, tls: { ca: readFileSync(caFile) } })
    const returned = new Inbox<Returned>()
    const blocked = new Inbox<string>()
    const failed = new Promise<never>((_resolve, reject) => connection.on('error', reject))
    connection.on('connection.blocked', (reason) => blocked.push(reason))
    connection.on('connection.unblocked', () => blocked.push(''))
    // It would try again for ever.
    const channel = await Promise.race([connection.acquire({ emitErrorsFromChannel: true }), failed]).catch(
      (error: unknown) => {
        connection.unsafeDestroy()
        throw error
      },
    )
    channel.on('error', () => undefined)
    channel.on('basic.return', (message) => {
      returned.push({ ...incoming(message), replyCode: replyCodes[message.replyCode] ?? message.replyCode })
    })
    await channel.confirmSelect()
    return {
      returned,
      blocked,
      ...topology(channel),
      publish: (message) => publish(channel, message),
      async get(queue) {
        const message = await channel.basicGet({ queue })
        return message === undefined ? undefined : delivered(channel, message)
      },
      consume: (queue, setting) => consume(channel, queue, setting),
      replyCode: (error) => (error instanceof AMQPError ? replyCodes[error.code] : undefined),
      async close() {
        await channel.close()
        await connection.close()
      },
      kill: () => connection.unsafeDestroy(),
      [Symbol.asyncDispose]: () => Promise.resolve(connection.unsafeDestroy()),
    }
  },
}

function topology(
  channel: Channel,
): Pick<Peer, 'declareQueue' | 'deleteQueue' | 'declareExchange' | 'bindQueue'> {
  return {
    async declareQueue(queue, setting) {
      const ok = await channel.queueDeclare({ queue, ...setting })
      return { queue: ok.queue, messages: ok.messageCount, consumers: ok.consumerCount }
    },
    async deleteQueue(queue) {
      await channel.queueDelete({ queue })
    },
    async declareExchange(exchange, type, setting) {
      await channel.exchangeDeclare({ exchange, type, ...setting })
    },
    async bindQueue(queue, exchange, routingKey, args = {}) {
      await channel.queueBind({ queue, exchange, routingKey, arguments: args })
    },
  }
}

function publish(channel: Channel, message: Outgoing): Promise<void> {
  const { deliveryMode, ...properties } = message.properties ?? {}
  const { exchange, routingKey, mandatory = false } = message
  const envelope: Envelope = { ...properties, exchange, routingKey, mandatory, durable: deliveryMode === 2 }
  return channel.basicPublish(envelope, Buffer.from(message.body))
}

async function consume(
  channel: Channel,
  queue: string,
  setting: { readonly prefetch?: number; readonly noAck?: boolean } = {},
): Promise<Awaited<ReturnType<Peer['consume']>>> {
  const deliveries = new Inbox<Delivered>()
  await channel.basicQos({ prefetchCount: setting.prefetch ?? 0 })
  const { consumerTag } = await channel.basicConsume({ queue, noAck: setting.noAck ?? false }, (message) =>
    deliveries.push(delivered(channel, message)),
  )
  return {
    deliveries,
    cancelledByServer: new Promise((resolve) => {
      channel.on('basic.cancel', (tag) => {
        if (tag === consumerTag) resolve()
      })
    }),
    cancel: async () => void (await channel.basicCancel({ consumerTag })),
  }
}

function delivered(channel: Channel, message: AsyncMessage | SyncMessage): Delivered {
  const { deliveryTag } = message
  return {
    ...incoming(message),
    redelivered: message.redelivered,
    ack: () => Promise.resolve(channel.basicAck({ deliveryTag })),
    reject: ({ requeue }) => Promise.resolve(channel.basicNack({ deliveryTag, requeue })),
  }
}

function incoming(message: AsyncMessage | SyncMessage | ReturnedMessage): Incoming {
  const { exchange, routingKey, body, durable, ...rest } = message
  const properties = Object.fromEntries(propertyNames.map((name) => [name, rest[name]]))
  return {
    exchange,
    routingKey,
    body: bytesOf(body),
    properties: present({ ...properties, deliveryMode: durable === true ? 2 : undefined }),
  }
}

/** The library has decoded what is said to be text or JSON. */
function bytesOf(body: unknown): Buffer {
  if (Buffer.isBuffer(body)) return body
  return Buffer.from(typeof body === 'string' ? body : JSON.stringify(body))
}
