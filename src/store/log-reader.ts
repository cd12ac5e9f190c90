/**
 * Reads entries back: plans from tables and index rows what lies where, reads it in large pieces, and copies each message
 * out of its piece, so that one small message does not keep a megabyte alive.
 */
import type { Entry } from '../model/entry.ts'
import { ChunkPool } from './chunk-pool.ts'
import { delayedSlot } from './entry-table.ts'
import { DamagedIndexError } from './file-reader.ts'
import type { FileReader } from './file-reader.ts'
import type { StoreLimits } from './limits.ts'
import type { LogFile, LogFiles } from './log-file.ts'
import type { Purges } from './purges.ts'
import { recordHeaderBytes } from './record-codec.ts'
import { PublishedReader, isSoundRecord } from './record-reader.ts'
import type { SliceRows } from './slice-index.ts'

/** Which entries: of one lane (a level, or `delayedSlot`), behind a place, up to limits; at least one if there is one. */
interface SlotRequest {
  readonly queueId: number
  readonly slot: number
  readonly afterSeq: number
  readonly limit: number
  readonly limitBytes: number
}

interface EntriesRequest {
  readonly seqs: readonly number[]
  readonly queueId: number | undefined
  /** Of records; at least one is read if there is one. */
  readonly limitBytes: number
}

export interface EntriesRead {
  /** Those of the sequence numbers that were looked for: from the first on, as many as fit. */
  readonly looked: readonly number[]
  readonly entries: Entry[]
}

interface Wanted {
  readonly file: LogFile
  readonly reader: FileReader
  readonly seq: number
  readonly offset: number
  readonly length: number
}

/** What the reader must know of the rest of the store. */
interface ReaderContext {
  readonly files: LogFiles
  readonly purges: Purges
  /** Counts since the record was written, by seq. */
  readonly counts: ReadonlyMap<number, number>
  /** Entries up to this one were there when an owner died. */
  readonly recoveredThrough: number
  /** Resolves after the next write to the log. */
  afterNextWrite(): Promise<void>
  /** The record cannot be read: the entry is lost. */
  lost(file: LogFile, seq: number): Promise<void>
  /** Makes the index of a file anew. */
  rebuild(file: LogFile): Promise<void>
}

class Plan {
  readonly wanted: Wanted[] = []
  /** Of the records: properties may be longer than bodies. */
  bytes = 0
  readonly #readers = new Set<FileReader>()

