/**
 * The sidecar index of a sealed log file: where the entries of each queue and lane lie. Derived data: checksummed, tied to
 * one generation of one log file, and made anew by reading the log file when it is missing or damaged.
 *
 * In memory stays the table of slices (40 bytes for each queue and lane that has entries in the file); the rows are read
 * when a queue is. docs/log-format.md draws both.
 */
import { crc32 } from 'node:zlib'
import { readU64, writeU64 } from './bytes.ts'
import { delayedSlot } from './entry-table.ts'
import type { EntryTable } from './entry-table.ts'
import { formatVersion } from './file-format.ts'
import type { LiveBits } from './live-bits.ts'

const magic = Buffer.from('MILLRIDX')
export const indexHeaderBytes = 64
const sliceBytes = 40
const readyRowBytes = 16
const delayedRowBytes = 24
/** Body sizes share 32 bits with two flags. */
const bodyUnit = 4

export interface Slice {
  readonly queueId: number
  readonly slot: number
  /** Every flag that a row of it has. */
  readonly flags: number
  readonly count: number
  readonly rowsCrc: number
  /** Where its rows start in the index file. */
  readonly offset: number
  readonly firstOrdinal: number
  readonly lastOrdinal: number
  readonly bodyBytes: number
}

interface IndexIdentity {
  readonly number: number
  readonly generation: number
  readonly baseSeq: number
}

/** The table of slices of one index file. */
export class SliceIndex {
  readonly #table: Buffer
  readonly count: number
  /** Rows in all slices. */
  readonly rowCount: number

  constructor(table: Buffer, rowCount: number) {
    this.#table = table
    this.count = table.length / sliceBytes
    this.rowCount = rowCount
  }

  at(place: number): Slice {
    const table = this.#table
    const start = place * sliceBytes
    return {
      queueId: table.readUInt32LE(start),
      slot: table.readUInt16LE(start + 4),
      flags: table.readUInt16LE(start + 6),
      count: table.readUInt32LE(start + 8),
      rowsCrc: table.readUInt32LE(start + 12),
      offset: readU64(table, start + 16),
      firstOrdinal: table.readUInt32LE(start + 24),
      lastOrdinal: table.readUInt32LE(start + 28),
      bodyBytes: table.readDoubleLE(start + 32),
    }
  }

  find(queueId: number, slot: number): Slice | undefined {
    const place = this.firstOf(queueId, slot)
    if (place === this.count) return undefined
    const slice = this.at(place)
    return slice.queueId === queueId && slice.slot === slot ? slice : undefined
  }

