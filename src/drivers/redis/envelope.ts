/**
 * A message as it is kept in Redis. The server writes the first line, which is all that it needs of a message; the rest is
 * the publisher's: one line of JSON, and the body as it is.
 *
 * ```text
 * 1763730000000 0 0 5⏎              published at, expires at (0: never), priority, bytes of the key
 * red-1                             the key, where there is one
 * {"id":"…","contentType":"…"}⏎     see docs/redis-protocol.md
 * …                                 the body
 * ```
 */
import { MillraceError, ValidationError } from '../../model/errors.ts'
import { bodyBytes } from '../../model/message.ts'
import type { Body } from '../../model/message.ts'
import type { FieldTable } from '../../model/field-table.ts'
import type { Properties } from '../../model/properties.ts'
import type { Outgoing, Received } from '../../client/driver.ts'
import { tableFromJson, tableToJson } from './tagged-json.ts'

/** In characters, properties and headers together. */
const maximumEnvelopeLength = 64 * 1_024

const newline = 0x0a

/** The members of the JSON line, all of them optional. */
export interface Envelope {
  readonly id?: string
  readonly exchange?: string
  /** The routing key, unless it is the queue's name. */
  readonly routingKey?: string
  readonly headers?: { readonly [name: string]: unknown }
  readonly persistent?: boolean
  readonly [property: string]: unknown
}

/** Message, exchange and routing key as content. @throws ValidationError HEADERS_TOO_LARGE, INVALID_ARGUMENT */
export function encodeContent(
  queue: string,
  message: { exchange: string; routingKey: string; properties: Properties; body: Body },
): string | Buffer {
  const head = encodeEnvelope(queue, message)
  const { body } = message
  if (typeof body === 'string') return `${head}\n${body}`
  return Buffer.concat([Buffer.from(`${head}\n`), bodyBytes(body)])
}

/** The JSON line. Written member by member: to make an object of them first took ten times as long (benchmark P6). */
export function encodeEnvelope(
  queue: string,
  message: { exchange: string; routingKey: string; properties: Properties },
): string {
  const { exchange, routingKey, properties } = message
  let json = ''
  if (exchange !== '') json += `,"exchange":${JSON.stringify(exchange)}`
  if (routingKey !== queue) json += `,"routingKey":${JSON.stringify(routingKey)}`
  let name: keyof Properties
  for (name in properties) {
    const value = properties[name]
    if (value !== undefined) json += member(name, value)
  }
  if (json.length > maximumEnvelopeLength) {
    throw new ValidationError(
      'HEADERS_TOO_LARGE',
      `The message's headers and properties have ${json.length} characters and the limit is ${maximumEnvelopeLength}; ` +
        'put them into the body',
    )
  }
  return `{${json.slice(1)}}`
}

function member(name: keyof Properties, value: NonNullable<Properties[keyof Properties]>): string {
  if (name === 'messageId') return `,"id":${JSON.stringify(value)}`
  if (name === 'deliveryMode') return `,"persistent":${value === 2}`
  if (name === 'headers') return `,"headers":${JSON.stringify(tableToJson(value as FieldTable))}`
  return `,${JSON.stringify(name)}:${JSON.stringify(value)}`
}

/** What the server takes beside the content; '' where there is nothing. */
export function encodeOptions(outgoing: Outgoing): string {
  const { delayMs = 0, ttlMs, key = '', dedupe, properties } = outgoing
  const priority = properties.priority ?? 0
  const ttl = ttlMs ?? expirationOf(properties)
  if (delayMs === 0 && ttl === undefined && key === '' && dedupe === undefined && priority === 0) return ''
  const dedupeKey = dedupe?.key ?? ''
  const windowMs = dedupe === undefined ? 0 : Math.max(1, Math.ceil(dedupe.windowMs))
  const numbers = [
    priority,
    ttl === undefined ? '' : Math.ceil(ttl),
    Math.ceil(delayMs),
    windowMs,
    Buffer.byteLength(key),
    Buffer.byteLength(dedupeKey),
  ]
  return `${numbers.join(' ')}\n${key}${dedupeKey}${properties.messageId ?? ''}`
}

function expirationOf({ expiration }: Properties): number | undefined {
  return expiration !== undefined && /^\d{1,15}$/.test(expiration) ? Number(expiration) : undefined
}

/** How the first line of most records goes on after the time: it never expires, priority 0, no key. */
const plainEnd = Buffer.from(' 0 0 0\n')
const timeDigits = 13

