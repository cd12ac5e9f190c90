/** Index files on disk: written when a log file is sealed, read when it is opened, made anew when they are no good. */
import { batchHeaderBytes } from './batch.ts'
import { recordType } from './record-codec.ts'
import { PublishedReader } from './record-reader.ts'
import { scanBatches, visitRecords } from './batch-scan.ts'
import type { ScanResult, ScannedBatch } from './batch-scan.ts'
import type { Disk } from './disk.ts'
import { errorCode, replaceWhole } from './disk.ts'
import { EntryTable, delayedSlot, rowFlag } from './entry-table.ts'
import { fileHeaderBytes, indexPath } from './file-format.ts'
import type { LogFile } from './log-file.ts'
import { LiveBits } from './live-bits.ts'
import { buildIndex, decodeIndex, indexHeaderBytes, indexTableEnd } from './slice-index.ts'
import type { SliceIndex } from './slice-index.ts'

export interface Slicing {
  readonly entries: number
  readonly pause: () => Promise<void>
}

/**
 * Writes the index of a file that is written no more; from then on its table is not needed.
 *
 * What has left is not in the index, so it must have left for good: `durable` resolves when everything appended before
 * the call is synced. A crash would otherwise bring back an entry that the index has forgotten.
 */
export async function writeIndex(
  disk: Disk,
  file: LogFile,
  slicing: Slicing,
  durable: () => Promise<void>,
): Promise<void> {
  const table = file.table
  if (table === undefined) return
  const live = new LiveBits(Uint8Array.from(file.live.bytes), file.live.span)
  const settled = durable()
  // Awaited below; a failure before that is not an unhandled one.
  settled.catch(() => undefined)
  const built = await buildIndex(file, { table, live }, slicing)
  await settled
  await replaceWhole(disk, indexPath(file.number), built.buffers)
  if (file.table !== table) return
  file.index = built.index
  file.table = undefined
}

/** Stale: it was written before the log file was rewritten. */
export async function readIndex(
  disk: Disk,
  file: LogFile,
): Promise<SliceIndex | 'missing' | 'stale' | 'damaged'> {
  let handle
  try {
    handle = await disk.open(indexPath(file.number), 'read')
  } catch (error) {
    if (errorCode(error) === 'ENOENT') return 'missing'
    throw error
  }
  try {
    const header = Buffer.alloc(indexHeaderBytes)
    await handle.read(header, 0)
    const end = indexTableEnd(header, file)
    const size = await handle.size()
    if (typeof end === 'string') return end
    if (end > size) return 'damaged'
    const bytes = Buffer.allocUnsafeSlow(end)
    if ((await handle.read(bytes, 0)) !== end) return 'damaged'
    return decodeIndex(bytes) ?? 'damaged'
  } finally {
    await handle.close()
  }
}

/** Makes the table of a sealed file anew by reading the file. */
export async function rebuildTable(
  file: LogFile,
  limits: { maximumBatchBytes: number },
): Promise<ScanResult> {
  const table = new EntryTable(file.baseSeq)
  const handle = await file.reader.log()
  const reader = new PublishedReader()
  const options = { from: fileHeaderBytes, salt: file.salt, firstBatch: 0, wasSynced: true, ...limits }
  const result = await scanBatches(handle, options, (batch) => {
    visitRecords(batch, (type, start, contentStart, end) => {
      if (type !== recordType.published) return
      reader.open(batch.payload, contentStart, end)
      addToTable(table, reader, placeOf(batch, start, end))
    })
  })
  file.table = table
  file.index = undefined
  file.sizeBytes = result.end
  file.writtenBytes = result.end
  return result
}

/** Ordinals of live entries that reading the whole file did not find. */
export function unreadable(file: LogFile): number[] {
  const ordinals: number[] = []
  for (let ordinal = 0; ordinal < file.live.span; ordinal += 1) {
    if (file.live.has(ordinal) && file.table?.has(ordinal) === false) ordinals.push(ordinal)
  }
  return ordinals
}

interface RecordPlace {
  readonly offset: number
  readonly length: number
}

/** Where a record lies in its file. */
export function placeOf(batch: ScannedBatch, start: number, end: number): RecordPlace {
  return { offset: batch.position + batchHeaderBytes + start, length: end - start }
}

/** Adds the entries of a published record to a table; consumes the reader's entries. */
export function addToTable(table: EntryTable, reader: PublishedReader, place: RecordPlace): void {
  // The size of the body comes after the entries, so that the first pass only finds where that is.
  const { offset, length } = place
  const first = reader.firstSeq
  for (let index = 0; index < reader.entryCount; index += 1) reader.nextEntry()
  const { key, bodyBytes } = reader.readKeyAndSize()
  const held = key !== '' && reader.supersedes !== 0 ? rowFlag.heldKey : 0
  reader.rewind()
  for (let index = 0; index < reader.entryCount; index += 1) {
    const facts = reader.nextEntry()
    if (first < table.baseSeq) continue
    const isDelayed = facts.dueAtMs > 0
    const flags = (facts.transient ? rowFlag.transient : 0) | (isDelayed ? held : 0)
    const slot = isDelayed ? delayedSlot : facts.lane
    table.add(facts.seq, facts.queueId, slot, flags, offset, length, bodyBytes, facts.dueAtMs)
  }
}
