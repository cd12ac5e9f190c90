/**
 * Messages between the port and AMQP's wire. What AMQP has a property for is that property, so that any language reads
 * it; the rest are a few headers, listed in docs/rabbitmq.md, that only messages carry which were held back or
 * came back.
 */
import { ValidationError } from '../../model/errors.ts'
import { publishHeader } from '../../model/extension.ts'
import type { FieldTable } from '../../model/field-value.ts'
import { bodyLength } from '../../model/message.ts'
import { assertRoutingKey } from '../../model/names.ts'
import { encodeProperties } from '../../model/properties.ts'
import type { Properties } from '../../model/properties.ts'
import type { Outgoing, Received } from '../../client/driver.ts'
import type { Incoming, PublishFields } from './amqplib.ts'
import { fieldHeaders, wireHeaders } from './field-values.ts'
import type { WireTable } from './field-values.ts'

/** A message as it is handed to amqplib. */
export interface Wire {
  readonly exchange: string
  readonly routingKey: string
  readonly content: Buffer
  readonly fields: PublishFields
}

/** What amqplib can encode is 64 KiB, the headers of this driver's own among it. */
const maximumHeaderBytes = 63 * 1_024

/** Headers of this driver's own on the wire. */
export const wireHeader = {
  /** The attempt of the next delivery, unless it is the first; the server's own count of returns is added. */
  attempt: 'x-millrace-attempt',
  /** Where it was published to, before it was sent to its queue alone. */
  exchange: 'x-millrace-exchange',
  routingKey: 'x-millrace-routing-key',
  /** When it was published, in ms, where the publisher uses AMQP's timestamp for something else. */
  publishedAt: 'x-millrace-published-at',
  /** The time to live that a message lost on its way through a delay. */
  expiration: 'x-millrace-expiration',
  /** The history of deaths, put aside so that the server does not take a delay for a circle of dead letters. */
  deaths: 'x-millrace-deaths',
} as const

/** RabbitMQ's count of returns to the queue, by quorum queues. */
const deliveryCountHeader = 'x-delivery-count'

/** Headers in which RabbitMQ writes down the history of deaths. */
const deathHeaders = [
  'x-death',
  'x-first-death-reason',
  'x-first-death-queue',
  'x-first-death-exchange',
  'x-last-death-reason',
  'x-last-death-queue',
  'x-last-death-exchange',
] as const

/** Headers of the delay that a message has passed: no concern of who receives it. */
export const delayPrefix = 'millrace-delay'

/** Queues and exchanges that hold messages back are called so, and more. */
export const delayQueuePrefix = 'millrace.delay'

/**
 * @throws ValidationError MESSAGE_TOO_LARGE, HEADERS_TOO_LARGE, INVALID_NAME, INVALID_ARGUMENT
 */
export function toWire(outgoing: Outgoing, maximumBodyBytes: number, nowMs: number): Wire {
  const { properties, body, ttlMs } = outgoing
  assertRoutingKey(outgoing.routingKey)
  const bytes = bodyLength(body)
  if (bytes > maximumBodyBytes) {
    throw new ValidationError(
      'MESSAGE_TOO_LARGE',
      `The message's body has ${bytes} bytes and the limit is ${maximumBodyBytes}; store it elsewhere and send its ` +
        'address, or raise the limit here (?max_message_size=) and at the server',
    )
  }
  if (properties.headers !== undefined) assertHeaders(properties)
  const { headers, expiration } = properties
  const expires = ttlMs === undefined ? expiration : String(ttlOf(ttlMs))
  const table = properties.timestamp === undefined ? headers : { ...headers, [wireHeader.publishedAt]: nowMs }
  return {
    exchange: outgoing.exchange,
    routingKey: outgoing.routingKey,
    content: typeof body === 'string' ? Buffer.from(body) : asBuffer(body),
    // Each field by name: spreads were a tenth of what a message costs here (benchmark P8).
    fields: {
      mandatory: true,
      contentType: properties.contentType,
      contentEncoding: properties.contentEncoding,
      headers: table === undefined ? undefined : wireHeaders(table),
      deliveryMode: properties.deliveryMode ?? 2,
      priority: properties.priority,
      correlationId: properties.correlationId,
      replyTo: properties.replyTo,
      expiration: expires,
      messageId: properties.messageId,
      timestamp: properties.timestamp ?? Math.floor(nowMs / 1_000),
      type: properties.type,
      userId: properties.userId,
      appId: properties.appId,
    } as PublishFields,
  }
}

