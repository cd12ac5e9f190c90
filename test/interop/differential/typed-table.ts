/**
 * Field tables with the letter of each field's type, for tests that look at more than the values: the product's own codec
 * does not remember whether a 5 was an octet or a long.
 *
 * A plain value stands for its usual type (text `S`, integer `I`, boolean `t`, null `V`, array `A`, object `F`), `{ $: letter,
 * value }` for any other.
 */
export type Typed =
  | string
  | number
  | boolean
  | null
  | readonly Typed[]
  | { readonly $: string; readonly value: string | number }
  | TypedTable

export interface TypedTable {
  readonly [name: string]: Typed
}

/** A table's bytes, its own length in front. */
export function encodeTypedTable(table: TypedTable): Buffer {
  const fields = Object.entries(table).map(([name, value]) =>
    Buffer.concat([shortText(name), encodeValue(value)]),
  )
  return sized(fields)
}

/** What an encoded table holds; names sorted, since brokers write them in an order of their own. */
export function decodeTypedTable(bytes: Buffer): TypedTable {
  return decodeTable({ bytes, at: 0 })
}

export function shortText(text: string): Buffer {
  const bytes = Buffer.from(text)
  return Buffer.concat([Buffer.of(bytes.length), bytes])
}

function encodeValue(value: Typed): Buffer {
  if (typeof value === 'string') return Buffer.concat([Buffer.from('S'), sized([Buffer.from(value)])])
  if (typeof value === 'number') return encodeLetter('I', value)
  if (typeof value === 'boolean') return Buffer.from([letter('t'), value ? 1 : 0])
  if (value === null) return Buffer.from('V')
  if (isList(value)) return Buffer.concat([Buffer.from('A'), sized(value.map(encodeValue))])
  if (isMarked(value)) return encodeLetter(value.$, value.value)
  return Buffer.concat([Buffer.from('F'), encodeTypedTable(value)])
}

/** How each type but text and collections is written and read. */
const numbers: Record<
  string,
  { size: number; write: (b: Buffer, v: number) => void; read: (b: Buffer) => unknown }
> = {
  t: { size: 1, write: (b, v) => b.writeUInt8(v), read: (b) => b.readUInt8() },
  b: { size: 1, write: (b, v) => b.writeInt8(v), read: (b) => b.readInt8() },
  B: { size: 1, write: (b, v) => b.writeUInt8(v), read: (b) => b.readUInt8() },
  s: { size: 2, write: (b, v) => b.writeInt16BE(v), read: (b) => b.readInt16BE() },
  u: { size: 2, write: (b, v) => b.writeUInt16BE(v), read: (b) => b.readUInt16BE() },
  I: { size: 4, write: (b, v) => b.writeInt32BE(v), read: (b) => b.readInt32BE() },
  i: { size: 4, write: (b, v) => b.writeUInt32BE(v), read: (b) => b.readUInt32BE() },
  l: { size: 8, write: (b, v) => b.writeBigInt64BE(BigInt(v)), read: (b) => String(b.readBigInt64BE()) },
  L: { size: 8, write: (b, v) => b.writeBigInt64BE(BigInt(v)), read: (b) => String(b.readBigInt64BE()) },
  T: { size: 8, write: (b, v) => b.writeBigInt64BE(BigInt(v)), read: (b) => String(b.readBigInt64BE()) },
  f: { size: 4, write: (b, v) => b.writeFloatBE(v), read: (b) => b.readFloatBE() },
  d: { size: 8, write: (b, v) => b.writeDoubleBE(v), read: (b) => b.readDoubleBE() },
  // Scale 2: hundredths.
  D: { size: 5, write: (b, v) => b.writeUInt32BE(v, b.writeUInt8(2)), read: (b) => b.toString('hex') },
}

function encodeLetter(type: string, value: string | number): Buffer {
  const prefix = Buffer.from(type)
  if (type === 'x' || type === 'S') return Buffer.concat([prefix, sized([Buffer.from(String(value))])])
  const bytes = Buffer.alloc(numbers[type]!.size)
  numbers[type]!.write(bytes, value as number)
  return Buffer.concat([prefix, bytes])
}

interface Place {
  readonly bytes: Buffer
  at: number
}

function decodeTable(place: Place): TypedTable {
  const fields: [string, Typed][] = []
  const end = enter(place)
  while (place.at < end) {
    const name = pass(place, place.bytes[place.at++]!).toString()
    fields.push([name, decodeValue(place)])
  }
  return Object.fromEntries(fields.sort(([a], [b]) => (a < b ? -1 : 1)))
}

function decodeValue(place: Place): Typed {
  const type = String.fromCharCode(place.bytes[place.at++]!)
  if (type === 'S') return pass(place, enter(place) - place.at).toString()
  if (type === 'x') return { $: 'x', value: pass(place, enter(place) - place.at).toString('latin1') }
  if (type === 'V') return null
  if (type === 'F') return decodeTable(place)
  if (type === 'A') {
    const items: Typed[] = []
    const end = enter(place)
    while (place.at < end) items.push(decodeValue(place))
    return items
  }
  const codec = numbers[type]
  if (codec === undefined) throw new Error(`a field of type ${type}`)
  const value = codec.read(pass(place, codec.size)) as number
  if (type === 't') return value !== 0
  return type === 'I' ? value : { $: type, value }
}

/** Passes the length of what begins here; where it ends. */
function enter(place: Place): number {
  const length = pass(place, 4).readUInt32BE()
  return place.at + length
}

function pass(place: Place, length: number): Buffer {
  const bytes = place.bytes.subarray(place.at, place.at + length)
  place.at += length
  return bytes
}

function sized(parts: readonly Buffer[]): Buffer {
  const bytes = Buffer.concat(parts)
  const length = Buffer.alloc(4)
  length.writeUInt32BE(bytes.length)
  return Buffer.concat([length, bytes])
}

function letter(text: string): number {
  return text.charCodeAt(0)
}

function isList(value: Typed): value is readonly Typed[] {
  return Array.isArray(value)
}

/** `{ $: letter, value }`, and not a table. */
export function isMarked(value: Typed): value is { readonly $: string; readonly value: string | number } {
  return typeof value === 'object' && value !== null && !isList(value) && '$' in value
}
