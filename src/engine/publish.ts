/**
 * Publishing: a message is routed, refused or recognised queue by queue, put on record, and enters. Nothing is
 * delivered here.
 */
import { MillraceError, ValidationError } from '../model/errors.ts'
import type { Message } from '../model/message.ts'
import { deadLetterRefused } from './dead-letter.ts'
import { enterQueues, newEntry, place } from './enter.ts'
import type { Entering } from './enter.ts'
import type { Exchange } from './exchange.ts'
import { refuses } from './fullness.ts'
import { expireUnclaimed } from './head.ts'
import { delayOf } from './held-entry.ts'
import type { Kernel } from './kernel.ts'
import { dropOverflow } from './overflow.ts'
import type { Queue } from './queue.ts'
import { checkRoutingKeys, routingKeysOf, withoutBlindCopies } from './routing-keys.ts'
import type { SessionSink } from './sink.ts'
import type { BufferedPublish } from './transaction.ts'
import type { VirtualHost } from './virtual-host.ts'

/** What comes with a message and is not in it. The common cases are the constants below: no object per message. */
export interface PublishExtras {
  /** Survives a restart, in queues that do. */
  readonly persistent: boolean
  /** 0 to 255. */
  readonly priority: number
  /** Goes back to the publisher's session where no queue takes it. */
  readonly mandatory: boolean
  /** Held back by every queue it enters; 0 for not at all. */
  readonly delayMs: number
  /** Infinity for none. */
  readonly ttlMs: number
  /** Messages of one key are handled one at a time and in order; '' for none. */
  readonly key: string
  readonly dedupe: Deduplication | undefined
  /** The message may have headers, so CC and BCC are looked for. */
  readonly hasHeaders: boolean
}

export interface Deduplication {
  readonly key: string
  readonly windowMs: number
}

export const persistentPublish: PublishExtras = Object.freeze({
  persistent: true,
  priority: 0,
  mandatory: false,
  delayMs: 0,
  ttlMs: Infinity,
  key: '',
  dedupe: undefined,
  hasHeaders: false,
})

export const transientPublish: PublishExtras = Object.freeze({ ...persistentPublish, persistent: false })

export interface PublishOutcome {
  /**
   * - routed: it is in `queues` queues
   * - unroutable: no queue takes it
   * - rejected: at least one queue was full and refused it; it is in `queues` others
   * - duplicate: each queue has seen its key within the window
   */
  readonly type: 'routed' | 'unroutable' | 'rejected' | 'duplicate'
  readonly queues: number
  /** Of a duplicate: the id of the message that was stored. */
  readonly messageId: string
}

/** AMQP 0-9-1 reply code NO_ROUTE. */
const noRoute = 312

const unroutable: PublishOutcome = Object.freeze({ type: 'unroutable', queues: 0, messageId: '' })
const rejected: PublishOutcome = Object.freeze({ type: 'rejected', queues: 0, messageId: '' })
const routedToOne: PublishOutcome = Object.freeze({ type: 'routed', queues: 1, messageId: '' })

/** Routes and stores a message. It has been checked (`checkPublish`). */
export function publish(
  kernel: Kernel,
  exchange: Exchange,
  message: Message,
  extras: PublishExtras,
  nowMs: number,
): PublishOutcome {
  const vhost = exchange.vhost
  kernel.counters.published += 1
  let outcome: PublishOutcome
  if (exchange.isDefault && !extras.hasHeaders) {
    const queue = vhost.queues.get(message.routingKey)
    if (queue === undefined) outcome = unroutable
    else if (isPlain(queue, extras)) return publishPlain(kernel, queue, message, extras, nowMs)
    else outcome = publishTo(kernel, [queue], message, extras, nowMs)
  } else {
    outcome = publishRouted(kernel, vhost, exchange, message, extras, nowMs)
  }
  if (outcome.type === 'unroutable') kernel.counters.unroutable += 1
  if (kernel.overflowing.length > 0) {
    kernel.work = kernel.limits.dropsPerPublish
    dropOverflow(kernel, nowMs)
  }
  return outcome
}

/** Gives a mandatory message that no queue took back to its publisher: basic.return. */
export function giveBack(kernel: Kernel, sink: SessionSink, message: Message): void {
  kernel.insideSink = true
  try {
    sink.returned(withoutBlindCopies(message), noRoute, 'NO_ROUTE')
  } finally {
    kernel.insideSink = false
  }
}

/** A publish whose transaction is committed; its exchange may have gone meanwhile. False if a queue refused it. */
export function publishBuffered(
  kernel: Kernel,
  sink: SessionSink,
  buffered: BufferedPublish,
  nowMs: number,
): boolean {
  const { exchange, message, extras } = buffered
  const exists = exchange.vhost.exchanges.get(exchange.name) === exchange
  const outcome = exists ? publish(kernel, exchange, message, extras, nowMs) : unroutable
  if (extras.mandatory && outcome.type === 'unroutable') giveBack(kernel, sink, message)
  return outcome.type !== 'rejected'
}

/**
 * Refuses what cannot be published, so that `publish` does not fail, in a commit neither.
 * Codes ACCESS_REFUSED (internal exchange), INVALID_ARGUMENT (out of range), PRECONDITION_FAILED (CC, BCC).
 */
export function checkPublish(
  kernel: Kernel,
  exchange: Exchange,
  message: Message,
  extras: PublishExtras,
): void {
  if (exchange.internal) throw internalRefused(exchange)
  if (extras.hasHeaders) checkRoutingKeys(message, kernel.limits.routingKeysPerMessage)
  if (exchange.holding !== undefined) checkDelay(message, kernel.limits.delayMs)
  if (extras.delayMs !== 0) {
    checkRange('the delay', extras.delayMs, kernel.limits.delayMs)
  }
  if (extras.ttlMs !== Infinity) checkRange('the time to live', extras.ttlMs, Number.MAX_SAFE_INTEGER)
  if (extras.dedupe !== undefined) {
    checkRange('the de-duplication window', extras.dedupe.windowMs, kernel.limits.deduplicationWindowMs)
  }
}

