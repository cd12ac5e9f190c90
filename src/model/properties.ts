/**
 * A message's properties: the fourteen of AMQP 0-9-1's basic class (section 1.8 of the reference), under RabbitMQ's
 * names in camel case, and their codec (section 4.2.6.1: 16 flag bits, highest first, then the values present).
 */
import { MillraceError, ValidationError } from './errors.ts'
import { FieldReader, malformed } from './field-reader.ts'
import type { FieldTable } from './field-table.ts'
import { borrowFieldWriter, returnFieldWriter } from './field-writer.ts'
import type { FieldWriter } from './field-writer.ts'

export interface Properties {
  readonly contentType?: string
  readonly contentEncoding?: string
  readonly headers?: FieldTable
  /** 1 does not survive a restart, 2 does. */
  readonly deliveryMode?: 1 | 2
  /** 0 to 255. */
  readonly priority?: number
  readonly correlationId?: string
  readonly replyTo?: string
  /** Time to live in ms, as a decimal string. */
  readonly expiration?: string
  readonly messageId?: string
  /** Seconds since the epoch. */
  readonly timestamp?: number
  readonly type?: string
  readonly userId?: string
  readonly appId?: string
  readonly clusterId?: string
}

/**
 * What one content header frame of the usual 131,072 bytes has room for: less its 8 bytes of frame and the 12 of class,
 * weight and body size. Kept on every engine, so that what one takes all take.
 */
export const maximumPropertyBytes = 131_072 - 8 - 12

/** What a message may have that comes over the wire or is made a dead letter: each delivery may add its count. */
export const maximumStoredPropertyBytes = maximumPropertyBytes - 64

/** The flag of each property. */
export const propertyFlag = {
  contentType: 0x8000,
  contentEncoding: 0x4000,
  headers: 0x2000,
  deliveryMode: 0x1000,
  priority: 0x0800,
  correlationId: 0x0400,
  replyTo: 0x0200,
  expiration: 0x0100,
  messageId: 0x0080,
  timestamp: 0x0040,
  type: 0x0020,
  userId: 0x0010,
  appId: 0x0008,
  clusterId: 0x0004,
} as const

/** Flags of no property: one is reserved, the other says that more flags follow, and there are none. */
const unknownFlags = 0x0003

/**
 * AMQP's property flags and list.
 *
 * Throws ValidationError INVALID_ARGUMENT for a value of the wrong type or size, HEADERS_TOO_LARGE beyond
 * {@link maximumPropertyBytes}.
 */
export function encodeProperties(properties: Properties): Uint8Array {
  const writer = borrowFieldWriter()
  try {
    writeProperties(writer, properties)
    if (writer.length > maximumPropertyBytes) throw tooLarge(writer.length)
    return writer.take()
  } finally {
    returnFieldWriter(writer)
  }
}

/** In the order of the flags, which are known at the end and stand in front. */
function writeProperties(writer: FieldWriter, properties: Properties): void {
  const { contentType, contentEncoding, headers, deliveryMode, priority } = properties
  let flags = 0
  writer.short(0)
  if (contentType !== undefined) flags |= writeText(writer, 'contentType', contentType)
  if (contentEncoding !== undefined) flags |= writeText(writer, 'contentEncoding', contentEncoding)
  if (headers !== undefined) {
    if (typeof headers !== 'object' || headers === null) throw wrongType('headers', 'an object')
    writer.table(headers, 1)
    flags |= propertyFlag.headers
  }
  if (deliveryMode !== undefined) {
    if (deliveryMode !== 1 && deliveryMode !== 2) throw wrongType('deliveryMode', '1 or 2')
    writer.octet(deliveryMode)
    flags |= propertyFlag.deliveryMode
  }
  if (priority !== undefined) {
    if ((priority & 0xff) !== priority) throw wrongType('priority', 'an integer from 0 to 255')
    writer.octet(priority)
    flags |= propertyFlag.priority
  }
  writer.patchShort(0, flags | writeIdentity(writer, properties))
}

