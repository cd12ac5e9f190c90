/**
 * Dead-lettering: what was rejected, expired, overflowed or came back too often goes to the queue's dead-letter exchange
 * as a new message with its history in `x-death`, in RabbitMQ's layout (https://www.rabbitmq.com/docs/dlx).
 *
 * It is one record with the departure from the old queue: at a crash the message is in exactly one of the two.
 */
import type { Entry } from '../model/entry.ts'
import { shortened } from '../model/death-account.ts'
import { isFieldArray } from '../model/field-value.ts'
import type { FieldTable, FieldValue } from '../model/field-value.ts'
import type { HeaderChange } from '../model/header-change.ts'
import type { Message } from '../model/message.ts'
import { enterQueues } from './enter.ts'
import { refuses } from './fullness.ts'
import type { Kernel } from './kernel.ts'
import type { Queue } from './queue.ts'
import { routingKeysOf } from './routing-keys.ts'

export type DeathReason = 'rejected' | 'expired' | 'maxlen' | 'delivery_limit'

export interface Death {
  readonly reason: DeathReason
  readonly nowMs: number
  /** What the handler that gave it up said. */
  readonly account?: { readonly reason: string; readonly error: string | undefined } | undefined
}

/** The entry, taken out of its queue's counts, leaves for the dead-letter exchange, or for good where there is none. */
export function deadLetter(kernel: Kernel, queue: Queue, entry: Entry, death: Death): void {
  if (queue.settings.deadLetterExchange === undefined) {
    countDeath(kernel, queue, death, false)
    queue.leave(entry)
    return
  }
  const message = deadMessage(queue, entry.message, entry.deliveryCount, death)
  const targets = deadLetterTargets(queue, message, entry.bodyBytes, death)
  countDeath(kernel, queue, death, targets.length > 0)
  if (targets.length === 0) {
    queue.leave(entry)
    return
  }
  enterQueues(kernel, targets, {
    message,
    bodyBytes: entry.bodyBytes,
    publishedAtMs: entry.publishedAtMs,
    persistent: !entry.transient || message.properties.deliveryMode === 2,
    priority: message.properties.priority ?? 0,
    key: entry.key,
    ttlMs: Infinity,
    delayMs: 0,
    supersedes: entry,
    nowMs: death.nowMs,
  })
  queue.vanish(entry)
}

/** As `deadLetter`, for a message that its queue refused: it never entered. */
export function deadLetterRefused(
  kernel: Kernel,
  queue: Queue,
  refused: { message: Message; bodyBytes: number; persistent: boolean; key: string; nowMs: number },
): void {
  if (queue.settings.deadLetterExchange === undefined) return
  const death: Death = { reason: 'maxlen', nowMs: refused.nowMs }
  const message = deadMessage(queue, refused.message, 0, death)
  const targets = deadLetterTargets(queue, message, refused.bodyBytes, death)
  if (targets.length === 0) return
  countDeath(kernel, queue, death, true)
  enterQueues(kernel, targets, {
    message,
    bodyBytes: refused.bodyBytes,
    publishedAtMs: refused.nowMs,
    persistent: refused.persistent,
    priority: message.properties.priority ?? 0,
    key: refused.key,
    ttlMs: Infinity,
    delayMs: 0,
    supersedes: undefined,
    nowMs: refused.nowMs,
  })
}

function countDeath(kernel: Kernel, queue: Queue, death: Death, stored: boolean): void {
  if (stored) {
    queue.counters.deadLettered += 1
    kernel.counters.deadLettered += 1
  } else if (death.reason !== 'expired') {
    queue.counters.dropped += 1
    kernel.counters.dropped += 1
  }
}

/**
 * Where it goes: without the queues that are full, and those that it would reach over and over with nobody having rejected
 * it.
 */
function deadLetterTargets(queue: Queue, message: Message, bodyBytes: number, death: Death): Queue[] {
  const exchange = queue.vhost.exchanges.get(message.exchange)
  if (exchange === undefined) return []
  const targets = queue.vhost.route(exchange, message, routingKeysOf(message))
  const deaths = death.reason === 'rejected' ? [] : deathsOf(message.properties.headers)
  return targets.filter((target) => !refuses(target, bodyBytes) && !isCycle(target.name, deaths))
}

function isCycle(queueName: string, deaths: readonly FieldTable[]): boolean {
  const last = deaths.findIndex((death) => death['queue'] === queueName)
  if (last < 0) return false
  return deaths.slice(0, last + 1).every((death) => death['reason'] !== 'rejected')
}

/**
 * The letter. Headers have a limit, and what its publisher put there may leave no room: then older deaths are left out,
 * then the history, and at last it says nothing of its death. It could not be put on record otherwise.
 */
