/**
 * The arguments of a declaration: those of queues, exchanges and bindings that the broker knows, checked and in units.
 * Arguments it does not know are kept and ignored. Errors are in RabbitMQ's words, which clients and their tests match.
 *
 * Sources: https://www.rabbitmq.com/docs/queues#optional-arguments, and RabbitMQ's own checks in `rabbit_amqqueue`.
 */
import { ArgumentReader, failed, print, typeName } from './argument-reader.ts'
import { UnsupportedError } from './errors.ts'
import type { MillraceError } from './errors.ts'
import { countArgument } from './extension.ts'
import type { FieldTable, FieldValue } from './field-value.ts'
import { equalFieldValues } from './field-value.ts'
import type { BrokerExchangeKind, RoutingKind } from './record.ts'

/** What a queue does when a limit is reached: make room at its head, or refuse the newcomer (and dead-letter it). */
export type Overflow = 'drop-head' | 'reject-publish' | 'reject-publish-dlx'

/** What a queue's arguments say. A limit that is not set is Infinity. */
export interface QueueSettings {
  /** Both are the same queue here; a quorum queue refuses some arguments. */
  readonly type: 'classic' | 'quorum'
  readonly messageTtlMs: number
  /** The queue goes when it was not used for so long; above 0. */
  readonly expiresMs: number
  /** Ready messages. */
  readonly maxLength: number
  /** Body bytes of ready messages. */
  readonly maxLengthBytes: number
  readonly overflow: Overflow
  /** 0 for a queue without priorities, else 1 to 255. */
  readonly maxPriority: number
  readonly deadLetterExchange: string | undefined
  /** Set only where there is a dead-letter exchange; undefined keeps the message's own. */
  readonly deadLetterRoutingKey: string | undefined
  readonly singleActiveConsumer: boolean
  /** Returns to the queue before a message is dead-lettered. */
  readonly deliveryLimit: number
  /** How long a consumer may take to settle a delivery; undefined for what the server says. The server minds it. */
  readonly consumerTimeoutMs: number | undefined
}

/** What an exchange's arguments say. */
export interface ExchangeSettings {
  /** How it finds its destinations. */
  readonly routing: RoutingKind
  readonly alternateExchange: string | undefined
}

/** What a consumer's arguments say. */
export interface ConsumerSettings {
  /** Higher goes first while it has credit; any integer. */
  readonly priority: number
  /** It is shown `x-delivery-count` by queues of every type (docs/amqp-extensions.md). */
  readonly isShownCount: boolean
}

/** How a headers binding compares. The plain modes skip names beginning `x-`. */
export type HeadersMatch = 'all' | 'any' | 'all-with-x' | 'any-with-x'

/** The arguments that must be the same when a queue is declared again. */
export const knownQueueArguments: readonly string[] = [
  'x-expires',
  'x-message-ttl',
  'x-dead-letter-exchange',
  'x-dead-letter-routing-key',
  'x-dead-letter-strategy',
  'x-max-length',
  'x-max-length-bytes',
  'x-max-in-memory-length',
  'x-max-in-memory-bytes',
  'x-max-priority',
  'x-overflow',
  'x-queue-mode',
  'x-queue-version',
  'x-single-active-consumer',
  'x-queue-type',
  'x-queue-master-locator',
  'x-queue-leader-locator',
  'x-quorum-initial-group-size',
  'x-delivery-limit',
  'x-consumer-timeout',
]

/** As `knownQueueArguments`, of a quorum queue: what it does not take is not looked at when it is declared again. */
export const knownQuorumArguments: readonly string[] = [
  'x-dead-letter-exchange',
  'x-dead-letter-routing-key',
  'x-dead-letter-strategy',
  'x-expires',
  'x-max-length',
  'x-max-length-bytes',
  'x-max-in-memory-length',
  'x-max-in-memory-bytes',
  'x-overflow',
  'x-single-active-consumer',
  'x-queue-type',
  'x-quorum-initial-group-size',
  'x-delivery-limit',
  'x-message-ttl',
  'x-queue-leader-locator',
  'x-consumer-timeout',
]

/** The arguments that must be the same when an exchange is declared again. */
export const knownExchangeArguments: readonly string[] = ['alternate-exchange']

/** Those of streams, which no other queue takes. */
const streamArguments = [
  'x-max-age',
  'x-stream-max-segment-size-bytes',
  'x-stream-filter-size-bytes',
  'x-initial-cluster-size',
]

/** Those of classic queues, which a quorum queue does not take. */
const classicArguments = ['x-max-priority', 'x-queue-mode', 'x-queue-version', 'x-queue-master-locator']

/** Of a binding to a hash exchange; so that the sum of all is a whole number. */
const maximumWeight = 1_000_000

export const routingKinds: readonly RoutingKind[] = [
  'direct',
  'fanout',
  'topic',
  'headers',
  'x-consistent-hash',
]

/** A queue or exchange as RabbitMQ names it in errors: `queue 'emails' in vhost '/'`. */
export function describeResource(kind: 'queue' | 'exchange', where: { name: string; vhost: string }): string {
  return `${kind} '${where.name}' in vhost '${where.vhost}'`
}

