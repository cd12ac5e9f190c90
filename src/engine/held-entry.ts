/**
 * What an exchange of type `x-delayed-message` holds back: messages whose header `x-delay` says for how many milliseconds
 * (https://github.com/rabbitmq/rabbitmq-delayed-message-exchange). The exchange has a queue without a name for them, of
 * which only the delayed entries are used; what becomes due there is routed, see release-held.ts.
 */
import { Entry } from '../model/entry.ts'
import type { Message } from '../model/message.ts'
import type { Terms } from './enter.ts'
import type { Kernel } from './kernel.ts'
import type { Queue } from './queue.ts'

/** The lanes of what is held back say whether the message is to survive a restart once it is routed. */
export const heldLane = { transient: 0, persistent: 1 } as const

/**
 * What the header `x-delay` says, in ms: any number, or a text that is a whole number. 0 without one, below 0 for a
 * message that was held back before, NaN for a text that is no number.
 */
export function delayOf(message: Message): number {
  const headers = message.properties.headers
  if (headers === undefined || !Object.hasOwn(headers, 'x-delay')) return 0
  const delay = headers['x-delay']
  if (typeof delay === 'string') return /^[+-]?\d+$/.test(delay) ? Number(delay) : NaN
  return typeof delay === 'number' || typeof delay === 'bigint' ? Math.trunc(Number(delay)) : 0
}

/** The entry of a message that is held back. It is on record whether the message is persistent or not, as in the plugin. */
export function heldEntry(
  kernel: Kernel,
  queue: Queue,
  message: Message,
  terms: Terms,
  times: { readonly publishedAtMs: number; readonly nowMs: number; readonly recovered: boolean },
): Entry {
  const delayMs = Math.min(kernel.limits.delayMs, terms.delayMs + delayOf(message))
  const dueAtMs = times.nowMs + delayMs
  const seq = kernel.nextSeq
  kernel.nextSeq = seq + 1
  return new Entry({
    seq,
    queueId: queue.id,
    lane: terms.persistent ? heldLane.persistent : heldLane.transient,
    message,
    bodyBytes: message.bodyLength,
    publishedAtMs: times.publishedAtMs,
    expiresAtMs: terms.ttlMs === Infinity ? Infinity : dueAtMs + terms.ttlMs,
    dueAtMs,
    key: terms.key,
    transient: !queue.persistent,
    deliveryCount: 0,
    recovered: times.recovered,
  })
}
