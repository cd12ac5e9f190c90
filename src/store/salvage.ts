/**
 * Rewrites a damaged log file with what can be read of it. Whole batches stay as they are, byte for byte; of a damaged one the
 * sound records go into a batch of the same number. A checkpoint that is not whole is none any more.
 */
import { Batch, batchHeaderBytes, checkpointFlag } from './batch.ts'
import { scanBatches, visitRecords } from './batch-scan.ts'
import type { ScannedBatch } from './batch-scan.ts'
import { ChunkPool } from './chunk-pool.ts'
import type { Disk, DiskFile } from './disk.ts'
import { encodeFileHeader, fileHeaderBytes, logFolder, logPath } from './file-format.ts'
import type { FoundFile } from './found-files.ts'
import { scanOptionsOf, withFile } from './found-files.ts'
import type { StoreLimits } from './limits.ts'

/** The file's header must be sound, or what it must have been. */
export async function salvageFile(disk: Disk, file: FoundFile, limits: StoreLimits): Promise<void> {
  const temporary = `${logPath(file.number)}.tmp`
  const target = await disk.open(temporary, 'create')
  try {
    const pool = new ChunkPool(limits.chunkBytes, 1)
    let position = fileHeaderBytes
    await target.write([encodeFileHeader(file.header)], 0)
    await withFile(disk, file.number, async (source) => {
      for (const batch of await listBatches(source, file, limits)) {
        const buffers = await rebuilt(source, batch, { file, position, pool })
        await target.write(buffers, position)
        for (const buffer of buffers) position += buffer.length
      }
    })
    await target.sync()
  } finally {
    await target.close()
  }
  await disk.rename(temporary, logPath(file.number))
  await disk.syncDirectory(logFolder)
}

interface Readable {
  readonly position: number
  readonly length: number
  readonly isWhole: boolean
  readonly number: number
  readonly flags: number
  readonly syncedThrough: number
  /** Of a damaged batch: where its sound records are in the file. */
  readonly records: readonly { readonly position: number; readonly length: number }[]
}

async function listBatches(source: DiskFile, file: FoundFile, limits: StoreLimits): Promise<Readable[]> {
  const batches: Readable[] = []
  await scanBatches(source, scanOptionsOf(file, { ...limits, wasSynced: true }), (batch) => {
    batches.push(readableOf(batch))
  })
  return batches
}

function readableOf(batch: ScannedBatch): Readable {
  const { position, header, isWhole, payload } = batch
  const payloadStart = position + batchHeaderBytes
  const records: { position: number; length: number }[] = []
  if (!isWhole) {
    visitRecords(batch, (_type, start, _contentStart, end) => {
      records.push({ position: payloadStart + start, length: end - start })
    })
  }
  const { number, flags, syncedThrough } = header
  return {
    position,
    length: batchHeaderBytes + payload.length,
    isWhole,
    number,
    flags,
    syncedThrough,
    records,
  }
}

async function rebuilt(
  source: DiskFile,
  batch: Readable,
  target: { file: FoundFile; position: number; pool: ChunkPool },
): Promise<Uint8Array[]> {
  if (batch.isWhole) {
    const bytes = Buffer.allocUnsafeSlow(batch.length)
    await source.read(bytes, batch.position)
    return [bytes]
  }
  const fresh = new Batch({ number: batch.number, position: target.position }, target.pool)
  for (const record of batch.records) {
    fresh.reserve(record.length)
    await source.read(fresh.buffer.subarray(fresh.end, fresh.end + record.length), record.position)
    fresh.end += record.length
    fresh.recordCount += 1
  }
  fresh.flags = batch.flags & ~checkpointFlag
  return fresh.finish({ salt: target.file.header.salt, syncedThrough: batch.syncedThrough })
}
