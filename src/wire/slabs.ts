/** Bytes to be written, in pieces: small things copied one behind the other, large ones as they are. */

const smallestSlabBytes = 1024
const largestSlabBytes = 65_536

/** From this size on a piece is not copied. */
const referenceBytes = 16_384

export class Slabs {
  #pieces: Uint8Array[]
  #slab: Buffer
  /** Where in the slab the piece that is not closed yet begins and ends. */
  #start: number
  #end: number
  /** Bytes in closed pieces. */
  #closedBytes: number

  constructor() {
    this.#pieces = []
    this.#slab = nothing
    this.#start = 0
    this.#end = 0
    this.#closedBytes = 0
  }

  get bytes(): number {
    return this.#closedBytes + this.#end - this.#start
  }

  take(): readonly Uint8Array[] {
    this.#close()
    const pieces = this.#pieces
    this.#pieces = []
    this.#closedBytes = 0
    return pieces
  }

  octet(value: number): void {
    const at = this.#reserve(1)
    this.#slab[at] = value
  }

  long(value: number): void {
    const at = this.#reserve(4)
    this.#slab.writeUInt32BE(value, at)
  }

  longLong(value: number): void {
    this.long(Math.floor(value / 4294967296))
    this.long(value % 4294967296)
  }

  frameHeader(type: number, channel: number, size: number): void {
    const at = this.#reserve(7)
    this.#slab[at] = type
    this.#slab.writeUInt16BE(channel, at + 1)
    this.#slab.writeUInt32BE(size, at + 3)
  }

  raw(bytes: Uint8Array): void {
    if (bytes.length >= referenceBytes) {
      this.#close()
      this.#pieces.push(bytes)
      this.#closedBytes += bytes.length
      return
    }
    const at = this.#reserve(bytes.length)
    this.#slab.set(bytes, at)
  }

  #reserve(count: number): number {
    if (this.#end + count > this.#slab.length) {
      this.#close()
      const bytes = Math.min(largestSlabBytes, Math.max(smallestSlabBytes, this.#slab.length * 2))
      this.#slab = Buffer.allocUnsafeSlow(Math.max(bytes, count))
      this.#start = 0
      this.#end = 0
    }
    const at = this.#end
    this.#end = at + count
    return at
  }

  #close(): void {
    if (this.#end === this.#start) return
    this.#pieces.push(this.#slab.subarray(this.#start, this.#end))
    this.#closedBytes += this.#end - this.#start
    this.#start = this.#end
  }
}

const nothing = Buffer.alloc(0)
