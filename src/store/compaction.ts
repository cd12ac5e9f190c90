/**
 * Rewrites a sealed log file of which little is live: the same number, the same entries in the same order, one generation
 * later. The new file is complete and synced before it takes the old one's name.
 */
import { Batch } from './batch.ts'
import type { ChunkPool } from './chunk-pool.ts'
import type { Disk, DiskFile } from './disk.ts'
import { unlinkIfPresent } from './disk.ts'
import { EntryTable } from './entry-table.ts'
import { encodeFileHeader, fileHeaderBytes, formatVersion, logFolder, logPath } from './file-format.ts'
import type { ReaderPool } from './file-reader.ts'
import { visitLiveRows } from './file-rows.ts'
import { addToTable, writeIndex } from './index-files.ts'
import type { Slicing } from './index-files.ts'
import type { LogFile } from './log-file.ts'
import { recordHeaderBytes } from './record-codec.ts'
import { PublishedReader, isSoundRecord } from './record-reader.ts'

export interface CompactionContext {
  readonly disk: Disk
  readonly pool: ReaderPool
  readonly chunks: ChunkPool
  readonly slicing: Slicing
  readonly batchBytes: number
  /** The share of live bytes below which a file is rewritten. */
  readonly below: number
  /** Resolves when everything appended before the call is synced: what has left by then has left for good. */
  durable(): Promise<void>
  /** The record of the entry cannot be read. */
  lost(file: LogFile, seq: number): Promise<void>
}

/** A record that has a live entry. */
interface LiveRecord {
  readonly offset: number
  readonly length: number
}

/**
 * True when the file was rewritten; false when too much of it is live. A record that is damaged is left out and reported.
 */
export async function compact(context: CompactionContext, file: LogFile): Promise<boolean> {
  const { reader } = file
  reader.acquire()
  try {
    const records = await liveRecords(file)
    const settled = context.durable()
    settled.catch(() => undefined)
    let liveBytes = 0
    for (const record of records) liveBytes += record.length
    file.auditedLive = file.live.count
    if (liveBytes >= file.sizeBytes * context.below) return false
    return await rewrite(context, file, records, settled)
  } finally {
    reader.release()
  }
}

async function liveRecords(file: LogFile): Promise<LiveRecord[]> {
  const lengths = new Map<number, number>()
  await visitLiveRows(file, (row) => lengths.set(row.offset, row.length))
  const records: LiveRecord[] = []
  for (const [offset, length] of lengths) records.push({ offset, length })
  return records.sort((a, b) => a.offset - b.offset)
}

async function rewrite(
  context: CompactionContext,
  file: LogFile,
  records: readonly LiveRecord[],
  settled: Promise<void>,
): Promise<boolean> {
  const { disk } = context
  const temporary = `${logPath(file.number)}.tmp`
  const source = await file.reader.log()
  const target = await disk.open(temporary, 'create')
  const writer = new Rewriter(context, file, target)
  try {
    for (const record of records) {
      if (!(await writer.copy(source, record))) await reportLost(context, file, record)
    }
    await writer.finish()
  } catch (error) {
    await unlinkIfPresent(disk, temporary).catch(() => undefined)
    throw error
  } finally {
    await target.close()
  }
  await settled
  await disk.rename(temporary, logPath(file.number))
  // From here the old generation lives only as the handle that its readers hold.
  file.renewReader(context.pool)
  file.generation += 1
  file.table = writer.table
  file.index = undefined
  file.sizeBytes = writer.position
  file.writtenBytes = writer.position
  await disk.syncDirectory(logFolder)
  await writeIndex(disk, file, context.slicing, () => context.durable())
  return true
}

async function reportLost(context: CompactionContext, file: LogFile, record: LiveRecord): Promise<void> {
  const seqs: number[] = []
  await visitLiveRows(file, (row) => {
    if (row.offset === record.offset) seqs.push(file.baseSeq + row.ordinal)
  })
  for (const seq of seqs) await context.lost(file, seq)
}

class Rewriter {
  readonly table: EntryTable
  position = fileHeaderBytes
  readonly #context: CompactionContext
  readonly #file: LogFile
  readonly #target: DiskFile
  readonly #record = new PublishedReader()
  #number: number
  #batch: Batch

  constructor(context: CompactionContext, file: LogFile, target: DiskFile) {
    this.table = new EntryTable(file.baseSeq)
    this.#context = context
    this.#file = file
    this.#target = target
    this.#number = file.firstBatch
    this.#batch = this.#newBatch()
  }

  /** False when the record is damaged. */
  async copy(source: DiskFile, record: LiveRecord): Promise<boolean> {
    const batch = this.#batch
    batch.reserve(record.length)
    const start = batch.end
    const bytes = batch.buffer.subarray(start, start + record.length)
    const count = await source.read(bytes, record.offset)
    if (count !== record.length || !isSoundRecord(bytes, 0, record.length)) return false
    const offset = this.position + batch.length
    this.#record.open(bytes, recordHeaderBytes, record.length)
    addToTable(this.table, this.#record, { offset, length: record.length })
    batch.end = start + record.length
    batch.recordCount += 1
    if (batch.length >= this.#context.batchBytes) await this.#flush()
    return true
  }

  async finish(): Promise<void> {
    await this.#flush()
    const { number, baseSeq, firstBatch, salt, generation } = this.#file
    const header = { version: formatVersion, number, baseSeq, firstBatch, salt, generation: generation + 1 }
    await this.#target.write([encodeFileHeader(header)], 0)
    await this.#target.sync()
  }

  async #flush(): Promise<void> {
    const batch = this.#batch
    if (!batch.isEmpty) {
      await this.#target.write(batch.finish({ salt: this.#file.salt, syncedThrough: 0 }), this.position)
      this.position += batch.length
      this.#number += 1
    }
    batch.release()
    this.#batch = this.#newBatch()
    await this.#context.slicing.pause()
  }

  #newBatch(): Batch {
    return new Batch({ number: this.#number, position: this.position }, this.#context.chunks)
  }
}
