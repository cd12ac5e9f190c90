/** What a sender may say about one message, and the envelope made of it. */
import { maximumFieldDepth } from '../model/field-table.ts'
import type { FieldTable, FieldValue } from '../model/field-table.ts'
import { isFieldArray } from '../model/field-value.ts'
import { ValidationError } from '../model/errors.ts'
import type { Properties } from '../model/properties.ts'
import { contentTypeOf, encodeBody, jsonType } from './codec.ts'
import type { Outgoing } from './driver.ts'
import { durationMs } from './duration.ts'
import type { Duration } from './duration.ts'
import { newId } from './id.ts'
import {
  checkOptions,
  isDate,
  isDuration,
  isHeaders,
  isInteger,
  isObjectOf,
  isShortString,
  isSignal,
} from './options.ts'
import type { Check } from './options.ts'

export interface SendOptions {
  /** Not delivered before so long from now. */
  readonly delay?: Duration
  /** Not delivered before this time, by this machine's clock; a time past is now. Instead of `delay`. */
  readonly at?: Date
  /** 0 to 255, higher first, in a queue that has priorities. */
  readonly priority?: number
  /** Dead-lettered when it was not delivered so long after it became ready. */
  readonly ttl?: Duration
  /** The message's id (default a new UUIDv7). */
  readonly id?: string
  /** A message with the same key inside the window is stored once; the later ones resolve with the first one's id. */
  readonly dedupe?: { readonly key: string; readonly window: Duration }
  /** Messages of one key are handled one at a time and in order. */
  readonly key?: string
  readonly headers?: FieldTable
  /** Correlates a reply with its request, or events with what caused them. */
  readonly correlationId?: string
  /** False: it need not survive a restart (default true). */
  readonly persistent?: boolean
  /** Calls the wait off; the message may be stored all the same. */
  readonly signal?: AbortSignal
}

type Dedupe = NonNullable<SendOptions['dedupe']>

/** For several messages at once: what must differ from one to the other is a function of the data and its place. */
export interface SendManyOptions<Input = unknown> extends Omit<SendOptions, 'id' | 'dedupe'> {
  /** Each message's id, e.g. `(order) => order.id`; undefined for a new UUIDv7. One for all is refused. */
  readonly id?: string | ((data: Input, index: number) => string | undefined)
  /** Each message's dedupe key and window; undefined for none. One for all is refused: only the first would be stored. */
  readonly dedupe?: Dedupe | ((data: Input, index: number) => Dedupe | undefined)
}

export const sendChecks: Readonly<Record<string, Check>> = {
  delay: isDuration,
  at: isDate,
  priority: isInteger(0, 255),
  ttl: isDuration,
  id: isShortString,
  dedupe: isObjectOf({ key: isShortString, window: isDuration }),
  key: isShortString,
  headers: isHeaders,
  correlationId: isShortString,
  persistent: (value) => (typeof value === 'boolean' ? undefined : 'must be true or false'),
  signal: isSignal,
}

/** Where a message goes. */
export interface Address {
  readonly call: string
  readonly exchange: string
  readonly routingKey: string
  readonly mandatory: boolean
}

/**
 * The message as the driver takes it.
 * @throws ValidationError INVALID_OPTION, UNSERIALIZABLE
 */
export function envelope(address: Address, data: unknown, options: SendOptions | undefined): Outgoing {
  if (options === undefined) return plainEnvelope(address, data)
  checkOptions(address.call, options, sendChecks)
  return checkedEnvelope(address, data, options)
}

/**
 * What makes the message of each of several, as `envelope` does. What they share is checked and read with the first.
 * @param call names the call where one id or dedupe key is for all of them: ValidationError INVALID_OPTION
 */