/** A record, read as far as somebody asks. */
export class StoredMessage implements Received {
  readonly #queue: string
  readonly #record: Buffer
  /** Undefined: it never expires. */
  readonly expiresAtMs: number | undefined
  readonly priority: number
  readonly key: string
  readonly #envelopeFrom: number
  #bodyFrom: number
  #envelope: Envelope | undefined
  #properties: Properties | undefined

  /** @throws MillraceError PROTOCOL_ERROR where it is no record */
  constructor(queue: string, record: Buffer) {
    this.#queue = queue
    this.#record = record
    if (isPlain(record)) {
      this.expiresAtMs = undefined
      this.priority = 0
      this.key = ''
      this.#envelopeFrom = timeDigits + plainEnd.length
    } else {
      const lineEnd = record.indexOf(newline)
      if (lineEnd < 0) throw notARecord(queue)
      const [, expires, priority, keyBytes] = record.toString('latin1', 0, lineEnd).split(' ')
      this.expiresAtMs = expires === '0' ? undefined : Number(expires)
      this.priority = Number(priority)
      this.#envelopeFrom = lineEnd + 1 + Number(keyBytes)
      this.key = keyBytes === '0' ? '' : record.toString('utf8', lineEnd + 1, this.#envelopeFrom)
    }
    this.#bodyFrom = record.indexOf(newline, this.#envelopeFrom) + 1
  }

  get publishedAtMs(): number {
    return Number(this.#record.toString('latin1', 0, this.#record.indexOf(' ')))
  }

  /** The publisher's part: envelope and body. */
  get content(): Buffer {
    return this.#record.subarray(this.#envelopeFrom)
  }

  get body(): Buffer {
    this.#read()
    return this.#record.subarray(this.#bodyFrom)
  }

  get exchange(): string {
    return this.#read().exchange ?? ''
  }

  get routingKey(): string {
    return this.#read().routingKey ?? this.#queue
  }

  get properties(): Properties {
    return (this.#properties ??= propertiesOf(this.#read()))
  }

  #read(): Envelope {
    return (this.#envelope ??= this.#parse())
  }

  /** What a foreign program has put there without an envelope is all body. */
  #parse(): Envelope {
    const text = this.#record.toString('utf8', this.#envelopeFrom, Math.max(0, this.#bodyFrom - 1))
    const envelope = parseEnvelope(text)
    if (envelope === undefined) this.#bodyFrom = this.#envelopeFrom
    return envelope ?? {}
  }
}

function isPlain(record: Buffer): boolean {
  for (let index = 0; index < plainEnd.length; index++) {
    if (record[timeDigits + index] !== plainEnd[index]) return false
  }
  return true
}

function parseEnvelope(text: string): Envelope | undefined {
  try {
    const parsed: unknown = JSON.parse(text)
    return isObject(parsed) ? understood(parsed) : undefined
  } catch {
    return undefined
  }
}

const kinds: Readonly<Record<string, (value: unknown) => boolean>> = {
  id: isText,
  exchange: isText,
  routingKey: isText,
  contentType: isText,
  contentEncoding: isText,
  correlationId: isText,
  replyTo: isText,
  expiration: isText,
  type: isText,
  userId: isText,
  appId: isText,
  clusterId: isText,
  headers: isObject,
  persistent: (value) => typeof value === 'boolean',
  priority: (value) => Number.isInteger(value),
  timestamp: (value) => Number.isInteger(value),
}

/** Without what has a value that it cannot have: other programs write these. */
function understood(parsed: Envelope): Envelope {
  const isWrong = (name: string): boolean => kinds[name]?.(parsed[name]) === false
  for (const name in parsed) {
    if (isWrong(name)) return Object.fromEntries(Object.entries(parsed).filter(([each]) => !isWrong(each)))
  }
  return parsed
}

function isText(value: unknown): boolean {
  return typeof value === 'string'
}

function isObject(value: unknown): value is { readonly [name: string]: unknown } {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

function propertiesOf(envelope: Envelope): Properties {
  const properties: Record<string, unknown> = {}
  for (const name in envelope) {
    const value = envelope[name]
    if (name === 'id') properties['messageId'] = value
    else if (name === 'persistent') properties['deliveryMode'] = value === true ? 2 : 1
    else if (name === 'headers') properties['headers'] = tableFromJson(envelope.headers ?? {})
    else if (name !== 'exchange' && name !== 'routingKey' && name !== '__proto__') properties[name] = value
  }
  return properties
}

function notARecord(queue: string): MillraceError {
  return new MillraceError('PROTOCOL_ERROR', `The queue ${queue} holds something that is no message`)
}
