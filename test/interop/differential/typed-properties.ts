/** Message properties with any value in any field, sound or not, to bytes and back. */
import { decodeTypedTable, encodeTypedTable, shortText } from './typed-table.ts'
import type { TypedTable } from './typed-table.ts'

/** Named as in AMQP; octets and the timestamp are numbers. */
export interface TypedProperties {
  readonly contentType?: string
  readonly contentEncoding?: string
  readonly headers?: TypedTable
  readonly deliveryMode?: number
  readonly priority?: number
  readonly correlationId?: string
  readonly replyTo?: string
  readonly expiration?: string
  readonly messageId?: string
  readonly timestamp?: number
  readonly type?: string
  readonly userId?: string
  readonly appId?: string
  readonly clusterId?: string
}

/** In the order of their flags, the first is the highest bit. */
const kinds: readonly (readonly [keyof TypedProperties, 'text' | 'table' | 'octet' | 'long'])[] = [
  ['contentType', 'text'],
  ['contentEncoding', 'text'],
  ['headers', 'table'],
  ['deliveryMode', 'octet'],
  ['priority', 'octet'],
  ['correlationId', 'text'],
  ['replyTo', 'text'],
  ['expiration', 'text'],
  ['messageId', 'text'],
  ['timestamp', 'long'],
  ['type', 'text'],
  ['userId', 'text'],
  ['appId', 'text'],
  ['clusterId', 'text'],
]

export function encodeTypedProperties(properties: TypedProperties): Buffer {
  let flags = 0
  const parts: Buffer[] = []
  for (const [index, [name, kind]] of kinds.entries()) {
    const value = properties[name]
    if (value === undefined) continue
    flags |= 0x8000 >> index
    if (kind === 'text') parts.push(shortText(value as string))
    else if (kind === 'table') parts.push(encodeTypedTable(value as TypedTable))
    else if (kind === 'octet') parts.push(Buffer.of(value as number))
    else parts.push(longLong(value as number))
  }
  return Buffer.concat([Buffer.of(flags >> 8, flags & 0xff), ...parts])
}

export function decodeTypedProperties(bytes: Buffer): TypedProperties {
  const flags = bytes.readUInt16BE()
  const properties: Record<string, unknown> = {}
  let at = 2
  for (const [index, [name, kind]] of kinds.entries()) {
    if ((flags & (0x8000 >> index)) === 0) continue
    if (kind === 'text') {
      const length = bytes[at]!
      properties[name] = bytes.toString('utf8', at + 1, at + 1 + length)
      at += 1 + length
    } else if (kind === 'table') {
      const length = 4 + bytes.readUInt32BE(at)
      properties[name] = decodeTypedTable(bytes.subarray(at, at + length))
      at += length
    } else if (kind === 'octet') {
      properties[name] = bytes[at]!
      at += 1
    } else {
      properties[name] = Number(bytes.readBigUInt64BE(at))
      at += 8
    }
  }
  return properties
}

function longLong(value: number): Buffer {
  const bytes = Buffer.alloc(8)
  bytes.writeBigUInt64BE(BigInt(value))
  return bytes
}
