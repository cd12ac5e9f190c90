/**
 * What connection.start says of this server.
 *
 * `product` and `version` are what clients branch on, so they name the broker whose behaviour we keep: see
 * docs/server-properties.md. Programs that want to know whom they really talk to read `millrace`, which no RabbitMQ has.
 */
import type { FieldTable } from '../model/field-value.ts'

/** The RabbitMQ whose behaviour we keep. */
export const compatibleVersion = '3.13.7'

export interface Identity {
  /** Of this package. */
  readonly version: string
  readonly clusterName: string
}

/** Extensions of AMQP 0-9-1 that are honoured here, under RabbitMQ's names for them. */
const capabilities: FieldTable = Object.freeze({
  publisher_confirms: true,
  exchange_exchange_bindings: true,
  'basic.nack': true,
  consumer_cancel_notify: true,
  'connection.blocked': true,
  consumer_priorities: true,
  authentication_failure_close: true,
  per_consumer_qos: true,
  direct_reply_to: true,
})

export function serverProperties({ version, clusterName }: Identity): FieldTable {
  return {
    capabilities,
    cluster_name: clusterName,
    copyright: 'The Millrace authors',
    information: 'Millrace speaks AMQP 0-9-1 with the extensions of RabbitMQ',
    platform: `Millrace ${version} on Node.js ${process.versions.node}`,
    product: 'RabbitMQ',
    version: compatibleVersion,
    millrace: version,
  }
}