export function envelopeOfEach<Input>(
  address: Address,
  call: string,
  count: number,
  options: SendManyOptions<Input> | undefined,
): (data: Input, index: number) => Outgoing {
  if (options === undefined) return (data) => plainEnvelope(address, data)
  const { id, dedupe, ...shared } = options ?? {}
  if (count > 1 && id !== undefined && typeof id !== 'function') {
    throw oneForAll(call, count, 'id', '(data) => data.id')
  }
  if (count > 1 && dedupe !== undefined && typeof dedupe !== 'function') {
    throw oneForAll(call, count, 'dedupe', "(data) => ({ key: data.id, window: '1h' })")
  }
  const isAlike = id === undefined && dedupe === undefined
  let isChecked = false
  return (data, index) => {
    const ownId = typeof id === 'function' ? id(data, index) : id
    const ownDedupe = typeof dedupe === 'function' ? dedupe(data, index) : dedupe
    const own = {
      ...(ownId !== undefined && { id: ownId }),
      ...(ownDedupe !== undefined && { dedupe: ownDedupe }),
    }
    if (!isChecked) checkOptions(address.call, isAlike ? options : shared, sendChecks)
    isChecked = true
    if (isAlike) return checkedEnvelope(address, data, shared)
    checkOptions(address.call, own, sendChecks)
    return checkedEnvelope(address, data, { ...shared, ...own })
  }
}

function oneForAll(call: string, count: number, name: string, example: string): ValidationError {
  return new ValidationError(
    'INVALID_OPTION',
    `${call}: one ${name} for ${count} messages; give a function of the data, such as ${name}: ${example}`,
  )
}

/** As `envelope`, where the name and type of each option were checked. */
export function checkedEnvelope(address: Address, data: unknown, options: SendOptions): Outgoing {
  const { delay, at, ttl, dedupe, key } = options
  if (delay !== undefined && at !== undefined) {
    throw new ValidationError('INVALID_OPTION', `${address.call}: give either delay or at, not both`)
  }
  if (dedupe !== undefined && (dedupe.key === undefined || dedupe.window === undefined)) {
    throw new ValidationError('INVALID_OPTION', `${address.call}: dedupe takes both key and window`)
  }
  const delayMs = delay === undefined ? delayUntil(at, address.call) : durationMs(delay, 'delay')
  return {
    exchange: address.exchange,
    routingKey: address.routingKey,
    mandatory: address.mandatory,
    properties: properties(data, options),
    body: encodeBody(data),
    ...(delayMs > 0 && { delayMs }),
    ...(ttl !== undefined && { ttlMs: durationMs(ttl, 'ttl') }),
    ...(key !== undefined && { key }),
    ...(dedupe !== undefined && {
      dedupe: { key: dedupe.key, windowMs: durationMs(dedupe.window, 'dedupe.window') },
    }),
  }
}

function plainEnvelope(address: Address, data: unknown): Outgoing {
  const body = encodeBody(data)
  const contentType = typeof body === 'string' ? jsonType : contentTypeOf(data)
  return {
    exchange: address.exchange,
    routingKey: address.routingKey,
    mandatory: address.mandatory,
    properties: { messageId: newId(), contentType, deliveryMode: 2 },
    body,
  }
}

function properties(data: unknown, options: SendOptions): Properties {
  return {
    messageId: options.id ?? newId(),
    contentType: contentTypeOf(data),
    deliveryMode: options.persistent === false ? 1 : 2,
    ...(options.headers !== undefined && { headers: copyTable(options.headers, 1) }),
    ...(options.priority !== undefined && { priority: options.priority }),
    ...(options.correlationId !== undefined && { correlationId: options.correlationId }),
  }
}

/** The sender may use its object again. What is too deep or no field is refused where it is encoded. */
function copyTable(table: FieldTable, depth: number): FieldTable {
  return Object.fromEntries(Object.entries(table).map(([name, value]) => [name, copyValue(value, depth)]))
}

function copyValue(value: FieldValue, depth: number): FieldValue {
  if (typeof value !== 'object' || value === null || depth > maximumFieldDepth) return value
  if (value instanceof Uint8Array) return new Uint8Array(value)
  if (value instanceof Date) return new Date(value)
  if (isFieldArray(value)) return value.map((item) => copyValue(item, depth + 1))
  const prototype: unknown = Object.getPrototypeOf(value)
  return prototype === Object.prototype || prototype === null ? copyTable(value, depth + 1) : value
}

function delayUntil(at: Date | undefined, call: string): number {
  if (at === undefined) return 0
  return durationMs(Math.max(0, at.getTime() - Date.now()), `${call}: at, from now,`)
}
