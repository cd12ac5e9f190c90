/** Who talks to whom. */
import { needPython } from '../clients.ts'
import { amqplibPeer } from './amqplib-peer.ts'
import { cloudamqpPeer } from './cloudamqp-peer.ts'
import type { PeerKind } from './peer.ts'
import { pikaPeer } from './pika-peer.ts'
import { rabbitmqClientPeer } from './rabbitmq-client-peer.ts'

export interface Pair {
  readonly name: string
  readonly sender: PeerKind
  readonly receiver: PeerKind
  readonly skip: string | false
}

const skipPika = await needPython('pika')

const kinds = [amqplibPeer, pikaPeer, rabbitmqClientPeer, cloudamqpPeer]

/** Each client by itself. */
export const everyone: readonly { readonly kind: PeerKind; readonly skip: string | false }[] = kinds.map(
  (kind) => ({ kind, skip: skipFor(kind) }),
)

/** Everybody to everybody else. */
export const allPairs: readonly Pair[] = kinds.flatMap((sender) =>
  kinds.filter((receiver) => receiver !== sender).map((receiver) => pair(sender, receiver)),
)

/** Each client once at either end. */
export const ring: readonly Pair[] = kinds.map((sender, index) =>
  pair(sender, kinds[(index + 1) % kinds.length] as PeerKind),
)

function pair(sender: PeerKind, receiver: PeerKind): Pair {
  const skip = skipFor(sender) === false ? skipFor(receiver) : skipFor(sender)
  return { name: `${sender.name} to ${receiver.name}`, sender, receiver, skip }
}

function skipFor(kind: PeerKind): string | false {
  return kind === pikaPeer ? skipPika : false
}