/**
 * Checks a queue's arguments. @param resource as {@link describeResource} names it, for the error
 *
 * Throws MillraceError PRECONDITION_FAILED for a value that is not allowed, UnsupportedError for a stream.
 */
export function parseQueueArguments(table: FieldTable, resource: string): QueueSettings {
  const all = new ArgumentReader(table, resource)
  // In RabbitMQ's order: of several that are wrong, the first is told of.
  const deadLetterExchange = all.exchangeName('x-dead-letter-exchange')
  const type = readQueueType(all)
  const refused = type === 'quorum' ? [...streamArguments, ...classicArguments] : streamArguments
  // What a queue of its type does not take is refused last, whatever its value.
  const reader = new ArgumentReader(withoutArguments(table, refused), resource)
  const expiresMs = reader.positive('x-expires')
  const messageTtlMs = reader.limit('x-message-ttl')
  const deadLetterRoutingKey = reader.routingKey('x-dead-letter-routing-key')
  if (deadLetterRoutingKey !== undefined && deadLetterExchange === undefined) {
    throw reader.invalid('x-dead-letter-routing-key', 'routing_key_but_no_dlx_defined')
  }
  reader.choice('x-dead-letter-strategy', ['at-most-once', 'at-least-once'], 'invalid_dlx_strategy')
  const maxLength = reader.limit('x-max-length')
  const maxLengthBytes = reader.limit('x-max-length-bytes')
  reader.limit('x-max-in-memory-length')
  reader.limit('x-max-in-memory-bytes')
  const maxPriority = reader.priority('x-max-priority')
  const overflow = reader.choice('x-overflow', overflows, 'invalid_overflow') ?? 'drop-head'
  checkStorage(reader)
  const singleActiveConsumer = reader.boolean('x-single-active-consumer') ?? false
  checkPlacement(reader)
  all.refuse(refused, type)
  return {
    type,
    messageTtlMs,
    expiresMs,
    maxLength,
    maxLengthBytes,
    maxPriority,
    overflow: overflowOf(type, overflow),
    deadLetterExchange,
    deadLetterRoutingKey,
    singleActiveConsumer,
    deliveryLimit: reader.deliveryLimit('x-delivery-limit'),
    consumerTimeoutMs: reader.timeout('x-consumer-timeout'),
  }
}

const overflows = ['drop-head', 'reject-publish', 'reject-publish-dlx'] as const

/** What a queue of that type makes of it: a quorum queue does not dead-letter what it refuses, it drops from its head then. */
export function overflowOf(type: 'classic' | 'quorum', overflow: Overflow): Overflow {
  return type === 'quorum' && overflow === 'reject-publish-dlx' ? 'drop-head' : overflow
}

function withoutArguments(table: FieldTable, names: readonly string[]): FieldTable {
  if (!names.some((name) => Object.hasOwn(table, name))) return table
  return Object.fromEntries(Object.entries(table).filter(([name]) => !names.includes(name)))
}

/** How a queue keeps its messages: checked as RabbitMQ does, and changes nothing here. */
function checkStorage(reader: ArgumentReader): void {
  const mode = reader.text('x-queue-mode')
  if (mode !== undefined && mode !== 'default' && mode !== 'lazy') {
    throw reader.invalid('x-queue-mode', `"unsupported queue mode '${mode}'"`)
  }
  const version = reader.integer('x-queue-version')
  if (version !== undefined && version !== 1 && version !== 2) {
    throw reader.invalid('x-queue-version', `"unsupported queue version '${version}'"`)
  }
}

/** Where a queue's members are: checked as RabbitMQ does, and changes nothing on one machine. */
function checkPlacement(reader: ArgumentReader): void {
  reader.positive('x-quorum-initial-group-size')
  reader.choice('x-queue-leader-locator', locators, 'invalid_queue_locator_arg')
}

const locators = ['client-local', 'balanced', 'random', 'least-leaders'] as const

function readQueueType(reader: ArgumentReader): 'classic' | 'quorum' {
  const type = reader.text('x-queue-type') ?? 'classic'
  if (type === 'classic' || type === 'quorum') return type
  if (type === 'stream') {
    throw new UnsupportedError({
      feature: 'queues of type stream',
      driver: 'this broker',
      hint: 'declare it with x-queue-type classic or quorum',
    })
  }
  throw reader.invalid('x-queue-type', `"unsupported queue type '${type}'"`)
}

/** Checks an exchange's arguments. Throws MillraceError PRECONDITION_FAILED. */
export function parseExchangeArguments(
  table: FieldTable,
  resource: string,
  kind: BrokerExchangeKind = 'direct',
): ExchangeSettings {
  const alternateExchange = new ArgumentReader(table, resource).exchangeName('alternate-exchange')
  const routing = kind === 'x-delayed-message' ? delayedKind(table) : kind
  if (routing === 'x-consistent-hash') checkHashArguments(table)
  return { routing, alternateExchange }
}

