/**
 * Numbers and short texts in and out of buffers, for the record codec. Everything is little-endian; a varint has seven
 * bits a byte, lowest first, the high bit set on all but the last; a u64 holds whole numbers below 2^53.
 */
const twoTo32 = 4294967296
/** Below this a loop over characters beats a call into the runtime. Measured with the append benchmark. */
const shortTextLength = 48

/** A varint of a safe integer has at most this many bytes. */
export const maximumVarintBytes = 8

export function writeU64(buffer: Buffer, position: number, value: number): number {
  buffer.writeUInt32LE(value % twoTo32, position)
  buffer.writeUInt32LE(Math.floor(value / twoTo32), position + 4)
  return position + 8
}

export function readU64(buffer: Buffer, position: number): number {
  return buffer.readUInt32LE(position) + buffer.readUInt32LE(position + 4) * twoTo32
}

export function writeVarint(buffer: Buffer, position: number, value: number): number {
  let rest = value
  let end = position
  while (rest >= 0x80) {
    buffer[end] = (rest & 0x7f) | 0x80
    end += 1
    rest = rest < 0x80000000 ? rest >>> 7 : Math.floor(rest / 128)
  }
  buffer[end] = rest
  return end + 1
}

export function varintBytes(value: number): number {
  let rest = value
  let count = 1
  while (rest >= 0x80) {
    rest = Math.floor(rest / 128)
    count += 1
  }
  return count
}

/** A varint byte count and its UTF-8 bytes. */
export function writeText(buffer: Buffer, position: number, text: string): number {
  const length = text.length
  if (length < shortTextLength) {
    buffer[position] = length
    let index = 0
    for (; index < length; index += 1) {
      const unit = text.charCodeAt(index)
      if (unit >= 0x80) break
      buffer[position + 1 + index] = unit
    }
    if (index === length) return position + 1 + length
  }
  const byteCount = Buffer.byteLength(text)
  const start = writeVarint(buffer, position, byteCount)
  buffer.write(text, start, byteCount, 'utf8')
  return start + byteCount
}

/** An upper bound of what `writeText` takes. */
export function maximumTextBytes(text: string): number {
  return text.length * 3 + maximumVarintBytes
}

/** Reads one value after another; `position` is where it stands. Throws RangeError beyond the end. */
export class Cursor {
  readonly buffer: Buffer
  position: number
  readonly end: number

  constructor(buffer: Buffer, position: number, end: number) {
    this.buffer = buffer
    this.position = position
    this.end = end
  }

  u8(): number {
    if (this.position >= this.end) throw new RangeError('a record is shorter than it should be')
    const value = this.buffer[this.position]!
    this.position += 1
    return value
  }

  u64(): number {
    return readU64(this.buffer, this.#advance(8))
  }

  f64(): number {
    return this.buffer.readDoubleLE(this.#advance(8))
  }

  varint(): number {
    let value = 0
    let scale = 1
    for (let count = 0; count < maximumVarintBytes; count += 1) {
      const byte = this.u8()
      value += (byte & 0x7f) * scale
      if (byte < 0x80) return value
      scale *= 128
    }
    throw new RangeError('a number in a record is too long')
  }

  /** Skips so many bytes and returns where they began. */
  skip(count: number): number {
    return this.#advance(count)
  }

  text(): string {
    const length = this.varint()
    const start = this.#advance(length)
    return this.buffer.toString('utf8', start, start + length)
  }

  #advance(count: number): number {
    const start = this.position
    if (start + count > this.end) throw new RangeError('a record is shorter than it should be')
    this.position = start + count
    return start
  }
}
