/**
 * Reads a log file from front to back, batch by batch, and tells a torn end from damage.
 *
 * A batch that cannot be read is damage when something says that it was once durable: a later batch of the file whose
 * header claims a sync that covers it, or that the file had a successor. Then everything readable around it counts.
 * Otherwise it was never promised to anybody, and the log ends before it.
 */
import type { BatchHeader } from './batch.ts'
import { batchHeaderBytes, batchMagic, readBatchHeader } from './batch.ts'
import type { DiskFile } from './disk.ts'
import type { RecordVisitor } from './record-reader.ts'
import { forEachCheckedRecord, forEachRecord } from './record-reader.ts'

const windowBytes = 4 * 1024 * 1024

export interface ScannedBatch {
  readonly position: number
  readonly header: BatchHeader
  /** Valid during the callback. */
  readonly payload: Buffer
  /** Every record of it has been checked and is sound. */
  readonly isWhole: boolean
}

/** Visits the sound records of a batch. */
export function visitRecords(batch: ScannedBatch, visit: RecordVisitor): void {
  if (batch.isWhole) forEachCheckedRecord(batch.payload, visit)
  else forEachRecord(batch.payload, visit)
}

export interface DamagedRange {
  readonly from: number
  readonly to: number
  /** Records that could not be read, as far as that is known. */
  readonly records: number
}

export interface ScanResult {
  /** The log ends here: what follows in the file was never durable, or is unreadable to the end. */
  readonly end: number
  /** The file's size. */
  readonly size: number
  readonly lastBatch: number
  /** The flags of the last batch. */
  readonly lastFlags: number
  readonly batchCount: number
  readonly damaged: readonly DamagedRange[]
}

export interface ScanOptions {
  readonly from: number
  readonly salt: number
  /** The number that the first batch must have; 0 for any. */
  readonly firstBatch: number
  /** All of the file was synced: it has a successor. */
  readonly wasSynced: boolean
  readonly maximumBatchBytes: number
}

/** Calls back for every batch, also one of which only some records can be read. */
export async function scanBatches(
  file: DiskFile,
  options: ScanOptions,
  visit: (batch: ScannedBatch) => void,
): Promise<ScanResult> {
  const size = await file.size()
  const window = new FileWindow(file, size)
  const damaged: DamagedRange[] = []
  let position = options.from
  let next = options.firstBatch
  let batchCount = 0
  let lastFlags = 0
  while (position < size) {
    const header = await headerAt(window, position, options)
    const found = header !== undefined && header.number >= next ? header : undefined
    const end = found === undefined ? 0 : position + batchHeaderBytes + found.payloadBytes
    const payload =
      found === undefined ? undefined : await window.at(position + batchHeaderBytes, found.payloadBytes)
    const unread = found === undefined || payload === undefined ? -1 : unreadRecords(payload, found)
    if (unread !== 0) {
      const isDamage = options.wasSynced || (await isCovered(window, position, next, options))
      if (!isDamage) break
      const to = payload !== undefined ? end : await nextHeader(window, position + 1, next, options)
      damaged.push({ from: position, to, records: unread > 0 ? unread : 0 })
    }
    if (found === undefined || payload === undefined) {
      position = damaged.at(-1)!.to
      continue
    }
    visit({ position, header: found, payload, isWhole: unread === 0 })
    batchCount += 1
    lastFlags = found.flags
    next = found.number + 1
    position = end
  }
  return { end: position, size, lastBatch: next - 1, lastFlags, batchCount, damaged }
}

function unreadRecords(payload: Buffer, header: BatchHeader): number {
  const { sound, isWhole } = forEachRecord(payload, () => undefined)
  return isWhole && sound === header.recordCount ? 0 : Math.max(1, header.recordCount - sound)
}

/** The first batch of a file when it is whole; undefined otherwise. */
export async function readFirstBatch(
  file: DiskFile,
  options: ScanOptions,
): Promise<{ flags: number; payload: Buffer } | undefined> {
  const window = new FileWindow(file, await file.size())
  const header = await headerAt(window, options.from, options)
  if (header === undefined) return undefined
  const payload = await window.at(options.from + batchHeaderBytes, header.payloadBytes)
  if (payload === undefined || unreadRecords(payload, header) !== 0) return undefined
  return { flags: header.flags, payload }
}

async function headerAt(
  window: FileWindow,
  position: number,
  options: ScanOptions,
): Promise<BatchHeader | undefined> {
  const bytes = await window.at(position, batchHeaderBytes)
  if (bytes === undefined) return undefined
  const header = readBatchHeader(bytes, 0, options.salt)
  if (header === undefined || header.payloadBytes > options.maximumBatchBytes) return undefined
  return position + batchHeaderBytes + header.payloadBytes <= window.size ? header : undefined
}

/**
 * Whether a later header says that the batch with this number was synced. Where the file's header is lost the number is 0: then
 * it is the one before the next batch that can be found.
 */
async function isCovered(
  window: FileWindow,
  position: number,
  number: number,
  options: ScanOptions,
): Promise<boolean> {
  let bad = number
  for (let at = position + 1; ; at += 1) {
    at = await nextHeader(window, at, number, options)
    if (at >= window.size) return false
    const header = await headerAt(window, at, options)
    if (header === undefined) continue
    if (bad === 0) bad = header.number - 1
    if (header.number > bad && header.syncedThrough >= bad) return true
  }
}

/** The place of the next sound header whose number is not below this one; the file's size for none. */
async function nextHeader(
  window: FileWindow,
  from: number,
  number: number,
  options: ScanOptions,
): Promise<number> {
  const pattern = Buffer.alloc(4)
  pattern.writeUInt32LE(batchMagic, 0)
  let position = from
  while (position + batchHeaderBytes <= window.size) {
    const bytes = (await window.at(position, Math.min(windowBytes, window.size - position)))!
    let offset = bytes.indexOf(pattern)
    while (offset >= 0) {
      const header = await headerAt(window, position + offset, options)
      if (header !== undefined && header.number >= number) return position + offset
      offset = bytes.indexOf(pattern, offset + 1)
    }
    position += bytes.length - pattern.length + 1
    if (bytes.length < windowBytes) break
  }
  return window.size
}

/** A file read through a buffer. What `at` returns stays as it is until two calls later. */
class FileWindow {
  readonly size: number
  readonly #file: DiskFile
  #buffer = Buffer.alloc(0)
  #start = 0

  constructor(file: DiskFile, size: number) {
    this.#file = file
    this.size = size
  }

  /** Undefined beyond the end. */
  async at(position: number, length: number): Promise<Buffer | undefined> {
    if (position + length > this.size) return undefined
    const offset = position - this.#start
    if (offset >= 0 && offset + length <= this.#buffer.length)
      return this.#buffer.subarray(offset, offset + length)
    const wanted = Math.min(Math.max(length, windowBytes), this.size - position)
    const buffer = Buffer.allocUnsafeSlow(wanted)
    const count = await this.#file.read(buffer, position)
    if (count < length) return undefined
    this.#buffer = buffer.subarray(0, count)
    this.#start = position
    return this.#buffer.subarray(0, length)
  }
}