/** The second half of the list: who, when and to whom. */
function writeIdentity(writer: FieldWriter, properties: Properties): number {
  const { correlationId, replyTo, expiration, messageId, timestamp } = properties
  const { type, userId, appId, clusterId } = properties
  let flags = 0
  if (correlationId !== undefined) flags |= writeText(writer, 'correlationId', correlationId)
  if (replyTo !== undefined) flags |= writeText(writer, 'replyTo', replyTo)
  if (expiration !== undefined) flags |= writeText(writer, 'expiration', expiration)
  if (messageId !== undefined) flags |= writeText(writer, 'messageId', messageId)
  if (timestamp !== undefined) {
    if (!Number.isInteger(timestamp) || timestamp < 0 || timestamp > 2 ** 64) {
      throw wrongType('timestamp', 'a whole number of seconds since the epoch')
    }
    writer.longLong(timestamp)
    flags |= propertyFlag.timestamp
  }
  if (type !== undefined) flags |= writeText(writer, 'type', type)
  if (userId !== undefined) flags |= writeText(writer, 'userId', userId)
  if (appId !== undefined) flags |= writeText(writer, 'appId', appId)
  if (clusterId !== undefined) flags |= writeText(writer, 'clusterId', clusterId)
  return flags
}

function writeText(writer: FieldWriter, name: keyof typeof propertyFlag, value: string): number {
  if (typeof value !== 'string') throw wrongType(name, 'text')
  writer.shortString(value, name)
  return propertyFlag[name]
}

/**
 * @param bytes property flags and list, and nothing after them
 *
 * A delivery mode other than 2 counts as 1, as it does in RabbitMQ. Throws MillraceError INVALID_ARGUMENT for bytes
 * that are no property list.
 */
export function decodeProperties(bytes: Uint8Array): Properties {
  const reader = new FieldReader(bytes)
  const flags = reader.short()
  if ((flags & unknownFlags) !== 0) throw malformed('it has flags of unknown properties')
  const properties: { -readonly [Name in keyof Properties]: Properties[Name] } = {}
  if ((flags & propertyFlag.contentType) !== 0) properties.contentType = reader.shortString()
  if ((flags & propertyFlag.contentEncoding) !== 0) properties.contentEncoding = reader.shortString()
  if ((flags & propertyFlag.headers) !== 0) properties.headers = reader.table(1)
  if ((flags & propertyFlag.deliveryMode) !== 0) properties.deliveryMode = reader.octet() === 2 ? 2 : 1
  if ((flags & propertyFlag.priority) !== 0) properties.priority = reader.octet()
  if ((flags & propertyFlag.correlationId) !== 0) properties.correlationId = reader.shortString()
  if ((flags & propertyFlag.replyTo) !== 0) properties.replyTo = reader.shortString()
  if ((flags & propertyFlag.expiration) !== 0) properties.expiration = reader.shortString()
  if ((flags & propertyFlag.messageId) !== 0) properties.messageId = reader.shortString()
  if ((flags & propertyFlag.timestamp) !== 0) properties.timestamp = reader.longLong()
  if ((flags & propertyFlag.type) !== 0) properties.type = reader.shortString()
  if ((flags & propertyFlag.userId) !== 0) properties.userId = reader.shortString()
  if ((flags & propertyFlag.appId) !== 0) properties.appId = reader.shortString()
  if ((flags & propertyFlag.clusterId) !== 0) properties.clusterId = reader.shortString()
  reader.end()
  return properties
}

function wrongType(name: string, expected: string): ValidationError {
  return new ValidationError('INVALID_ARGUMENT', `the property ${name} must be ${expected}`)
}

function tooLarge(bytes: number): MillraceError {
  return new ValidationError(
    'HEADERS_TOO_LARGE',
    `the properties and headers have ${bytes} bytes, ${maximumPropertyBytes} at most; put large values into the body`,
  )
}
