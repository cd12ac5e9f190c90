/** Buffers of one size, used again and again: a fresh one costs a page fault for every 4 KB of it. */
export class ChunkPool {
  readonly #chunkBytes: number
  readonly #maximumCount: number
  readonly #free: Buffer[] = []

  constructor(chunkBytes: number, maximumCount: number) {
    this.#chunkBytes = chunkBytes
    this.#maximumCount = maximumCount
  }

  /** A buffer of the pool's size, or of its own size when more is asked for. */
  take(minimumBytes: number): Buffer {
    if (minimumBytes > this.#chunkBytes) return Buffer.allocUnsafeSlow(minimumBytes)
    return this.#free.pop() ?? Buffer.allocUnsafeSlow(this.#chunkBytes)
  }

  give(chunk: Buffer): void {
    if (chunk.length === this.#chunkBytes && this.#free.length < this.#maximumCount) this.#free.push(chunk)
  }
}