  hold(reader: FileReader): void {
    if (this.#readers.has(reader)) return
    reader.acquire()
    this.#readers.add(reader)
  }

  isFull(request: SlotRequest): boolean {
    return this.wanted.length >= request.limit || this.bytes >= request.limitBytes
  }

  release(): void {
    for (const reader of this.#readers) reader.release()
  }
}

export class LogReader {
  readonly #context: ReaderContext
  readonly #limits: StoreLimits
  readonly #chunks: ChunkPool
  readonly #record = new PublishedReader()

  constructor(context: ReaderContext, limits: StoreLimits) {
    this.#context = context
    this.#limits = limits
    this.#chunks = new ChunkPool(limits.readBytes, limits.parallelReads * 2)
  }

  /** Live entries, ascending. */
  async readSlot(request: SlotRequest): Promise<Entry[]> {
    let { afterSeq } = request
    for (;;) {
      const plan = new Plan()
      try {
        await this.#planSlot(plan, { ...request, afterSeq })
        const last = plan.wanted.at(-1)
        if (last === undefined) return []
        const entries = await this.#load(plan.wanted)
        if (entries.length > 0) return entries
        // All of it was unreadable or purged meanwhile; an empty answer would say that nothing follows.
        afterSeq = last.seq
      } finally {
        plan.release()
      }
    }
  }

  /** Those of the entries that are live, ascending. */
  async readEntries(request: EntriesRequest): Promise<EntriesRead> {
    const { seqs, queueId, limitBytes } = request
    const plan = new Plan()
    try {
      const sorted = Float64Array.from(seqs).sort()
      for (let start = 0; start < sorted.length;) {
        const file = this.#context.files.find(sorted[start]!)
        let end = start + 1
        while (end < sorted.length && this.#context.files.find(sorted[end]!) === file) end += 1
        if (file !== undefined) await this.#planSeqs(plan, file, sorted.subarray(start, end), queueId)
        start = end
      }
      const looked = fitting(plan.wanted, seqs, limitBytes)
      const chosen = looked.length === seqs.length ? undefined : new Set(looked)
      const wanted = plan.wanted.filter(({ seq }) => chosen?.has(seq) ?? true)
      // An index gives them slice by slice.
      wanted.sort((a, b) => a.seq - b.seq)
      return { looked, entries: await this.#load(wanted) }
    } finally {
      plan.release()
    }
  }

  async #planSlot(plan: Plan, request: SlotRequest): Promise<void> {
    const { files } = this.#context
    let place = Math.max(0, files.placeOf(request.afterSeq + 1))
    while (place < files.list.length && !plan.isFull(request)) {
      const file = files.list[place]!
      await this.#planFile(plan, file, request)
      // The list may have changed meanwhile: go on behind this file's number.
      place = files.list.findIndex((other) => other.number > file.number)
      if (place < 0) return
    }
  }

  async #planFile(plan: Plan, file: LogFile, request: SlotRequest): Promise<void> {
    if (file.live.count === 0) return
    const { reader, table } = file
    if (table !== undefined) {
      plan.hold(reader)
      this.#planTable(plan, file, request)
      return
    }
    const slice = file.index!.find(request.queueId, request.slot)
    if (slice === undefined || file.baseSeq + slice.lastOrdinal <= request.afterSeq) return
    plan.hold(reader)
    let rows: SliceRows
    try {
      rows = await reader.rows(slice)
    } catch (error) {
      if (!(error instanceof DamagedIndexError)) throw error
      if (file.reader === reader) await this.#context.rebuild(file)
      await this.#planFile(plan, file, request)
      return
    }
    const isDelayed = request.slot === delayedSlot
    for (let at = rows.lowerBound(request.afterSeq + 1 - file.baseSeq); at < rows.count; at += 1) {
      if (plan.isFull(request)) return
      const ordinal = rows.ordinal(at)
      const seq = file.baseSeq + ordinal
      if (!file.live.has(ordinal) || this.#context.purges.covers(request.queueId, seq, isDelayed)) continue
      const length = rows.length(at)
      plan.wanted.push({ file, reader, seq, offset: rows.offset(at), length })
      plan.bytes += length
    }
  }

  #planTable(plan: Plan, file: LogFile, request: SlotRequest): void {
    const table = file.table!
    const isDelayed = request.slot === delayedSlot
    const { queueIds, slots, lengths, span } = table
    for (let ordinal = Math.max(0, request.afterSeq + 1 - file.baseSeq); ordinal < span; ordinal += 1) {
      if (queueIds[ordinal] !== request.queueId || slots[ordinal] !== request.slot) continue
      if (lengths[ordinal] === 0 || !file.live.has(ordinal)) continue
      const seq = file.baseSeq + ordinal
      if (this.#context.purges.covers(request.queueId, seq, isDelayed)) continue
      if (plan.isFull(request)) return
      const length = lengths[ordinal]!
      plan.wanted.push({ file, reader: file.reader, seq, offset: table.offsets[ordinal]!, length })
      plan.bytes += length
    }
  }

  async #planSeqs(plan: Plan, file: LogFile, seqs: Float64Array, queueId: number | undefined): Promise<void> {
    const left = new Set<number>()
    for (const seq of seqs) if (file.isLive(seq)) left.add(seq - file.baseSeq)
    if (left.size === 0) return
    const { reader, table } = file
    plan.hold(reader)
    if (table !== undefined) {
      for (const ordinal of left) {
        if (!table.has(ordinal)) continue
        const place = { offset: table.offsets[ordinal]!, length: table.lengths[ordinal]! }
        plan.wanted.push({ file, reader, seq: file.baseSeq + ordinal, ...place })
      }
      return
    }
    const index = file.index!
    const slices = queueId === undefined ? [...index.all()] : index.ofQueue(queueId)
    // Held back first: it is nearly always those that are asked for one by one.
    slices.sort((a, b) => b.slot - a.slot)
    try {
      for (const slice of slices) {
        if (left.size === 0) return
        if (!holdsAny(slice, left)) continue
        const rows = await reader.rows(slice)
        for (const ordinal of left) {
          const at = rows.lowerBound(ordinal)
          if (at === rows.count || rows.ordinal(at) !== ordinal) continue
          plan.wanted.push({
            file,
            reader,
            seq: file.baseSeq + ordinal,
            offset: rows.offset(at),
            length: rows.length(at),
          })
          left.delete(ordinal)
        }
      }
    } catch (error) {
      if (!(error instanceof DamagedIndexError)) throw error
      if (file.reader === reader) await this.#context.rebuild(file)
      await this.#planSeqs(
        plan,
        file,
        Float64Array.from(left, (ordinal) => file.baseSeq + ordinal),
        queueId,
      )
    }
  }

  async #load(wanted: readonly Wanted[]): Promise<Entry[]> {
    const spans = this.#spansOf(wanted)
    const entries: Entry[] = []
    const { parallelReads } = this.#limits
    for (let from = 0; from < spans.length; from += parallelReads) {
      const parts = await Promise.all(
        spans.slice(from, from + parallelReads).map((span) => this.#readSpan(span)),
      )
      for (const part of parts) for (const entry of part) entries.push(entry)
    }
    return entries
  }

  /** Neighbours that are read together. */
  #spansOf(wanted: readonly Wanted[]): Wanted[][] {
    const { readBytes, readGapBytes } = this.#limits
    const spans: Wanted[][] = []
    let span: Wanted[] = []
    let start = 0
    let end = 0
    for (const want of wanted) {
      const wantEnd = want.offset + want.length
      const fits =
        span.length > 0 &&
        want.reader === span[0]!.reader &&
        want.offset >= start &&
        want.offset - end <= readGapBytes &&
        wantEnd - start <= readBytes
      if (!fits) {
        span = []
        spans.push(span)
        start = want.offset
        end = wantEnd
      }
      span.push(want)
      if (wantEnd > end) end = wantEnd
    }
    return spans
  }