  /** The place of the first slice that is not before (queueId, slot). */
  firstOf(queueId: number, slot: number): number {
    let low = 0
    let high = this.count
    while (low < high) {
      const middle = (low + high) >>> 1
      const start = middle * sliceBytes
      const queue = this.#table.readUInt32LE(start)
      if (queue < queueId || (queue === queueId && this.#table.readUInt16LE(start + 4) < slot))
        low = middle + 1
      else high = middle
    }
    return low
  }

  *all(): Generator<Slice> {
    for (let place = 0; place < this.count; place += 1) yield this.at(place)
  }

  /** The slices of one queue. */
  ofQueue(queueId: number): Slice[] {
    const slices: Slice[] = []
    for (let place = this.firstOf(queueId, 0); place < this.count; place += 1) {
      const slice = this.at(place)
      if (slice.queueId !== queueId) break
      slices.push(slice)
    }
    return slices
  }
}

/** The rows of one slice, ascending by ordinal. */
export class SliceRows {
  readonly #bytes: Buffer
  readonly #rowBytes: number
  readonly count: number

  constructor(bytes: Buffer, slot: number) {
    this.#bytes = bytes
    this.#rowBytes = rowBytesOf(slot)
    this.count = bytes.length / this.#rowBytes
  }

  ordinal(place: number): number {
    return this.#bytes.readUInt32LE(place * this.#rowBytes)
  }

  offset(place: number): number {
    return this.#bytes.readUInt32LE(place * this.#rowBytes + 4)
  }

  length(place: number): number {
    return this.#bytes.readUInt32LE(place * this.#rowBytes + 8)
  }

  bodyBytes(place: number): number {
    return Math.floor(this.#bytes.readUInt32LE(place * this.#rowBytes + 12) / bodyUnit)
  }

  flags(place: number): number {
    return this.#bytes.readUInt32LE(place * this.#rowBytes + 12) % bodyUnit
  }

  /** Only of rows held back. */
  dueAtMs(place: number): number {
    return this.#bytes.readDoubleLE(place * this.#rowBytes + 16)
  }

  /** The place of the first row whose ordinal is not below this one. */
  lowerBound(ordinal: number): number {
    let low = 0
    let high = this.count
    while (low < high) {
      const middle = (low + high) >>> 1
      if (this.ordinal(middle) < ordinal) low = middle + 1
      else high = middle
    }
    return low
  }

  get bytes(): number {
    return this.#bytes.length
  }
}

export function rowBytesOf(slot: number): number {
  return slot === delayedSlot ? delayedRowBytes : readyRowBytes
}

interface SliceBuilder {
  readonly queueId: number
  readonly slot: number
  flags: number
  count: number
  firstOrdinal: number
  lastOrdinal: number
  bodyBytes: number
  start: number
  end: number
}

interface BuiltIndex {
  readonly index: SliceIndex
  /** The whole index file. */
  readonly buffers: readonly Buffer[]
}

/**
 * Sorts the live entries of a table into slices. `pause` is awaited every so many entries.
 * @param live a copy: it must not change meanwhile
 */
export async function buildIndex(
  identity: IndexIdentity,
  source: { table: EntryTable; live: LiveBits },
  slicing: { entries: number; pause: () => Promise<void> },
): Promise<BuiltIndex> {
  const { table, live } = source
  const builders = new Map<number, SliceBuilder>()
  let rowCount = 0
  for (let from = 0; from < table.span; from += slicing.entries) {
    rowCount += countRows(builders, source, { from, to: Math.min(table.span, from + slicing.entries) })
    await slicing.pause()
  }
  const sorted = [...builders.values()].sort((a, b) => a.queueId - b.queueId || a.slot - b.slot)
  let size = 0
  for (const builder of sorted) {
    builder.start = size
    builder.end = size
    size += builder.count * rowBytesOf(builder.slot)
  }
  const rows = Buffer.allocUnsafe(size)
  for (let from = 0; from < table.span; from += slicing.entries) {
    fillRows(rows, builders, { table, live }, { from, to: Math.min(table.span, from + slicing.entries) })
    await slicing.pause()
  }
  const rowsStart = indexHeaderBytes + sorted.length * sliceBytes
  const sliceTable = encodeSlices(sorted, rows, rowsStart)
  const header = encodeIndexHeader(identity, { table: sliceTable, rowCount })
  return { index: new SliceIndex(sliceTable, rowCount), buffers: [header, sliceTable, rows] }
}

function countRows(
  builders: Map<number, SliceBuilder>,
  { table, live }: { table: EntryTable; live: LiveBits },
  range: { from: number; to: number },
): number {
  let builder: SliceBuilder | undefined
  let count = 0
  for (let ordinal = range.from; ordinal < range.to; ordinal += 1) {
    if (table.lengths[ordinal] === 0 || !live.has(ordinal)) continue
    const queueId = table.queueIds[ordinal]!
    const slot = table.slots[ordinal]!
    if (builder === undefined || builder.queueId !== queueId || builder.slot !== slot) {
      const key = queueId * 512 + slot
      builder = builders.get(key)
      if (builder === undefined) {
        builder = {
          queueId,
          slot,
          flags: 0,
          count: 0,
          firstOrdinal: ordinal,
          lastOrdinal: 0,
          bodyBytes: 0,
          start: 0,
          end: 0,
        }
        builders.set(key, builder)
      }
    }
    builder.flags |= table.flags[ordinal]!
    builder.count += 1
    builder.lastOrdinal = ordinal
    builder.bodyBytes += table.bodyBytes[ordinal]!
    count += 1
  }
  return count
}

function fillRows(
  rows: Buffer,
  builders: Map<number, SliceBuilder>,
  { table, live }: { table: EntryTable; live: LiveBits },
  range: { from: number; to: number },
): void {
  let builder: SliceBuilder | undefined
  for (let ordinal = range.from; ordinal < range.to; ordinal += 1) {
    if (table.lengths[ordinal] === 0 || !live.has(ordinal)) continue
    const queueId = table.queueIds[ordinal]!
    const slot = table.slots[ordinal]!
    if (builder === undefined || builder.queueId !== queueId || builder.slot !== slot) {
      builder = builders.get(queueId * 512 + slot)!
    }
    let end = rows.writeUInt32LE(ordinal, builder.end)
    end = rows.writeUInt32LE(table.offsets[ordinal]!, end)
    end = rows.writeUInt32LE(table.lengths[ordinal]!, end)
    end = rows.writeUInt32LE(table.bodyBytes[ordinal]! * bodyUnit + table.flags[ordinal]!, end)
    if (slot === delayedSlot) end = rows.writeDoubleLE(table.dueAt(ordinal), end)
    builder.end = end
  }
}

function encodeSlices(sorted: readonly SliceBuilder[], rows: Buffer, rowsStart: number): Buffer {
  const table = Buffer.alloc(sorted.length * sliceBytes)
  for (let place = 0; place < sorted.length; place += 1) {
    const builder = sorted[place]!
    const start = place * sliceBytes
    table.writeUInt32LE(builder.queueId, start)
    table.writeUInt16LE(builder.slot, start + 4)
    table.writeUInt16LE(builder.flags, start + 6)
    table.writeUInt32LE(builder.count, start + 8)
    table.writeUInt32LE(crc32(rows.subarray(builder.start, builder.end)), start + 12)
    writeU64(table, start + 16, rowsStart + builder.start)
    table.writeUInt32LE(builder.firstOrdinal, start + 24)
    table.writeUInt32LE(builder.lastOrdinal, start + 28)
    table.writeDoubleLE(builder.bodyBytes, start + 32)
  }
  return table
}

function encodeIndexHeader(identity: IndexIdentity, facts: { table: Buffer; rowCount: number }): Buffer {
  const header = Buffer.alloc(indexHeaderBytes)
  magic.copy(header, 0)
  header.writeUInt32LE(formatVersion, 8)
  header.writeUInt32LE(identity.number, 12)
  header.writeUInt32LE(identity.generation, 16)
  header.writeUInt32LE(facts.table.length / sliceBytes, 20)
  writeU64(header, 24, identity.baseSeq)
  header.writeUInt32LE(facts.rowCount, 32)
  header.writeUInt32LE(crc32(facts.table), 36)
  header.writeUInt32LE(crc32(header.subarray(0, indexHeaderBytes - 4)), indexHeaderBytes - 4)
  return header
}

/** How many bytes the header and the table of slices have. An index of another generation or file is stale. */
export function indexTableEnd(header: Buffer, identity: IndexIdentity): number | 'stale' | 'damaged' {
  if (header.length < indexHeaderBytes || !header.subarray(0, 8).equals(magic)) return 'damaged'
  const checksum = crc32(header.subarray(0, indexHeaderBytes - 4))
  if (header.readUInt32LE(indexHeaderBytes - 4) !== checksum) return 'damaged'
  const isIts =
    header.readUInt32LE(8) === formatVersion &&
    header.readUInt32LE(12) === identity.number &&
    header.readUInt32LE(16) === identity.generation &&
    readU64(header, 24) === identity.baseSeq
  return isIts ? indexHeaderBytes + header.readUInt32LE(20) * sliceBytes : 'stale'
}

/** @param bytes the file up to `indexTableEnd`; undefined when the table is damaged */
export function decodeIndex(bytes: Buffer): SliceIndex | undefined {
  const table = bytes.subarray(indexHeaderBytes)
  if (table.length % sliceBytes !== 0 || crc32(table) !== bytes.readUInt32LE(36)) return undefined
  return new SliceIndex(table, bytes.readUInt32LE(32))
}
