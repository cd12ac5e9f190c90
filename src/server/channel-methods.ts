/** The methods of a channel by name; each class has a file of its own. */
import type { Method, MethodName, MethodOf } from '../wire/method.ts'
import { basicMethods } from './channel-basic.ts'
import type { Channel } from './channel.ts'
import { exchangeMethods } from './channel-exchange.ts'
import { queueMethods } from './channel-queue.ts'
import { transactionMethods } from './channel-transaction.ts'
import { channelError, commandInvalid, notImplemented } from './refusal.ts'

/** What handles some of the methods. A refusal is thrown. */
export type Handlers = { readonly [Name in MethodName]?: (channel: Channel, method: MethodOf<Name>) => void }

const channelMethods: Handlers = {
  'channel.open': () => {
    throw channelError("second 'channel.open' seen")
  },
  'channel.close': (channel) => {
    channel.close()
    channel.send({ type: 'channel.close-ok' })
  },
  'channel.flow': (channel, { active }) => {
    if (!active) throw notImplemented('active=false')
    channel.reply({ type: 'channel.flow-ok', active: true })
  },
  // A leftover of AMQP 0-8 that old clients still ask for.
  'access.request': (channel) => channel.reply({ type: 'access.request-ok', ticket: 1 }),
}

const handlers: Handlers = {
  ...channelMethods,
  ...exchangeMethods,
  ...queueMethods,
  ...basicMethods,
  ...transactionMethods,
}

/** They mean what the peer has been sent, not what it is about to be. */
const settlements: ReadonlySet<MethodName> = new Set([
  'basic.nack',
  'basic.reject',
  'basic.recover',
  'basic.recover-async',
])

/**
 * Handles any method of a channel but basic.publish and basic.ack, which have ways of their own. Who asks for a message, or ends what
 * might get one, does so after the consumers that wait: as where each message goes its way at once.
 */
export function handleMethod(channel: Channel, method: Method): void {
  const handler = handlers[method.type] as ((channel: Channel, method: Method) => void) | undefined
  if (handler === undefined) throw commandInvalid('unimplemented method')
  if (!settlements.has(method.type)) {
    channel.connection.changes.deliver()
    // The disk may have refused what was delivered: that ends every connection.
    if (channel.state !== 'open') return
  }
  handler(channel, method)
}