/** The server closes the channel, under all other messages, over a time that it cannot wait for. */
function ttlOf(ttlMs: number): number {
  const whole = wholeMs(ttlMs, 'ttlMs')
  if (whole <= maximumTtlMs) return whole
  throw new ValidationError(
    'INVALID_ARGUMENT',
    `ttlMs must be from 0 to ${maximumTtlMs} (49 days) on AMQP, not ${ttlMs}`,
  )
}

/** Of RabbitMQ's timers. */
const maximumTtlMs = 4_294_967_295

/** A whole number of milliseconds from 0. @throws ValidationError INVALID_ARGUMENT */
export function wholeMs(value: number, name: string): number {
  if (Number.isFinite(value) && value >= 0) return Math.round(value)
  throw new ValidationError(
    'INVALID_ARGUMENT',
    `${name} must be a number of milliseconds from 0, not ${value}`,
  )
}

/** What a consumer is given. The properties are made when somebody asks. */
export class ReceivedMessage implements Received {
  readonly #incoming: Incoming
  #properties: Properties | undefined

  constructor(incoming: Incoming) {
    this.#incoming = incoming
  }

  get exchange(): string {
    return textHeader(this.#incoming, wireHeader.exchange) ?? this.#incoming.fields.exchange
  }

  get routingKey(): string {
    return textHeader(this.#incoming, wireHeader.routingKey) ?? this.#incoming.fields.routingKey
  }

  get body(): Buffer {
    return this.#incoming.content
  }

  get properties(): Properties {
    return (this.#properties ??= propertiesOf(this.#incoming))
  }

  /** As the publisher's clock had it, mostly in whole seconds; the time of receipt where it does not say. */
  get publishedAtMs(): number {
    const { timestamp } = this.#incoming.properties
    const publishedAt = headersOf(this.#incoming)?.[wireHeader.publishedAt]
    if (typeof publishedAt === 'number') return publishedAt
    return typeof timestamp === 'number' ? timestamp * 1_000 : Date.now()
  }
}

/** From 1: the attempt the message carries, and the times it came back to the queue without anybody's word. */
export function attemptOf(incoming: Incoming): number {
  const headers = headersOf(incoming)
  const carried = headers?.[wireHeader.attempt]
  const returns = headers?.[deliveryCountHeader]
  // Without having come back, it has the count of some publisher's own.
  const counted = incoming.fields.redelivered ? (typeof returns === 'number' ? returns : 1) : 0
  return (typeof carried === 'number' ? carried : 1) + counted
}

/**
 * The message again, as it is sent to its queue alone: with its attempt and with where it came from.
 * @param held it will be held back first: it goes without what would make the server drop it on the way
 */
export function republished(
  incoming: Incoming,
  change: { attempt: number; routingKey: string; held: boolean },
): Wire {
  const { properties } = incoming
  const { fields, content } = new Again(incoming)
  const headers: WireTable = {
    ...cleaned(headersOf(incoming)),
    [wireHeader.exchange]: textHeader(incoming, wireHeader.exchange) ?? incoming.fields.exchange,
    [wireHeader.routingKey]: textHeader(incoming, wireHeader.routingKey) ?? incoming.fields.routingKey,
    ...(change.attempt > 1 && { [wireHeader.attempt]: change.attempt }),
  }
  const expiration: unknown = properties.expiration ?? headers[wireHeader.expiration]
  delete headers[wireHeader.expiration]
  if (change.held) putDeathsAside(headers)
  if (typeof expiration === 'string') {
    if (change.held) headers[wireHeader.expiration] = expiration
    else fields.expiration = expiration
  }
  return { exchange: '', routingKey: change.routingKey, content, fields: { ...fields, headers } }
}

/** What held for the queue that a message was in; its key goes with it. */
const spent = [
  wireHeader.attempt,
  publishHeader.delay,
  publishHeader.dedupe,
  publishHeader.dedupeWindow,
] as const

/** Without any trace of its attempts, for another queue. */
export function moved(incoming: Incoming, routingKey: string): Wire {
  const { fields, content } = new Again(incoming)
  const headers = cleaned(headersOf(incoming))
  for (const name of spent) delete headers[name]
  return { exchange: '', routingKey, content, fields: { ...fields, headers } }
}

/** Headers of a message that goes through a delay: with where it was published to, and without its deaths. */
export function heldBack(wire: Wire): WireTable {
  const headers: WireTable = {
    [wireHeader.exchange]: wire.exchange,
    [wireHeader.routingKey]: wire.routingKey,
    // One that comes back knows better.
    ...(wire.fields.headers as WireTable | undefined),
  }
  putDeathsAside(headers)
  return headers
}

export function headersOf(incoming: Incoming): WireTable | undefined {
  return incoming.properties.headers
}

/** The headers as the publisher gave them, with the deaths of queues that are somebody's. */
export function cleaned(headers: WireTable = {}): WireTable {
  const result: WireTable = {}
  let wasHeld = false
  for (const [name, value] of Object.entries(headers)) {
    if (name.startsWith(delayPrefix)) wasHeld = true
    else if (name !== deliveryCountHeader && name !== wireHeader.deaths) result[name] = value
  }
  if (!wasHeld) return result
  forgetDeathsOfDelay(result)
  const before = headers[wireHeader.deaths]
  return typeof before === 'object' && before !== null ? withDeathsBefore(result, { ...before }) : result
}

/** The levels of a delay are queues in which a message dies, to live in the next. */
function forgetDeathsOfDelay(headers: WireTable): void {
  const deaths = headers['x-death']
  if (Array.isArray(deaths)) {
    const others = (deaths as WireTable[]).filter((death) => !isOfDelay(death['queue']))
    if (others.length > 0) headers['x-death'] = others
    else delete headers['x-death']
  }
  for (const which of ['first', 'last'] as const) {
    if (!isOfDelay(headers[`x-${which}-death-queue`])) continue
    for (const what of ['reason', 'queue', 'exchange']) delete headers[`x-${which}-death-${what}`]
  }
}

function isOfDelay(queue: unknown): boolean {
  return typeof queue === 'string' && queue.startsWith(`${delayQueuePrefix}.`)
}

/** Deaths that were put aside before a delay, behind those that came after it. */
function withDeathsBefore(headers: WireTable, before: WireTable): WireTable {
  const listOf = (table: WireTable): unknown[] => {
    const deaths = table['x-death']
    return Array.isArray(deaths) ? deaths : []
  }
  const firsts = Object.entries(before).filter(([name]) => name.startsWith('x-first-'))
  const deaths = [...listOf(headers), ...listOf(before)]
  return {
    ...before,
    ...headers,
    ...Object.fromEntries(firsts),
    ...(deaths.length > 0 && { 'x-death': deaths }),
  }
}

/** The properties of a message that is sent once more. */
class Again {
  readonly content: Buffer
  readonly fields: PublishFields

  constructor(incoming: Incoming) {
    const { headers: _headers, expiration: _expiration, clusterId: _clusterId, ...rest } = incoming.properties
    this.content = incoming.content
    this.fields = { ...rest, mandatory: true }
  }
}

function putDeathsAside(headers: WireTable): void {
  const deaths: WireTable = {}
  for (const name of deathHeaders) {
    if (headers[name] === undefined) continue
    deaths[name] = headers[name]
    delete headers[name]
  }
  if (Object.keys(deaths).length > 0) headers[wireHeader.deaths] = deaths
}

function propertiesOf(incoming: Incoming): Properties {
  const all = incoming.properties as unknown as WireTable
  const result: Record<string, unknown> = {}
  for (const name of plainProperties) if (all[name] !== undefined) result[name] = all[name]
  const table = headersOf(incoming)
  if (table === undefined || isEmpty(table)) return result
  const visible = cleaned(table)
  const expiration = visible[wireHeader.expiration]
  if (typeof expiration === 'string') result['expiration'] ??= expiration
  for (const name of hiddenHeaders) delete visible[name]
  return isEmpty(visible) ? result : { ...result, headers: fieldHeaders(visible) }
}

/** All but the headers. */
const plainProperties = [
  'contentType',
  'contentEncoding',
  'deliveryMode',
  'priority',
  'correlationId',
  'replyTo',
  'expiration',
  'messageId',
  'timestamp',
  'type',
  'userId',
  'appId',
  'clusterId',
] as const

/** Told by other means. */
const hiddenHeaders = [...Object.values(wireHeader), ...Object.values(publishHeader)]

function textHeader(incoming: Incoming, name: string): string | undefined {
  const value = headersOf(incoming)?.[name]
  return typeof value === 'string' ? value : undefined
}

function assertHeaders(properties: Properties): void {
  const bytes = encodeProperties(properties).byteLength
  if (bytes <= maximumHeaderBytes) return
  throw new ValidationError(
    'HEADERS_TOO_LARGE',
    `The message's headers and properties have ${bytes} bytes and the limit is ${maximumHeaderBytes}; put them into the body`,
  )
}

function asBuffer(bytes: Uint8Array): Buffer {
  return Buffer.isBuffer(bytes) ? bytes : Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength)
}

function isEmpty(table: FieldTable | WireTable): boolean {
  for (const _name in table) return false
  return true
}
