/**
 * Bytes to be written, as a list of pieces: small things one behind the other in slabs, large ones as they are, in between.
 * What was taken is never written to again, so it may wait in a socket as long as it likes.
 *
 * A slab is as large as the last turns needed, from 1 to 64 KB, and what is left of it serves the next turn. One that has become
 * much too large is let go, so that an idle connection keeps next to nothing (benchmark P14).
 */
const smallestSlabBytes = 1024
const largestSlabBytes = 65_536

export class Slabs {
  /** Write to it where `reserve` said, then `advance`. */
  buffer: Buffer
  /** Counts the slabs: places in the buffer hold as long as it stays the same. */
  generation: number
  #pieces: Uint8Array[]
  /** Bytes in closed pieces. */
  #closedBytes: number
  /** Where in the buffer the piece that is not closed yet begins and ends. */
  #start: number
  #end: number
  /** Bytes that were taken last. */
  #takenBytes: number

  constructor() {
    this.buffer = nothing
    this.generation = 0
    this.#pieces = []
    this.#closedBytes = 0
    this.#start = 0
    this.#end = 0
    this.#takenBytes = 0
  }

  /** How many bytes wait to be taken. */
  get bytes(): number {
    return this.#closedBytes + this.#end - this.#start
  }

  /** Makes sure that there is room for so many bytes in one stretch, and gives the place of the first. */
  reserve(count: number): number {
    if (this.#end + count > this.buffer.length) this.#next(count)
    return this.#end
  }

  /** What was written reaches up to here. */
  advance(end: number): void {
    this.#end = end
  }

  /** A copy of these bytes. */
  copy(bytes: Uint8Array): void {
    const at = this.reserve(bytes.length)
    this.buffer.set(bytes, at)
    this.#end = at + bytes.length
  }

  /** These bytes themselves, which nobody may change from now on. */
  refer(bytes: Uint8Array): void {
    this.#close()
    this.#pieces.push(bytes)
    this.#closedBytes += bytes.length
  }

  /** All pieces, in order. */
  take(): readonly Uint8Array[] {
    this.#close()
    const pieces = this.#pieces
    if (pieces.length === 0) return pieces
    this.#takenBytes = this.#closedBytes
    this.#pieces = []
    this.#closedBytes = 0
    const restBytes = this.buffer.length - this.#end
    if (this.buffer.length > smallestSlabBytes && restBytes > this.#takenBytes * 4) this.#release()
    return pieces
  }

  #next(count: number): void {
    this.#close()
    const wanted = Math.max(this.#takenBytes, this.#closedBytes * 2, smallestSlabBytes)
    this.buffer = Buffer.allocUnsafe(Math.max(Math.min(wanted, largestSlabBytes), count))
    this.generation += 1
    this.#start = 0
    this.#end = 0
  }

  #release(): void {
    this.buffer = nothing
    this.#start = 0
    this.#end = 0
  }

  #close(): void {
    if (this.#end === this.#start) return
    this.#pieces.push(this.buffer.subarray(this.#start, this.#end))
    this.#closedBytes += this.#end - this.#start
    this.#start = this.#end
  }
}

const nothing = Buffer.alloc(0)
