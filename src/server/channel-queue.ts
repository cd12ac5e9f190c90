/** The class queue: declare, bind, unbind, purge, delete. */
import { describeResource } from '../model/arguments.ts'
import { stripLineBreaks } from '../model/names.ts'
import { MillraceError } from '../model/errors.ts'
import type { MethodOf } from '../wire/method.ts'
import type { Handlers } from './channel-methods.ts'
import type { Channel } from './channel.ts'
import { isReplyTo, replyToName } from './direct-reply-to.ts'
import { notImplemented } from './refusal.ts'

export const queueMethods: Handlers = {
  'queue.declare': declare,
  'queue.bind': (channel, method) => {
    checkBinding(channel, method)
    channel.session.bindQueue(method)
    channel.replyWhenDurable({ type: 'queue.bind-ok' }, method.nowait)
  },
  'queue.unbind': (channel, method) => {
    checkBinding(channel, method)
    channel.session.unbindQueue(method)
    channel.replyWhenDurable({ type: 'queue.unbind-ok' })
  },
  'queue.purge': (channel, { queue, nowait }) => {
    channel.access.checkQueue('read', nameOrLast(channel, queue))
    const messageCount = channel.session.purgeQueue(queue)
    channel.replyWhenDurable({ type: 'queue.purge-ok', messageCount }, nowait)
  },
  'queue.delete': (channel, { queue, ifUnused, ifEmpty, nowait }) => {
    const name = queueName(channel, queue)
    channel.access.checkQueue('configure', name)
    const type = channel.session.vhost.queues.get(name)?.settings.type
    if (type === 'quorum' && (ifUnused || ifEmpty)) {
      throw conditionRefused(name, channel.session.vhost.name, ifUnused ? 'if-unused' : 'if-empty')
    }
    const messageCount = channel.session.deleteQueue(queue, { ifUnused, ifEmpty })
    channel.replyWhenDurable({ type: 'queue.delete-ok', messageCount }, nowait)
  },
}

function declare(channel: Channel, method: MethodOf<'queue.declare'>): void {
  const { session, connection } = channel
  const { nowait } = method
  const name = stripLineBreaks(method.queue)
  if (isReplyTo(name)) return declareReplyTo(channel, name, nowait)
  if (method.passive) {
    const { messageCount, consumerCount, name: queue } = session.checkQueue(name, connection.nowMs)
    channel.reply({ type: 'queue.declare-ok', queue, messageCount, consumerCount }, nowait)
    return
  }
  const asked = name === '' ? someServerName : name
  channel.access.checkQueue('configure', asked)
  const deadLetterExchange = method.arguments['x-dead-letter-exchange']
  if (typeof deadLetterExchange === 'string' && !session.vhost.queues.has(name)) {
    channel.access.checkQueue('read', asked)
    channel.access.checkExchange('write', deadLetterExchange)
  }
  const declared = session.declareQueue(
    {
      name,
      durable: method.durable,
      exclusive: method.exclusive,
      autoDelete: method.autoDelete,
      arguments: method.arguments,
    },
    connection.nowMs,
  )
  const { messageCount, consumerCount, name: queue } = declared
  channel.replyWhenDurable({ type: 'queue.declare-ok', queue, messageCount, consumerCount }, nowait)
}

/** What patterns for server-named queues are to match: each is different, and they differ in nothing a pattern should mind. */
const someServerName = 'amq.gen-AAAAAAAAAAAAAAAAAAAAAA'

/** The pseudo-queue is always there, an address as long as its requester is: so a replier can ask. It is the last queue declared then. */
function declareReplyTo(channel: Channel, queue: string, nowait: boolean): void {
  if (queue !== replyToName && !channel.connection.server.replyAddresses.has(queue)) {
    throw new MillraceError('NOT_FOUND', `no queue '${queue}' in vhost '${channel.session.vhost.name}'`)
  }
  channel.session.topology.lastQueueName = queue
  channel.reply({ type: 'queue.declare-ok', queue, messageCount: 0, consumerCount: 1 }, nowait)
}

function checkBinding(
  channel: Channel,
  method: { queue: string; exchange: string; routingKey: string },
): void {
  const { queue, routingKey } = method
  const exchange = stripLineBreaks(method.exchange)
  channel.access.checkQueue('write', queueName(channel, queue))
  channel.access.checkExchange('read', exchange)
  if (channel.session.vhost.exchanges.get(exchange)?.kind === 'topic') {
    channel.access.checkTopic('read', exchange, routingKey)
  }
}

/** It could be done here, but programs should find out before they meet a cluster. */
function conditionRefused(name: string, vhost: string, flag: 'if-unused' | 'if-empty'): Error {
  return notImplemented(
    `cannot delete ${describeResource('queue', { name, vhost })}. queue.delete operations with ${flag} flag set are not ` +
      'supported by quorum queues',
  )
}

/** The name that permissions are asked for: bind, unbind and delete strip it. */
function queueName(channel: Channel, name: string): string {
  return nameOrLast(channel, stripLineBreaks(name))
}

/** As `queueName` for purge, get and consume, which take a name as it is. */
export function nameOrLast(channel: Channel, name: string): string {
  return name === '' ? channel.session.topology.lastQueueName : name
}
