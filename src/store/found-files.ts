/** The log files of a folder as they are found: what their headers say, and their checkpoints. */
import { StoreError } from '../model/errors.ts'
import { readFirstBatch, scanBatches, visitRecords } from './batch-scan.ts'
import type { ScanOptions } from './batch-scan.ts'
import { checkpointFlag } from './batch.ts'
import type { Disk, DiskFile } from './disk.ts'
import type { FileHeader } from './file-format.ts'
import { decodeFileHeader, fileHeaderBytes, formatVersion, logPath } from './file-format.ts'
import { logNumbers, saltOf } from './folder.ts'
import type { FolderIdentity } from './folder.ts'
import { recordType } from './record-codec.ts'
import { PublishedReader } from './record-reader.ts'

export interface FoundFile {
  readonly number: number
  readonly size: number
  /** What the header says, or where it is damaged what can be known without it. */
  readonly header: FileHeader
  readonly isHeaderSound: boolean
}

/** Those with anything in them, ascending. Throws StoreError FORMAT_TOO_NEW. */
export async function findFiles(context: { disk: Disk; identity: FolderIdentity }): Promise<FoundFile[]> {
  const { disk, identity } = context
  const found: FoundFile[] = []
  for (const number of await logNumbers(disk)) {
    await withFile(disk, number, async (file) => {
      const size = await file.size()
      if (size === 0) return
      const bytes = Buffer.alloc(fileHeaderBytes)
      await file.read(bytes, 0)
      const header = decodeFileHeader(bytes)
      if (header !== undefined && header.version > formatVersion) throw tooNew(disk, number, header.version)
      const salt = saltOf(identity, number)
      const guess = { version: formatVersion, number, generation: 0, salt, baseSeq: 0, firstBatch: 0 }
      if (header?.number === number) found.push({ number, size, header, isHeaderSound: true })
      else found.push({ number, size, header: guess, isHeaderSound: false })
    })
  }
  return found
}

export function scanOptionsOf(
  file: FoundFile,
  context: { maximumBatchBytes: number; wasSynced: boolean },
): ScanOptions {
  return {
    from: fileHeaderBytes,
    salt: file.header.salt,
    firstBatch: file.header.firstBatch,
    wasSynced: context.wasSynced,
    maximumBatchBytes: context.maximumBatchBytes,
  }
}

/** The payload of the file's checkpoint; undefined when it is not whole. */
export async function readCheckpoint(
  disk: Disk,
  file: FoundFile,
  limits: { maximumBatchBytes: number },
): Promise<Buffer | undefined> {
  return await withFile(disk, file.number, async (handle) => {
    const first = await readFirstBatch(handle, scanOptionsOf(file, { ...limits, wasSynced: false }))
    return first !== undefined && (first.flags & checkpointFlag) !== 0 ? first.payload : undefined
  })
}

/** The lowest sequence number in a file whose header is lost. */
export async function firstSeqOf(
  disk: Disk,
  file: FoundFile,
  limits: { maximumBatchBytes: number },
): Promise<number> {
  const reader = new PublishedReader()
  let lowest = Infinity
  await withFile(disk, file.number, async (handle) => {
    await scanBatches(handle, scanOptionsOf(file, { ...limits, wasSynced: true }), (batch) => {
      visitRecords(batch, (type, _start, contentStart, end) => {
        if (type !== recordType.published) return
        reader.open(batch.payload, contentStart, end)
        lowest = Math.min(lowest, reader.firstSeq)
      })
    })
  })
  return lowest === Infinity ? 1 : lowest
}

export async function withFile<T>(
  disk: Disk,
  number: number,
  action: (file: DiskFile) => Promise<T>,
): Promise<T> {
  const file = await disk.open(logPath(number), 'read')
  try {
    return await action(file)
  } finally {
    await file.close()
  }
}

function tooNew(disk: Disk, number: number, version: number): StoreError {
  return new StoreError(
    'FORMAT_TOO_NEW',
    `${logPath(number)} in ${disk.path} was written by a newer Millrace (format ${version}, this one reads ${formatVersion}): upgrade Millrace or use another folder`,
  )
}