  async #readSpan(span: readonly Wanted[]): Promise<Entry[]> {
    const { file, reader, offset: start } = span[0]!
    let end = 0
    for (const want of span) end = Math.max(end, want.offset + want.length)
    while (file.reader === reader && file.writtenBytes < end) await this.#context.afterNextWrite()
    const chunk = this.#chunks.take(end - start)
    const entries: Entry[] = []
    try {
      const handle = await reader.log()
      const count = await handle.read(chunk.subarray(0, end - start), start)
      for (const want of span) {
        if (!file.isLive(want.seq)) continue
        const at = want.offset - start
        if (at + want.length <= count && isSoundRecord(chunk, at, want.length)) {
          const entry = this.#decode(chunk, at, want)
          if (!this.#context.purges.covers(entry.queueId, entry.seq, entry.dueAtMs > 0)) entries.push(entry)
        } else await this.#context.lost(file, want.seq)
      }
    } catch (error) {
      if (!isReadError(error)) throw error
      if (span.length === 1) await this.#context.lost(file, span[0]!.seq)
      else for (const want of span) entries.push(...(await this.#readSpan([want])))
    } finally {
      this.#chunks.give(chunk)
    }
    return entries
  }

  #decode(chunk: Buffer, at: number, want: Wanted): Entry {
    const record = this.#record
    record.open(chunk, at + recordHeaderBytes, at + want.length)
    const entry = record.entry(want.seq, {
      countDelta: this.#context.counts.get(want.seq) ?? 0,
      recovered: want.seq <= this.#context.recoveredThrough,
    })
    if (entry === undefined) throw new RangeError('an index names an entry that is not in its record')
    return entry
  }
}

/** The first of the sequence numbers, whose records take no more than so many bytes. */
function fitting(wanted: readonly Wanted[], seqs: readonly number[], limitBytes: number): readonly number[] {
  let bytes = 0
  for (const { length } of wanted) bytes += length
  if (bytes <= limitBytes) return seqs
  const lengths = new Map(wanted.map(({ seq, length }) => [seq, length]))
  bytes = 0
  for (const [place, seq] of seqs.entries()) {
    const length = lengths.get(seq) ?? 0
    if (bytes > 0 && bytes + length > limitBytes) return seqs.slice(0, place)
    bytes += length
  }
  return seqs
}

function holdsAny(
  slice: { firstOrdinal: number; lastOrdinal: number },
  ordinals: ReadonlySet<number>,
): boolean {
  for (const ordinal of ordinals)
    if (ordinal >= slice.firstOrdinal && ordinal <= slice.lastOrdinal) return true
  return false
}

function isReadError(error: unknown): boolean {
  return typeof error === 'object' && error !== null && 'code' in error && error.code === 'EIO'
}