function checkRange(what: string, value: number, maximum: number): void {
  if (value >= 0 && value <= maximum) return
  throw new ValidationError('INVALID_ARGUMENT', `${what} must be from 0 to ${maximum} ms, not ${value}`)
}

/** What the plugin would fail on, or not hold back at all. */
function checkDelay(message: Message, limitMs: number): void {
  const delayMs = delayOf(message)
  if (delayMs <= limitMs) return
  const why = Number.isNaN(delayMs) ? 'it is no number' : `${limitMs} is the most`
  throw new MillraceError('PRECONDITION_FAILED', `invalid header 'x-delay': ${why}`)
}

function isPlain(queue: Queue, extras: PublishExtras): boolean {
  return !queue.limited && extras.dedupe === undefined
}

/** The straight road: one queue, no limit on its length, no de-duplication. */
function publishPlain(
  kernel: Kernel,
  queue: Queue,
  message: Message,
  extras: PublishExtras,
  nowMs: number,
): PublishOutcome {
  const entry = newEntry(kernel, queue, message, extras, message.bodyLength, nowMs, nowMs, false)
  if (!entry.transient) kernel.journalOne(entry, 0)
  queue.counters.published += 1
  place(queue, entry)
  return routedToOne
}

function publishRouted(
  kernel: Kernel,
  vhost: VirtualHost,
  exchange: Exchange,
  message: Message,
  extras: PublishExtras,
  nowMs: number,
): PublishOutcome {
  const keys = extras.hasHeaders ? routingKeysOf(message) : undefined
  const targets = vhost.route(exchange, message, keys)
  if (targets.length === 0) return unroutable
  const first = targets[0]!
  // What is held back is routed later, by its blind copies too.
  const isHeld = targets.length === 1 && first.holdsFor !== undefined
  const stored = keys !== undefined && !isHeld ? withoutBlindCopies(message) : message
  if (targets.length === 1 && isPlain(first, extras)) {
    return publishPlain(kernel, first, stored, extras, nowMs)
  }
  // A copy: what a queue refuses or expires is dead-lettered on the way, and that routes too.
  return publishTo(kernel, targets.slice(), stored, extras, nowMs)
}

/** The long road: asks each queue, then enters those that take it, in one record. */
function publishTo(
  kernel: Kernel,
  targets: readonly Queue[],
  message: Message,
  extras: PublishExtras,
  nowMs: number,
): PublishOutcome {
  const entering = enteringOf(message, extras, nowMs)
  const taking: Queue[] = []
  const refusing: Queue[] = []
  let duplicateOf: string | undefined
  for (const queue of targets) {
    expireUnclaimed(kernel, queue, nowMs)
    const seen = extras.dedupe && queue.deduplication?.find(extras.dedupe.key, nowMs)
    if (seen !== undefined) {
      duplicateOf = seen.messageId
      queue.counters.duplicates += 1
      kernel.counters.duplicates += 1
    } else if (extras.delayMs === 0 && refuses(queue, entering.bodyBytes)) {
      refusing.push(queue)
    } else {
      taking.push(queue)
      queue.counters.published += 1
    }
  }
  if (taking.length > 0) {
    enterQueues(kernel, taking, entering)
    if (extras.dedupe !== undefined) rememberKeys(kernel, taking, message, extras.dedupe, nowMs)
  }
  // Behind the message itself, where its dead letter goes to one of the queues that took it.
  for (const queue of refusing) refuse(kernel, queue, entering)
  if (refusing.length > 0) {
    return taking.length === 0 ? rejected : { type: 'rejected', queues: taking.length, messageId: '' }
  }
  if (taking.length === 0) return { type: 'duplicate', queues: 0, messageId: duplicateOf ?? '' }
  return taking.length === 1 ? routedToOne : { type: 'routed', queues: taking.length, messageId: '' }
}

function refuse(kernel: Kernel, queue: Queue, entering: Entering): void {
  queue.counters.rejected += 1
  kernel.counters.rejected += 1
  if (queue.settings.overflow !== 'reject-publish-dlx') return
  deadLetterRefused(kernel, queue, entering)
}

function rememberKeys(
  kernel: Kernel,
  queues: readonly Queue[],
  message: Message,
  dedupe: Deduplication,
  nowMs: number,
): void {
  const messageId = message.properties.messageId ?? ''
  const untilMs = nowMs + dedupe.windowMs
  for (const queue of queues) {
    queue.rememberKey({ key: dedupe.key, messageId, untilMs })
    if (queue.persistent) {
      kernel.journal.defined({ type: 'deduplicated', queueId: queue.id, key: dedupe.key, messageId, untilMs })
    }
  }
}

function enteringOf(message: Message, extras: PublishExtras, nowMs: number): Entering {
  return {
    message,
    bodyBytes: message.bodyLength,
    publishedAtMs: nowMs,
    persistent: extras.persistent,
    priority: extras.priority,
    key: extras.key,
    ttlMs: extras.ttlMs,
    delayMs: extras.delayMs,
    supersedes: undefined,
    nowMs,
  }
}

function internalRefused(exchange: Exchange): MillraceError {
  return new MillraceError(
    'ACCESS_REFUSED',
    `cannot publish to internal exchange '${exchange.name}' in vhost '${exchange.vhost.name}'`,
  )
}