function deadMessage(queue: Queue, message: Message, deliveryCount: number, death: Death): Message {
  const { deadLetterExchange = '', deadLetterRoutingKey = message.routingKey } = queue.settings
  for (const deaths of [Infinity, 1, 0]) {
    const change = deathChange(queue, message, { ...death, deliveryCount, deaths })
    const letter = message.changedIfFits(deadLetterExchange, deadLetterRoutingKey, change)
    if (letter !== undefined) return letter
  }
  return message.readdressed(deadLetterExchange, deadLetterRoutingKey)
}

/** @param told `deaths`: how many of them it names, the newest first */
function deathChange(
  queue: Queue,
  message: Message,
  told: Death & { readonly deliveryCount: number; readonly deaths: number },
): HeaderChange {
  const { deliveryCount, ...death } = told
  const set = deathHeaders(queue, message, death, told.deaths)
  // The account of a former death, or of nobody's, is not that of this one.
  const remove: string[] = [...accountHeaders]
  if (told.deaths === 0) {
    delete set['x-death']
    remove.push('x-death')
  }
  if (queue.settings.deadLetterRoutingKey !== undefined) remove.push('CC')
  if (death.account !== undefined) {
    const { reason, error } = death.account
    set['x-millrace-reason'] = shortened(reason)
    set['x-millrace-attempts'] = deliveryCount + 1
    if (error !== undefined) set['x-millrace-error'] = shortened(error)
  }
  return { set, remove: remove.filter((name) => !Object.hasOwn(set, name)), dropsExpiration: true }
}

const accountHeaders = ['x-millrace-reason', 'x-millrace-attempts', 'x-millrace-error'] as const

function deathHeaders(
  queue: Queue,
  message: Message,
  death: Death,
  maximum: number,
): Record<string, FieldValue> {
  const properties = message.properties
  const headers = properties.headers ?? {}
  const deaths = deathsOf(headers)
  const same = deaths.findIndex((other) => other['queue'] === queue.name && other['reason'] === death.reason)
  const latest: FieldTable = same >= 0 ? recount(deaths[same]!) : newDeath(queue, message, death)
  const result: Record<string, FieldValue> = {
    'x-death': [latest, ...deaths.filter((_death, index) => index !== same)].slice(0, maximum),
    'x-last-death-reason': death.reason,
    'x-last-death-queue': queue.name,
    'x-last-death-exchange': message.exchange,
  }
  // Of a message that comes with deaths already, this is not the first.
  if (!Object.hasOwn(headers, 'x-first-death-reason') && !Object.hasOwn(headers, 'x-death')) {
    result['x-first-death-reason'] = death.reason
    result['x-first-death-queue'] = queue.name
    result['x-first-death-exchange'] = message.exchange
  }
  return result
}

function newDeath(queue: Queue, message: Message, death: Death): FieldTable {
  const properties = message.properties
  const carbonCopies = properties.headers?.['CC']
  const keys: FieldValue[] = [message.routingKey]
  if (carbonCopies !== undefined && isFieldArray(carbonCopies)) {
    // What is no text is no key; and tables within, deeper here than there, might be deeper than a table may be.
    keys.push(...carbonCopies.filter((key) => typeof key === 'string'))
  }
  const table: Record<string, FieldValue> = {
    count: 1n,
    reason: death.reason,
    queue: queue.name,
    time: new Date(Math.floor(death.nowMs / 1000) * 1000),
    exchange: message.exchange,
    'routing-keys': keys,
  }
  if (properties.expiration !== undefined) table['original-expiration'] = properties.expiration
  return table
}

/** One death more. A client may have put anything there: what is no whole number counts as none, and 64 bits are not left. */
function recount(death: FieldTable): FieldTable {
  const count = death['count']
  return { ...death, count: BigInt.asIntN(64, (typeof count === 'bigint' ? count : 0n) + 1n) }
}

/** The deaths on record, newest first; a client's own header of that name that is no such list counts as none. */
function deathsOf(headers: FieldTable | undefined): readonly FieldTable[] {
  const deaths = headers !== undefined && Object.hasOwn(headers, 'x-death') ? headers['x-death'] : undefined
  return deaths !== undefined && isFieldArray(deaths) ? deaths.filter(isTable).map(withWideCount) : []
}

/** The count is a long, which a number read from bytes does not remember. */
function withWideCount(death: FieldTable): FieldTable {
  const count = death['count']
  return Number.isSafeInteger(count) ? { ...death, count: BigInt(count as number) } : death
}

function isTable(value: FieldValue): value is FieldTable {
  return (
    typeof value === 'object' &&
    value !== null &&
    !Array.isArray(value) &&
    !(value instanceof Uint8Array) &&
    !(value instanceof Date)
  )
}
