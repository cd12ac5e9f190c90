/** The class basic but for publish: qos, consume, cancel, get, and the settling of deliveries. */
import type { MethodOf } from '../wire/method.ts'
import { methodIds } from '../wire/methods.ts'
import type { Handlers } from './channel-methods.ts'
import { nameOrLast } from './channel-queue.ts'
import type { Channel } from './channel.ts'
import { replyToName } from './direct-reply-to.ts'
import { notAllowed, notImplemented, preconditionFailed } from './refusal.ts'

const getId = methodIds['basic.get']

export const basicMethods: Handlers = {
  'basic.qos': (channel, { prefetchSize, prefetchCount, global }) => {
    if (prefetchSize !== 0) throw notImplemented(`prefetch_size!=0 (${prefetchSize})`)
    channel.session.qos({ prefetchCount, global })
    channel.connection.changes.changed()
    channel.reply({ type: 'basic.qos-ok' })
  },
  'basic.consume': consume,
  'basic.cancel': cancel,
  'basic.get': (channel, method) => {
    channel.access.checkQueue('read', nameOrLast(channel, method.queue))
    get(channel, method)
  },
  'basic.nack': (channel, { deliveryTag, multiple, requeue }) => {
    channel.session.nack(deliveryTag, { multiple, requeue }, channel.connection.nowMs)
    channel.connection.changes.changed()
  },
  'basic.reject': (channel, { deliveryTag, requeue }) => {
    channel.session.reject(deliveryTag, { requeue }, channel.connection.nowMs)
    channel.connection.changes.changed()
  },
  'basic.recover': (channel, { requeue }) => {
    recover(channel, requeue)
    channel.reply({ type: 'basic.recover-ok' })
  },
  'basic.recover-async': (channel, { requeue }) => recover(channel, requeue),
}

function consume(channel: Channel, method: MethodOf<'basic.consume'>): void {
  const { session, connection } = channel
  const { noAck, exclusive, nowait } = method
  const name = nameOrLast(channel, method.queue)
  if (name === replyToName) return consumeReplies(channel, method)
  channel.access.checkQueue('read', name)
  const consumerTag = session.consume(
    { queue: method.queue, tag: method.consumerTag, noAck, exclusive, arguments: method.arguments },
    connection.nowMs,
  )
  connection.changes.changed()
  channel.reply({ type: 'basic.consume-ok', consumerTag }, nowait)
}

function consumeReplies(channel: Channel, method: MethodOf<'basic.consume'>): void {
  const { session, connection } = channel
  const tag = method.consumerTag
  if (session.consumers.has(tag)) throw tagInUse(tag)
  if (!method.noAck) throw preconditionFailed('reply consumer cannot acknowledge')
  if (channel.replyConsumerTag !== undefined) throw preconditionFailed('reply consumer already set')
  channel.replyAddress = connection.server.replyAddresses.add(channel)
  const consumerTag = tag === '' ? `amq.ctag-${channel.replyAddress.slice(replyToName.length + 1)}` : tag
  channel.replyConsumerTag = consumerTag
  channel.reply({ type: 'basic.consume-ok', consumerTag }, method.nowait)
}

function cancel(channel: Channel, { consumerTag, nowait }: MethodOf<'basic.cancel'>): void {
  const { session, connection } = channel
  if (consumerTag === channel.replyConsumerTag) {
    if (channel.replyAddress !== undefined) connection.server.replyAddresses.remove(channel.replyAddress)
    channel.replyAddress = undefined
    channel.replyConsumerTag = undefined
  } else {
    session.cancel(consumerTag, connection.nowMs)
    connection.changes.changed()
  }
  channel.reply({ type: 'basic.cancel-ok', consumerTag }, nowait)
}

function get(channel: Channel, method: MethodOf<'basic.get'>): void {
  const { session, connection } = channel
  const { output, server } = connection
  const { broker } = server
  // One chunk may ask for thousands of messages: they come as the peer reads them.
  if (output.full) return channel.wait(output.whenRoom(), () => get(channel, method), getId)
  const name = method.queue
  const got = session.get({ queue: name, noAck: method.noAck }, connection.nowMs)
  connection.changes.changed()
  if (got !== undefined) {
    const { delivery, messageCount } = got
    // As for deliveries to consumers: what may have killed the process before is on record when it is handed over.
    if (delivery.entry.recovered) broker.store?.barrier()
    if (channel.state !== 'open') return
    const { deliveryTag, redelivered, message } = delivery
    output.writer.getOk(channel.number, deliveryTag, redelivered, messageCount, message)
    output.touch()
  } else if (session.queue(name).isReading && !session.queue(name).paused) {
    channel.wait(broker.nextTurn(), () => get(channel, method), getId)
  } else {
    channel.reply({ type: 'basic.get-empty' })
  }
}

function recover(channel: Channel, requeue: boolean): void {
  if (!requeue) throw notImplemented('requeue=false')
  channel.session.recover({ requeue }, channel.connection.nowMs)
  channel.connection.changes.changed()
}

function tagInUse(tag: string): Error {
  return notAllowed(`attempt to reuse consumer tag '${tag}'`)
}