/** How an exchange of type `x-delayed-message` routes what is due. */
function delayedKind(table: FieldTable): RoutingKind {
  const type = Object.hasOwn(table, 'x-delayed-type') ? table['x-delayed-type'] : undefined
  const kind = routingKinds.find((known) => known === type)
  if (kind !== undefined) return kind
  if (typeof type === 'string') throw failed(`unknown exchange type '${type}'`)
  throw failed("Invalid argument, 'x-delayed-type' must be an existing exchange type")
}

/** Of a message's properties, those that `hash-property` may name. */
const hashProperties: readonly FieldValue[] = ['correlation_id', 'message_id', 'timestamp']

function checkHashArguments(table: FieldTable): void {
  const header = Object.hasOwn(table, 'hash-header') ? table['hash-header'] : undefined
  const property = Object.hasOwn(table, 'hash-property') ? table['hash-property'] : undefined
  if (header !== undefined && property !== undefined) {
    throw failed('hash-header and hash-property are mutually exclusive')
  }
  if (header !== undefined && typeof header !== 'string') {
    throw failed(`hash-header must be text, not ${typeName(header)}`)
  }
  if (property !== undefined && !hashProperties.includes(property)) {
    throw failed(`Unsupported property: ${print(property)}`)
  }
}

/** Checks a consumer's arguments. Throws MillraceError PRECONDITION_FAILED. @param resource the queue's, for the error */
export function parseConsumerArguments(
  table: FieldTable,
  resource: string,
  type: QueueSettings['type'] = 'classic',
): ConsumerSettings {
  const reader = new ArgumentReader(table, resource)
  const priority = reader.integer('x-priority') ?? 0
  if (type === 'classic') reader.boolean(failoverArgument)
  reader.refuse(type === 'classic' ? ['x-stream-offset'] : ['x-stream-offset', failoverArgument], type)
  return { priority, isShownCount: reader.boolean(countArgument) ?? false }
}

const failoverArgument = 'x-cancel-on-ha-failover'

/** Checks a binding's key, which is the weight of one of a hash exchange. Throws MillraceError PRECONDITION_FAILED. */
export function checkBindingKey(kind: RoutingKind, routingKey: string): void {
  if (kind !== 'x-consistent-hash') return
  const weight = /^[+-]?\d+$/.test(routingKey) ? Number(routingKey) : NaN
  if (Number.isNaN(weight)) throw failed(`The binding key must be an integer: <<"${routingKey}">>`)
  if (weight < 1) throw failed('The binding key must be greater than 0')
  if (weight > maximumWeight) throw failed(`The binding key must be ${maximumWeight} at most`)
}

/** Checks a binding's arguments. Throws MillraceError PRECONDITION_FAILED. */
export function checkBindingArguments(kind: RoutingKind, table: FieldTable): void {
  if (kind !== 'headers' || !Object.hasOwn(table, 'x-match')) return
  const match = table['x-match']!
  const expected = 'expected all, any, all-with-x, or any-with-x'
  if (typeof match !== 'string') {
    throw failed(`Invalid x-match field type ${typeName(match)} (value ${print(match)}); expected longstr`)
  }
  if (!headersMatches.has(match)) {
    throw failed(`Invalid x-match field value <<"${match}">>; ${expected}`)
  }
}

const headersMatches: ReadonlySet<string> = new Set<HeadersMatch>(['all', 'any', 'all-with-x', 'any-with-x'])

/** The mode of a headers binding; `all` where it is not said. */
export function headersMatchOf(table: FieldTable): HeadersMatch {
  const match = Object.hasOwn(table, 'x-match') ? table['x-match'] : undefined
  return match === 'any' || match === 'all-with-x' || match === 'any-with-x' ? match : 'all'
}

/**
 * The first of the known arguments by which two declarations differ, or undefined. Numbers of every width are compared
 * by value, other arguments not at all; a queue type of classic is the same as none.
 */
export function equivalentArguments(
  known: readonly string[],
  a: FieldTable,
  b: FieldTable,
): string | undefined {
  return known.find((name) => {
    const inA = valueOf(a, name)
    const inB = valueOf(b, name)
    return inA === undefined || inB === undefined ? inA !== inB : !equalFieldValues(inA, inB)
  })
}

/** What a declaration says of one argument. */
function valueOf(table: FieldTable, name: string): FieldValue | undefined {
  const value = Object.hasOwn(table, name) ? table[name] : undefined
  return name === 'x-queue-type' && value === 'classic' ? undefined : value
}

/** The error for a second declaration that differs, by an argument or by a flag such as `durable`. */
export function inequivalent(difference: {
  readonly name: string
  readonly resource: string
  readonly current: FieldValue | undefined
  readonly received: FieldValue | undefined
}): MillraceError {
  const { name, resource, current, received } = difference
  const bare = current !== undefined && received !== undefined
  const show = (value: FieldValue | undefined): string => {
    if (value === undefined || (bare && value === null)) return 'none'
    return bare ? `'${print(value)}'` : `the value '${print(value)}' of type '${typeName(value)}'`
  }
  return failed(
    `inequivalent arg '${name}' for ${resource}: received ${show(received)} but current is ${show(current)}`,
  )
}
