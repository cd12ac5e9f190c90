/**
 * Changes some headers in AMQP's property bytes. All else stays byte for byte: the object form does not remember how wide a
 * number was, and who sent an octet expects one back.
 *
 * ```text
 * flags u16 | content-type, content-encoding | headers: table | delivery-mode u8 | priority u8
 *           | correlation-id, reply-to | expiration | the rest
 * ```
 */
import { FieldReader } from './field-reader.ts'
import { encodeFieldTable } from './field-table.ts'
import type { FieldTable } from './field-value.ts'
import { propertyFlag } from './properties.ts'
import type { Properties } from './properties.ts'

export interface HeaderChange {
  /** Headers that get a new value. */
  readonly set: FieldTable
  /** Headers that go. */
  readonly remove: readonly string[]
  /** The property expiration goes too. */
  readonly dropsExpiration: boolean
}

/** The properties with other headers. */
export function changeHeaders(properties: Properties, change: HeaderChange): Properties {
  const headers = { ...properties.headers, ...change.set }
  for (const name of change.remove) delete headers[name]
  const { expiration, ...rest } = properties
  const kept = expiration === undefined || change.dropsExpiration ? rest : { ...rest, expiration }
  return { ...kept, headers }
}

/**
 * The same for properties as bytes. Throws MillraceError INVALID_ARGUMENT for bytes that are no property list, or a new value
 * that no field can hold.
 */
export function changeHeaderBytes(propertyBytes: Uint8Array, change: HeaderChange): Uint8Array {
  const bytes = Buffer.from(propertyBytes.buffer, propertyBytes.byteOffset, propertyBytes.byteLength)
  const reader = new FieldReader(bytes)
  const flags = reader.short()
  const has = (name: keyof typeof propertyFlag): boolean => (flags & propertyFlag[name]) !== 0
  for (const name of ['contentType', 'contentEncoding'] as const) if (has(name)) reader.shortString()
  const beforeHeaders = reader.position
  const kept = has('headers') ? keptFields(bytes, reader, change) : []
  const afterHeaders = reader.position
  if (has('deliveryMode')) reader.octet()
  if (has('priority')) reader.octet()
  for (const name of ['correlationId', 'replyTo'] as const) if (has(name)) reader.shortString()
  const beforeExpiration = reader.position
  const dropsExpiration = change.dropsExpiration && has('expiration')
  if (dropsExpiration) reader.shortString()
  const table = Buffer.concat([...kept, encodeFieldTable(change.set).subarray(4)])
  const head = Buffer.alloc(2)
  head.writeUInt16BE((flags | propertyFlag.headers) & ~(dropsExpiration ? propertyFlag.expiration : 0))
  const length = Buffer.alloc(4)
  length.writeUInt32BE(table.length)
  return Buffer.concat([
    head,
    bytes.subarray(2, beforeHeaders),
    length,
    table,
    bytes.subarray(afterHeaders, beforeExpiration),
    bytes.subarray(reader.position),
  ])
}

/** Reads the headers; the bytes of those that stay. */
function keptFields(bytes: Buffer, reader: FieldReader, change: HeaderChange): Buffer[] {
  const kept: Buffer[] = []
  for (const { name, start, end } of reader.fieldPlaces()) {
    if (change.remove.includes(name) || Object.hasOwn(change.set, name)) continue
    kept.push(bytes.subarray(start, end))
  }
  return kept
}
