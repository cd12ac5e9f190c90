/**
 * What Millrace's broker understands over AMQP 0-9-1 beyond RabbitMQ: headers of published messages, a pseudo-queue to settle
 * deliveries by, an argument of consumers, and a reply code. Any client library can use them; docs/amqp-extensions.md is their
 * description for people. A RabbitMQ takes the headers for a message's own and does nothing.
 */

/** Headers of a published message. */
export const publishHeader = {
  /** Held back by every queue that it enters, for so many ms: a whole number from 0. */
  delay: 'x-millrace-delay',
  /** Messages of one key are handled one at a time and in order: a text. */
  key: 'x-millrace-key',
  /** The text by which a queue knows a message again, within the window. */
  dedupe: 'x-millrace-dedupe',
  /** How long it does, in ms. */
  dedupeWindow: 'x-millrace-dedupe-window',
} as const

/** All their names begin so. */
export const publishHeaderPrefix = 'x-millrace-'

/** Published to this routing key of the default exchange, a message settles a delivery of its channel and is no message. */
export const settleKey = 'amq.millrace.settle'

/** Headers of such a settlement. */
export const settleHeader = {
  /** Of the same channel: a whole number. */
  deliveryTag: 'x-millrace-delivery-tag',
  /** One of `outcomes`. */
  outcome: 'x-millrace-outcome',
  /** Of retry and release, in ms: a whole number from 0. */
  delay: 'x-millrace-delay',
  /** Of dead: texts that the dead letter carries. */
  reason: 'x-millrace-reason',
  error: 'x-millrace-error',
} as const

/**
 * What becomes of the delivery: `retry`, back to the tail, counted as an attempt; `release`, back to its place, or after a
 * delay to the tail, not counted; `dead`, to the dead-letter exchange, or away where there is none.
 */
export const settleOutcomes = ['retry', 'release', 'dead'] as const

export type SettleOutcome = (typeof settleOutcomes)[number]

/** A consumer with this argument (true) is shown `x-delivery-count` by classic queues too, as by quorum queues. */
export const countArgument = 'x-millrace-delivery-count'

/** Reply code of basic.return for a mandatory message that was a duplicate; the reply text is the id of the one that is stored. */
export const duplicateReply = 314
