/**
 * A batch: what one group commit writes, all of it or nothing. Records gather in it, in pooled chunks, until the writer
 * takes it; the lists of settled, delivered and released entries gather as numbers and become records at its close.
 *
 * ```text
 *  0       4            8               12        16      20         24           32                   40
 *  | magic | header crc | payload bytes | records | flags | zeroes   | number u64 | synced-through u64 |
 * ```
 * (See docs/log-format.md; the header is 40 bytes.) The header's checksum is seeded with the file's salt, so that a batch
 * that lies inside a message's body is never taken for one of the file's own. The payload has a checksum for each record.
 */
import { crc32 } from 'node:zlib'
import { assert } from '../std/assert.ts'
import { readU64, writeU64 } from './bytes.ts'
import type { ChunkPool } from './chunk-pool.ts'
import { Deferred } from '../std/deferred.ts'
import { SeqList } from './seq-list.ts'

export const batchHeaderBytes = 40
export const batchMagic = 0x6c6d7262 // "brml" on disk
/** The batch is a checkpoint: the first of its file. */
export const checkpointFlag = 1
/** The store was closed in good order after this batch. */
export const cleanFlag = 2

export class Batch {
  readonly number: number
  /** Where its header goes in the file. */
  readonly position: number
  /** The chunk being filled and where; the record codec writes straight into it after `reserve`. */
  buffer: Buffer
  end: number
  flags: number
  recordCount: number
  readonly settled: SeqList
  readonly delivered: SeqList
  readonly released: SeqList
  readonly #pool: ChunkPool
  /** What is written, in order, before what is in the chunk from `#start` on. */
  readonly #pieces: Uint8Array[]
  readonly #owned: Buffer[]
  #piecesBytes: number
  #start: number
  #waiter: Deferred<void> | undefined

  constructor(place: { number: number; position: number }, pool: ChunkPool) {
    this.number = place.number
    this.position = place.position
    this.buffer = pool.take(batchHeaderBytes)
    this.end = batchHeaderBytes
    this.flags = 0
    this.recordCount = 0
    this.settled = new SeqList()
    this.delivered = new SeqList()
    this.released = new SeqList()
    this.#pool = pool
    this.#pieces = []
    this.#owned = [this.buffer]
    this.#piecesBytes = 0
    this.#start = 0
  }

  /** Bytes so far, header included, without the lists that are encoded at the close. */
  get length(): number {
    return this.#piecesBytes + this.end - this.#start
  }

  get isEmpty(): boolean {
    return (
      this.recordCount === 0 &&
      this.settled.length === 0 &&
      this.delivered.length === 0 &&
      this.released.length === 0
    )
  }

  /** One promise for everybody who waits for this batch. */
  whenDone(): Promise<void> {
    if (this.#waiter === undefined) {
      this.#waiter = new Deferred<void>()
      // Whoever asked handles a failure; a batch that nobody asks about must not count as an unhandled one.
      this.#waiter.promise.catch(() => undefined)
    }
    return this.#waiter.promise
  }

  settleWaiters(error?: Error): void {
    if (error === undefined) this.#waiter?.resolve()
    else this.#waiter?.reject(error)
  }

  /** Makes room for a record of up to so many bytes in one piece. */
  reserve(bytes: number): void {
    if (this.end + bytes <= this.buffer.length) return
    this.#closePiece()
    this.buffer = this.#pool.take(bytes)
    this.#owned.push(this.buffer)
    this.#start = 0
    this.end = 0
  }

  /** These bytes come next, and stay where they are: nobody may change them until the batch is done. */
  refer(bytes: Uint8Array): void {
    this.#closePiece()
    this.#pieces.push(bytes)
    this.#piecesBytes += bytes.length
    this.#start = this.end
  }

  /** Writes the header and returns what goes to the file, in order. */
  finish(options: { salt: number; syncedThrough: number }): Uint8Array[] {
    const first = this.#owned[0]!
    const payloadBytes = this.length - batchHeaderBytes
    assert(payloadBytes < 2 ** 32, 'a batch is smaller than 4 GiB')
    first.writeUInt32LE(batchMagic, 0)
    first.writeUInt32LE(payloadBytes, 8)
    first.writeUInt32LE(this.recordCount, 12)
    first.writeUInt32LE(this.flags, 16)
    first.writeUInt32LE(0, 20)
    writeU64(first, 24, this.number)
    writeU64(first, 32, options.syncedThrough)
    first.writeUInt32LE(crc32(first.subarray(8, batchHeaderBytes), options.salt), 4)
    return [...this.#pieces, this.buffer.subarray(this.#start, this.end)]
  }

  /** Gives the chunks back; nothing may read them afterwards. */
  release(): void {
    for (const chunk of this.#owned) this.#pool.give(chunk)
  }

  #closePiece(): void {
    if (this.end === this.#start) return
    this.#pieces.push(this.buffer.subarray(this.#start, this.end))
    this.#piecesBytes += this.end - this.#start
  }
}

export interface BatchHeader {
  readonly payloadBytes: number
  readonly recordCount: number
  readonly flags: number
  readonly number: number
  readonly syncedThrough: number
}

/** The header at that place, or undefined when there is no sound one. */
export function readBatchHeader(buffer: Buffer, position: number, salt: number): BatchHeader | undefined {
  if (position + batchHeaderBytes > buffer.length) return undefined
  if (buffer.readUInt32LE(position) !== batchMagic) return undefined
  const checksum = crc32(buffer.subarray(position + 8, position + batchHeaderBytes), salt)
  if (buffer.readUInt32LE(position + 4) !== checksum) return undefined
  return {
    payloadBytes: buffer.readUInt32LE(position + 8),
    recordCount: buffer.readUInt32LE(position + 12),
    flags: buffer.readUInt32LE(position + 16),
    number: readU64(buffer, position + 24),
    syncedThrough: readU64(buffer, position + 32),
  }
}
