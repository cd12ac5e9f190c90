/**
 * Reads AMQP's basic types one after another, never beyond the bytes it was given. Layouts are in field-table.ts.
 * Whatever a peer sends, the cost is linear in its size and the only error is MillraceError INVALID_ARGUMENT.
 */
import { MillraceError } from './errors.ts'
import { maximumFieldDepth } from './field-value.ts'
import type { FieldTable, FieldValue } from './field-value.ts'

/** What UTF-8 decoding puts in the place of bytes it cannot read. */
const replacement = '\ufffd'

/** The last second, either way from the epoch, that a Date can hold. */
const maximumDateSeconds = 8_640_000_000_000n

export class FieldReader {
  readonly #bytes: Buffer
  #position: number
  #end: number

  constructor(bytes: Uint8Array) {
    this.#bytes = Buffer.isBuffer(bytes)
      ? bytes
      : Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength)
    this.#position = 0
    this.#end = bytes.byteLength
  }

  /** Throws unless everything was read. */
  end(): void {
    if (this.#position !== this.#end) throw malformed(`${this.#end - this.#position} bytes are left over`)
  }

  octet(): number {
    return this.#bytes.readUInt8(this.#pass(1))
  }

  /** 16 bits, unsigned. */
  short(): number {
    return this.#bytes.readUInt16BE(this.#pass(2))
  }

  /** 32 bits, unsigned. */
  long(): number {
    return this.#bytes.readUInt32BE(this.#pass(4))
  }

  /** 64 bits, unsigned; beyond 2 ** 53 the nearest number. */
  longLong(): number {
    const at = this.#pass(8)
    return this.#bytes.readUInt32BE(at) * 4294967296 + this.#bytes.readUInt32BE(at + 4)
  }

  /** Text with its length in one byte; bytes that are no UTF-8 become U+FFFD. */
  shortString(): string {
    const length = this.octet()
    const at = this.#pass(length)
    return this.#bytes.toString('utf8', at, at + length)
  }

  /** Text with its length in one byte, or undefined for bytes that are no UTF-8. */
  strictShortString(): string | undefined {
    const length = this.octet()
    const at = this.#pass(length)
    const text = this.#bytes.toString('utf8', at, at + length)
    return this.#isUtf8(text, at, length) ? text : undefined
  }

  /** Bytes with their length in four bytes. A copy: those read from may be a socket's, to be used again. */
  longBytes(): Uint8Array {
    const length = this.long()
    const at = this.#pass(length)
    return new Uint8Array(this.#bytes.subarray(at, at + length))
  }

  /** How many bytes were read. */
  get position(): number {
    return this.#position
  }

  /** Passes over a table; where each field stands, from its name to the end of its value. */
  fieldPlaces(): readonly { name: string; start: number; end: number }[] {
    const outerEnd = this.#enter(1)
    const places: { name: string; start: number; end: number }[] = []
    while (this.#position < this.#end) {
      const start = this.#position
      const name = this.shortString()
      this.#value(1)
      places.push({ name, start, end: this.#position })
    }
    this.#end = outerEnd
    return places
  }

  /** @param depth 1 for the outermost */
  table(depth: number): FieldTable {
    const outerEnd = this.#enter(depth)
    const table: Record<string, FieldValue> = {}
    while (this.#position < this.#end) {
      const name = this.shortString()
      const value = this.#value(depth)
      // An assignment to this one name would replace the object's prototype instead of adding a field.
      if (name === '__proto__') {
        Object.defineProperty(table, name, { value, enumerable: true, configurable: true, writable: true })
      } else {
        table[name] = value
      }
    }
    this.#end = outerEnd
    return table
  }

  #array(depth: number): readonly FieldValue[] {
    const outerEnd = this.#enter(depth)
    const items: FieldValue[] = []
    while (this.#position < this.#end) items.push(this.#value(depth))
    this.#end = outerEnd
    return items
  }

  /** Narrows what may be read to the table or array that begins here, and gives the end that was. */
  #enter(depth: number): number {
    if (depth > maximumFieldDepth) throw malformed(`it is nested more than ${maximumFieldDepth} deep`)
    const length = this.long()
    const outerEnd = this.#end
    if (length > outerEnd - this.#position) throw truncated()
    this.#end = this.#position + length
    return outerEnd
  }

  #value(depth: number): FieldValue {
    const type = this.octet()
    switch (type) {
      case 0x53: // S
        return this.#longString()
      case 0x49: // I
        return this.#bytes.readInt32BE(this.#pass(4))
      case 0x6c: // l
      case 0x4c: // L
        return this.#signedLongLong()
      case 0x64: // d
        return this.#bytes.readDoubleBE(this.#pass(8))
      case 0x74: // t
        return this.octet() !== 0
      case 0x46: // F
        return this.table(depth + 1)
      case 0x41: // A
        return this.#array(depth + 1)
      case 0x54: // T
        return this.#timestamp()
      case 0x78: // x
        return this.longBytes()
      case 0x56: // V
        return null
      default:
        return this.#narrowNumber(type)
    }
  }

  #narrowNumber(type: number): number {
    switch (type) {
      case 0x62: // b
        return this.#bytes.readInt8(this.#pass(1))
      case 0x42: // B
        return this.octet()
      case 0x73: // s
        return this.#bytes.readInt16BE(this.#pass(2))
      case 0x75: // u
        return this.short()
      case 0x69: // i
        return this.long()
      case 0x66: // f
        return this.#bytes.readFloatBE(this.#pass(4))
      case 0x44: // D
        return this.#decimal()
      default:
        throw unknownType(type)
    }
  }

  /** The value is the 32 bits divided by ten to the power of the scale. */
  #decimal(): number {
    const scale = this.octet()
    const digits = this.#bytes.readUInt32BE(this.#pass(4))
    return Number(`${digits}e-${scale}`)
  }

  #signedLongLong(): number | bigint {
    const at = this.#pass(8)
    const value = this.#bytes.readInt32BE(at) * 4294967296 + this.#bytes.readUInt32BE(at + 4)
    return Number.isSafeInteger(value) ? value : this.#bytes.readBigInt64BE(at)
  }

  /** A second beyond what a Date can hold is given as its number. */
  #timestamp(): Date | number | bigint {
    const at = this.#position
    const seconds = BigInt(this.#signedLongLong())
    if (seconds <= maximumDateSeconds && seconds >= -maximumDateSeconds)
      return new Date(Number(seconds) * 1000)
    this.#position = at
    return this.#signedLongLong()
  }

  #longString(): string | Uint8Array {
    const length = this.long()
    const at = this.#pass(length)
    const text = this.#bytes.toString('utf8', at, at + length)
    if (this.#isUtf8(text, at, length)) return text
    return new Uint8Array(this.#bytes.subarray(at, at + length))
  }

  /** Whether decoding these bytes to the text lost nothing. */
  #isUtf8(text: string, at: number, length: number): boolean {
    if (!text.includes(replacement)) return true
    return this.#bytes.subarray(at, at + length).equals(Buffer.from(text))
  }

  /** Passes over so many bytes and gives the place of the first. */
  #pass(count: number): number {
    const at = this.#position
    if (count > this.#end - at) throw truncated()
    this.#position = at + count
    return at
  }
}

function truncated(): MillraceError {
  return malformed('it ends early')
}

function unknownType(type: number): MillraceError {
  return malformed(`no field has the type 0x${type.toString(16).padStart(2, '0')}`)
}

/** The error for bytes that are no table or property list. */
export function malformed(why: string): MillraceError {
  return new MillraceError('INVALID_ARGUMENT', `malformed field table or properties: ${why}`)
}
