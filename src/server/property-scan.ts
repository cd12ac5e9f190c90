/**
 * Walks over a content header's property list without making anything of it: what the broker must know of a message is in
 * a few places, and the rest passes through as bytes.
 *
 * ```text
 * flags u16 | content-type, content-encoding: short strings | headers: table | delivery-mode u8 | priority u8
 *           | correlation-id, reply-to, expiration, message-id: short strings | timestamp u64
 *           | type, user-id, app-id, cluster-id: short strings          (each only where its flag is set)
 * ```
 *
 * Tables are checked to their depths, so that whoever decodes them later finds no surprise.
 */
import { isUtf8 } from 'node:buffer'
import { publishHeader, publishHeaderPrefix } from '../model/extension.ts'
import { maximumFieldDepth } from '../model/field-table.ts'
import { propertyFlag } from '../model/properties.ts'

/** Where the values stand; -1 for what is not there. One is used for all messages of a channel. */
export class PropertyPlaces {
  /** Where the list is not one, and nothing else holds. */
  malformed = false
  headers = -1
  deliveryMode = -1
  priority = -1
  replyTo = -1
  expiration = -1
  userId = -1
  /** The headers have a field CC or BCC. */
  hasCopies = false
  /** The headers have a field whose name begins like those of Millrace's own. */
  hasOwnHeaders = false
}

const beforeHeaders = [propertyFlag.contentType, propertyFlag.contentEncoding] as const
const lastTexts = [
  propertyFlag.type,
  propertyFlag.userId,
  propertyFlag.appId,
  propertyFlag.clusterId,
] as const
const middleTexts = [
  propertyFlag.correlationId,
  propertyFlag.replyTo,
  propertyFlag.expiration,
  propertyFlag.messageId,
] as const

/** Finds the places in the property flags and list from `start` to `end`. */
export function scanProperties(places: PropertyPlaces, buffer: Buffer, start: number, end: number): void {
  places.malformed = true
  places.headers = places.deliveryMode = places.priority = -1
  places.replyTo = places.expiration = places.userId = -1
  places.hasCopies = false
  places.hasOwnHeaders = false
  if (end - start < 2) return
  const flags = (buffer[start]! << 8) | buffer[start + 1]!
  // No property has these; the last one says that more flags follow, and there are none.
  if ((flags & 3) !== 0) return
  let at = start + 2
  for (const flag of beforeHeaders) if ((flags & flag) !== 0) at = passText(buffer, at, end)
  if ((flags & propertyFlag.headers) !== 0) {
    places.headers = at
    at = passTable(places, buffer, at, end)
  }
  if ((flags & propertyFlag.deliveryMode) !== 0) places.deliveryMode = at++
  if ((flags & propertyFlag.priority) !== 0) places.priority = at++
  for (const flag of middleTexts) {
    if ((flags & flag) === 0) continue
    if (flag === propertyFlag.replyTo) places.replyTo = at
    else if (flag === propertyFlag.expiration) places.expiration = at
    at = passText(buffer, at, end)
  }
  if ((flags & propertyFlag.timestamp) !== 0) at += 8
  for (const flag of lastTexts) {
    if ((flags & flag) === 0) continue
    if (flag === propertyFlag.userId) places.userId = at
    at = passText(buffer, at, end)
  }
  places.malformed = at !== end
}

/** The short string that begins there. */
export function textAt(buffer: Buffer, at: number): string {
  return buffer.toString('utf8', at + 1, at + 1 + buffer[at]!)
}

const letterB = 0x42
const letterC = 0x43

/** Beyond any end: what has run over stays there, whatever is passed next. */
const overrun = 0x1_0000_0000

function passText(buffer: Buffer, at: number, end: number): number {
  if (at >= end) return overrun
  const length = buffer[at]!
  return length > safeTextBytes && !isText(buffer, at + 1, at + 1 + length) ? overrun : at + 1 + length
}

/**
 * Bytes that are no UTF-8 are passed on as they are, but whoever makes text of them and writes that again (a dead letter's
 * headers) gets up to three bytes for one: longer ones are refused, for a short string has 255.
 */
const safeTextBytes = 85

function isText(buffer: Buffer, start: number, end: number): boolean {
  for (let index = start; index < end && index < buffer.length; index += 1) {
    if (buffer[index]! > 127) return isUtf8(buffer.subarray(start, end))
  }
  return true
}

function passTable(places: PropertyPlaces, buffer: Buffer, at: number, end: number): number {
  const tableEnd = endOfLong(buffer, at, end)
  if (tableEnd === overrun) return overrun
  let field = at + 4
  while (field < tableEnd) {
    if (isCopies(buffer, field, buffer[field]!)) places.hasCopies = true
    else if (isOwn(buffer, field, buffer[field]!)) places.hasOwnHeaders = true
    field = passValue(buffer, passText(buffer, field, tableEnd), tableEnd, 1)
  }
  return field === tableEnd ? tableEnd : overrun
}

function isCopies(buffer: Buffer, at: number, length: number): boolean {
  if (length !== 2 && length !== 3) return false
  const last = at + length
  if (buffer[last] !== letterC || buffer[last - 1] !== letterC) return false
  return length === 2 || buffer[at + 1] === letterB
}

const ownPrefix = Buffer.from(publishHeaderPrefix)
const ownLengths: ReadonlySet<number> = new Set(Object.values(publishHeader).map((name) => name.length))

function isOwn(buffer: Buffer, at: number, length: number): boolean {
  if (!ownLengths.has(length) || buffer[at + 3] !== ownPrefix[2]) return false
  return buffer.compare(ownPrefix, 0, ownPrefix.length, at + 1, at + 1 + ownPrefix.length) === 0
}

/** @param depth of the table or array that it stands in */
function passValue(buffer: Buffer, at: number, end: number, depth: number): number {
  if (at >= end) return overrun
  const type = buffer[at]!
  switch (type) {
    case 0x56: // V
      return at + 1
    case 0x74: // t
    case 0x62: // b
    case 0x42: // B
      return at + 2
    case 0x73: // s
    case 0x75: // u
      return at + 3
    case 0x49: // I
    case 0x69: // i
    case 0x66: // f
      return at + 5
    case 0x44: // D
      return at + 6
    case 0x6c: // l
    case 0x4c: // L
    case 0x64: // d
    case 0x54: // T
      return at + 9
    case 0x53: // S
    case 0x78: // x
      return endOfLong(buffer, at + 1, end)
    case 0x46: // F
    case 0x41: // A
      return passNested(buffer, at + 1, end, depth + 1, type === 0x46)
    default:
      return overrun
  }
}

function passNested(buffer: Buffer, at: number, end: number, depth: number, named: boolean): number {
  const innerEnd = endOfLong(buffer, at, end)
  if (innerEnd === overrun || depth > maximumFieldDepth) return overrun
  let field = at + 4
  while (field < innerEnd) {
    if (named) field = passText(buffer, field, innerEnd)
    field = passValue(buffer, field, innerEnd, depth)
  }
  return field === innerEnd ? innerEnd : overrun
}

/** The end of what begins with a length of 32 bits. */
function endOfLong(buffer: Buffer, at: number, end: number): number {
  if (at + 4 > end) return overrun
  const after = at + 4 + buffer.readUInt32BE(at)
  return after > end ? overrun : after
}
