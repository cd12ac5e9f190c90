/** Which entries of a log file are still in their queues: one bit each by ordinal, and how many are set. */
import { assert } from '../std/assert.ts'

const firstBytes = 128

export class LiveBits {
  #bytes: Uint8Array
  /** Ordinals from 0 to below this were ever set. */
  span: number
  count: number

  constructor(bytes: Uint8Array = new Uint8Array(firstBytes), span = 0) {
    this.#bytes = bytes
    this.span = span
    this.count = popcount(bytes)
  }

  /** All set. */
  static full(span: number): LiveBits {
    const bytes = new Uint8Array(Math.ceil(span / 8)).fill(0xff)
    if (span % 8 !== 0) bytes[bytes.length - 1] = (1 << (span % 8)) - 1
    return new LiveBits(bytes, span)
  }

  has(ordinal: number): boolean {
    return ((this.#bytes[ordinal >>> 3] ?? 0) & (1 << (ordinal & 7))) !== 0
  }

  set(ordinal: number): void {
    const index = ordinal >>> 3
    if (index >= this.#bytes.length) this.#grow(index + 1)
    const mask = 1 << (ordinal & 7)
    const byte = this.#bytes[index]!
    if ((byte & mask) === 0) {
      this.#bytes[index] = byte | mask
      this.count += 1
    }
    if (ordinal >= this.span) this.span = ordinal + 1
  }

  /** True when it was set. */
  clear(ordinal: number): boolean {
    const index = ordinal >>> 3
    if (index < 0 || index >= this.#bytes.length) return false
    const mask = 1 << (ordinal & 7)
    const byte = this.#bytes[index]!
    if ((byte & mask) === 0) return false
    this.#bytes[index] = byte & ~mask
    this.count -= 1
    return true
  }

  get isFull(): boolean {
    return this.count === this.span
  }

  /** The bits of the span; shared, not copied. */
  get bytes(): Uint8Array {
    return this.#bytes.subarray(0, Math.ceil(this.span / 8))
  }

  invariants(): void {
    assert(popcount(this.#bytes) === this.count, 'as many bits are set as were counted')
    assert(this.count <= this.span, 'no more bits are set than were ever set')
  }

  #grow(needed: number): void {
    const bytes = new Uint8Array(Math.max(needed, this.#bytes.length * 2))
    bytes.set(this.#bytes)
    this.#bytes = bytes
  }
}

const bitsOfByte = Uint8Array.from({ length: 256 }, (_, byte) => {
  let count = 0
  for (let rest = byte; rest > 0; rest >>>= 1) count += rest & 1
  return count
})

function popcount(bytes: Uint8Array): number {
  let count = 0
  for (let index = 0; index < bytes.length; index += 1) count += bitsOfByte[bytes[index]!]!
  return count
}
