/** amqplib, by its promise API. */
import { readFileSync } from 'node:fs'
import type { Socket } from 'node:net'
import { connect } from 'amqplib'
import type { ConfirmChannel, Message } from 'amqplib'
import { Inbox } from '../inbox.ts'
import type { Delivered, Incoming, Outgoing, Peer, PeerKind, Returned } from './peer.ts'
import { present } from './present.ts'

export const amqplibPeer: PeerKind = {
  name: 'amqplib',
  async connect(url, caFile) {
    const connection = await connect(url, caFile === undefined ? {} : { ca: [readFileSync(caFile)] })
    const returned = new Inbox<Returned>()
    const blocked = new Inbox<string>()
    connection.on('error', () => undefined)
    connection.on('blocked', (reason: unknown) => blocked.push(reasonIn(reason)))
    connection.on('unblocked', () => blocked.push(''))
    const channel = await connection.createConfirmChannel()
    // The call at fault rejects too.
    channel.on('error', () => undefined)
    channel.on('return', (message) => {
      const { replyCode } = message.fields as unknown as { replyCode: number }
      returned.push({ ...incoming(message), replyCode })
    })
    const { stream } = connection.connection as unknown as { stream: Socket }
    // Without an error the library would not notice, and send heartbeats for ever.
    const kill = (): void => void stream.destroy(new Error('killed by the test'))
    return {
      returned,
      blocked,
      ...topology(channel),
      publish: (message) => publish(channel, message),
      async get(queue) {
        const message = await channel.get(queue)
        return message === false ? undefined : delivered(channel, message)
      },
      consume: (queue, setting) => consume(channel, queue, setting),
      replyCode: (error) => (error as { code?: number }).code,
      close: () => connection.close(),
      kill,
      [Symbol.asyncDispose]: () => Promise.resolve(kill()),
    }
  },
}

function topology(
  channel: ConfirmChannel,
): Pick<Peer, 'declareQueue' | 'deleteQueue' | 'declareExchange' | 'bindQueue'> {
  return {
    async declareQueue(queue, { passive, ...setting } = {}) {
      const ok =
        passive === true
          ? await channel.checkQueue(queue)
          : await channel.assertQueue(queue, { durable: false, ...setting })
      return { queue: ok.queue, messages: ok.messageCount, consumers: ok.consumerCount }
    },
    async deleteQueue(queue) {
      await channel.deleteQueue(queue)
    },
    async declareExchange(exchange, type, setting) {
      await channel.assertExchange(exchange, type, { durable: false, ...setting })
    },
    async bindQueue(queue, exchange, routingKey, args = {}) {
      await channel.bindQueue(queue, exchange, routingKey, args)
    },
  }
}

async function publish(channel: ConfirmChannel, message: Outgoing): Promise<void> {
  const { headers, deliveryMode, ...properties } = message.properties ?? {}
  const options = {
    ...properties,
    ...(headers === undefined ? {} : { headers }),
    ...(deliveryMode === undefined ? {} : { deliveryMode }),
    mandatory: message.mandatory ?? false,
  }
  await new Promise<void>((resolve, reject) => {
    channel.publish(
      message.exchange,
      message.routingKey,
      Buffer.from(message.body),
      options,
      (error: Error | null) => {
        if (error === null) resolve()
        else reject(error)
      },
    )
  })
}

async function consume(
  channel: ConfirmChannel,
  queue: string,
  setting: { readonly prefetch?: number; readonly noAck?: boolean } = {},
): Promise<Awaited<ReturnType<Peer['consume']>>> {
  const deliveries = new Inbox<Delivered>()
  const cancelled = new Inbox<void>()
  await channel.prefetch(setting.prefetch ?? 0)
  const { consumerTag } = await channel.consume(
    queue,
    (message) => {
      if (message === null) cancelled.push()
      else deliveries.push(delivered(channel, message))
    },
    { noAck: setting.noAck ?? false },
  )
  return {
    deliveries,
    cancelledByServer: cancelled.next(),
    cancel: async () => void (await channel.cancel(consumerTag)),
  }
}

function delivered(channel: ConfirmChannel, message: Message): Delivered {
  return {
    ...incoming(message),
    redelivered: message.fields.redelivered,
    ack: () => Promise.resolve(channel.ack(message)),
    reject: ({ requeue }) => Promise.resolve(channel.nack(message, false, requeue)),
  }
}

function incoming(message: Message): Incoming {
  const { exchange, routingKey } = message.fields
  return { exchange, routingKey, body: message.content, properties: present(message.properties) }
}

function reasonIn(value: unknown): string {
  return typeof value === 'string' ? value : (value as { reason: string }).reason
}
