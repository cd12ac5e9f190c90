/** A log file as the store knows it in memory: who is live in it, and where its entries lie. */
import { assert } from '../std/assert.ts'
import type { DiskFile } from './disk.ts'
import { EntryTable } from './entry-table.ts'
import type { FileHeader } from './file-format.ts'
import { indexPath, logPath } from './file-format.ts'
import { FileReader } from './file-reader.ts'
import type { ReaderPool } from './file-reader.ts'
import { LiveBits } from './live-bits.ts'
import type { SliceIndex } from './slice-index.ts'

export class LogFile {
  readonly number: number
  readonly baseSeq: number
  readonly firstBatch: number
  salt: number
  generation: number
  live: LiveBits
  /** Where the next batch goes. */
  sizeBytes: number
  /** Up to here the file can be read. */
  writtenBytes: number
  /** Until the file is sealed and its index written. */
  table: EntryTable | undefined
  /** From then on. */
  index: SliceIndex | undefined
  reader: FileReader
  /** The handle it is written with, while it is. */
  handle: DiskFile | undefined
  /** The number of the file that was written when the last entry of this one left; 0 while it has some. */
  deadSince: number
  /** Its live count when compaction last looked. */
  auditedLive: number
  /** Since which beat of maintenance its live count has not fallen much, and from what; undefined: nobody looked. */
  rest: { readonly beat: number; readonly live: number } | undefined
  /** Parts of it could not be read: it is kept until nothing in it is live, and not rewritten. */
  damaged: boolean

  constructor(header: FileHeader, pool: ReaderPool, handle?: DiskFile) {
    this.number = header.number
    this.baseSeq = header.baseSeq
    this.firstBatch = header.firstBatch
    this.salt = header.salt
    this.generation = header.generation
    this.live = new LiveBits()
    this.sizeBytes = 0
    this.writtenBytes = 0
    this.table = new EntryTable(header.baseSeq)
    this.index = undefined
    this.reader = readerOf(pool, header.number, handle)
    this.handle = handle
    this.deadSince = 0
    this.auditedLive = -1
    this.rest = undefined
    this.damaged = false
  }

  /** The handle of a file that is being written. */
  get openHandle(): DiskFile {
    assert(this.handle !== undefined, 'a file that is written is open')
    return this.handle
  }

  isLive(seq: number): boolean {
    return this.live.has(seq - this.baseSeq)
  }

  /** The file or its index was replaced: who reads now goes on with what was, who comes gets what is. */
  renewReader(pool: ReaderPool, handle?: DiskFile): void {
    const old = this.reader
    this.reader = readerOf(pool, this.number, handle)
    old.retire()
  }

  invariants(): void {
    this.live.invariants()
    assert(this.writtenBytes <= this.sizeBytes, 'no more is written than was appended')
    assert(this.table !== undefined || this.index !== undefined, 'a file has a table or an index')
    const table = this.table
    for (let ordinal = 0; ordinal < this.live.span; ordinal += 1) {
      const isFound = table === undefined || table.has(ordinal)
      assert(isFound || !this.live.has(ordinal), 'what is live is in the table')
    }
    if (this.index !== undefined)
      assert(this.index.rowCount >= this.live.count, 'what is live is in the index')
  }
}

function readerOf(pool: ReaderPool, number: number, handle?: DiskFile): FileReader {
  return new FileReader(pool, { log: logPath(number), index: indexPath(number) }, handle)
}

/** The log files in order of their number, which is also the order of their entries. */
export class LogFiles {
  /** The last one is being written. */
  readonly list: LogFile[] = []

  get active(): LogFile {
    return this.list[this.list.length - 1]!
  }

  push(file: LogFile): void {
    const last = this.list[this.list.length - 1]
    if (last !== undefined)
      assert(last.number < file.number && last.baseSeq <= file.baseSeq, 'files come in order')
    this.list.push(file)
  }

  remove(file: LogFile): void {
    const place = this.list.indexOf(file)
    if (place >= 0) this.list.splice(place, 1)
  }

  /** The file in which an entry of that number would be. */
  find(seq: number): LogFile | undefined {
    return this.list[this.placeOf(seq)]
  }

  /** The place of the last file whose base is not above that number; -1 for none. */
  placeOf(seq: number): number {
    let low = 0
    let high = this.list.length
    while (low < high) {
      const middle = (low + high) >>> 1
      if (this.list[middle]!.baseSeq <= seq) low = middle + 1
      else high = middle
    }
    return low - 1
  }
}
