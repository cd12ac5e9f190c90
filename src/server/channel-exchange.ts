/** The class exchange: declare, delete, bind, unbind. */
import { stripLineBreaks } from '../model/names.ts'
import type { ExchangeKind } from '../model/record.ts'
import type { MethodOf } from '../wire/method.ts'
import type { Handlers } from './channel-methods.ts'
import type { Channel } from './channel.ts'

export const exchangeMethods: Handlers = {
  'exchange.declare': declare,
  'exchange.delete': (channel, { exchange, ifUnused, nowait }) => {
    channel.access.checkExchange('configure', stripLineBreaks(exchange))
    channel.session.deleteExchange(exchange, { ifUnused })
    channel.replyWhenDurable({ type: 'exchange.delete-ok' }, nowait)
  },
  'exchange.bind': (channel, method) => {
    checkBinding(channel, method)
    channel.session.bindExchange(method)
    channel.replyWhenDurable({ type: 'exchange.bind-ok' }, method.nowait)
  },
  'exchange.unbind': (channel, method) => {
    checkBinding(channel, method)
    channel.session.unbindExchange(method)
    channel.replyWhenDurable({ type: 'exchange.unbind-ok' }, method.nowait)
  },
}

function declare(channel: Channel, method: MethodOf<'exchange.declare'>): void {
  const { exchange, nowait } = method
  const name = stripLineBreaks(exchange)
  if (method.passive) {
    channel.session.checkExchange(name)
    channel.reply({ type: 'exchange.declare-ok' }, nowait)
    return
  }
  channel.access.checkExchange('configure', name)
  const alternate = method.arguments['alternate-exchange']
  if (typeof alternate === 'string' && !channel.session.vhost.exchanges.has(name)) {
    channel.access.checkExchange('read', name)
    channel.access.checkExchange('write', alternate)
  }
  channel.session.declareExchange({
    name,
    // The engine refuses what is none.
    kind: method.exchangeType as ExchangeKind,
    durable: method.durable,
    autoDelete: method.autoDelete,
    internal: method.internal,
    arguments: method.arguments,
  })
  channel.replyWhenDurable({ type: 'exchange.declare-ok' }, nowait)
}

function checkBinding(
  channel: Channel,
  method: { source: string; destination: string; routingKey: string },
): void {
  const { destination, routingKey } = method
  const source = stripLineBreaks(method.source)
  channel.access.checkExchange('write', stripLineBreaks(destination))
  channel.access.checkExchange('read', source)
  if (channel.session.vhost.exchanges.get(source)?.kind === 'topic') {
    channel.access.checkTopic('read', source, routingKey)
  }
}
