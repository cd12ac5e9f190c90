/**
 * What `millrace doctor` knows: `examine` looks at a folder and changes nothing, `repair` makes one of it that opens without
 * a complaint. Both work offline: on a folder that no process holds.
 */
import { StoreError } from '../model/errors.ts'
import type { DamagedRange, ScanResult } from './batch-scan.ts'
import { scanBatches, visitRecords } from './batch-scan.ts'
import type { Disk } from './disk.ts'
import { unlinkIfPresent } from './disk.ts'
import { indexPath, logFolder, logPath } from './file-format.ts'
import { DamagedIndexError, ReaderPool } from './file-reader.ts'
import type { FoundFile } from './found-files.ts'
import { findFiles, scanOptionsOf, withFile } from './found-files.ts'
import type { FolderIdentity } from './folder.ts'
import { checkFolder, createFolder, quarantine } from './folder.ts'
import { readIndex } from './index-files.ts'
import type { StoreLimits } from './limits.ts'
import { defaultStoreLimits } from './limits.ts'
import { LogFile } from './log-file.ts'
import { recordType } from './record-codec.ts'
import { PublishedReader } from './record-reader.ts'
import { recoverLog } from './recovery.ts'
import type { RecoveredLog } from './recovery.ts'
import { salvageFile } from './salvage.ts'
import { ScratchDisk } from './scratch-disk.ts'
import { Store } from './store.ts'

/** `error`: something is lost. `warning`: damage that loses nothing. `note`: normal after a crash. */
type Severity = 'error' | 'warning' | 'note'

interface Problem {
  readonly severity: Severity
  /** The file it is in, relative to the folder; '' for the folder itself. */
  readonly file: string
  readonly text: string
}

interface FileReport {
  readonly name: string
  readonly bytes: number
  readonly generation: number
  readonly batches: number
  readonly records: number
  /** Entries published in it, and how many of them are still in their queues. */
  readonly entries: number
  readonly live: number
  readonly damaged: readonly DamagedRange[]
  /** `none` for a file that does not need one yet. */
  readonly index: 'ok' | 'missing' | 'stale' | 'damaged' | 'none'
}

export interface QueueReport {
  readonly id: number
  readonly vhost: string
  readonly name: string
  readonly ready: number
  readonly delayed: number
  readonly bodyBytes: number
}

export interface Examination {
  readonly path: string
  /** Who holds the folder; then nothing was examined. */
  readonly lockedBy: string | undefined
  readonly files: readonly FileReport[]
  readonly queues: readonly QueueReport[]
  readonly problems: readonly Problem[]
  /** Opening the folder loses nothing and has nothing to mend. */
  readonly isHealthy: boolean
}

export interface DoctorOptions {
  /** Called before each file. */
  readonly onProgress?: (progress: { file: string; done: number; total: number }) => void
  readonly limits?: Partial<StoreLimits>
}

interface Repair {
  /** What was done, in words. */
  readonly actions: readonly string[]
  /** The folder afterwards. */
  readonly examination: Examination
}

/**
 * Reads everything in the folder. Throws StoreError DIRECTORY_UNUSABLE (not ours), FORMAT_TOO_NEW.
 */
export async function examine(disk: Disk, options: DoctorOptions = {}): Promise<Examination> {
  const lockedBy = await disk.lockHolder()
  const format = await checkFolder(disk)
  if (lockedBy !== undefined) return report(disk, { lockedBy })
  const problems: Problem[] = []
  if (format.type === 'damaged')
    problems.push({ severity: 'warning', file: 'FORMAT', text: 'it is missing or damaged' })
  const identity: FolderIdentity = format.type === 'ours' ? format.identity : { id: '' }
  const limits = { ...defaultStoreLimits, ...options.limits }
  const log = await rehearse(disk, identity, limits, problems)
  const found = await findFiles({ disk, identity })
  const files: FileReport[] = []
  for (const [place, file] of found.entries()) {
    const name = logPath(file.number)
    options.onProgress?.({ file: name, done: place, total: found.length })
    const isNewest = place === found.length - 1
    files.push(await examineFile(disk, { file, isNewest, log, limits }, problems))
  }
  return report(disk, { files, problems, queues: queuesOf(log) })
}

function report(disk: Disk, facts: Partial<Examination>): Examination {
  const problems = facts.problems ?? []
  return {
    path: disk.path,
    lockedBy: facts.lockedBy,
    files: facts.files ?? [],
    queues: facts.queues ?? [],
    problems,
    isHealthy: facts.lockedBy === undefined && problems.every((problem) => problem.severity === 'note'),
  }
}

/** Opens the log as a store would, on a disk that forgets; what it complains of are problems. */
async function rehearse(
  disk: Disk,
  identity: FolderIdentity,
  limits: StoreLimits,
  problems: Problem[],
): Promise<RecoveredLog | undefined> {
  const scratch = new ScratchDisk(disk)
  const log = await recoverLog({
    disk: scratch,
    pool: new ReaderPool(scratch, limits),
    identity,
    maximumBatchBytes: limits.maximumBatchBytes,
    slicing: { entries: limits.sliceEntries, pause: () => Promise.resolve() },
  })
  for (const text of log?.warnings ?? []) {
    const file = /log\/\d{10}\.(?:log|idx)/.exec(text)?.[0] ?? ''
    const isTorn = text.includes('not written completely')
    const isMended = text.includes('made anew') || text.includes('mended')
    problems.push({
      severity: isTorn ? 'note' : isMended ? 'warning' : 'error',
      file,
      text: `at its opening: ${text}`,
    })
  }
  for (const file of log?.state.files.list ?? []) file.reader.retire()
  return log
}

async function examineFile(
  disk: Disk,
  facts: { file: FoundFile; isNewest: boolean; log: RecoveredLog | undefined; limits: StoreLimits },
  problems: Problem[],
): Promise<FileReport> {
  const { file, isNewest, log, limits } = facts
  const name = logPath(file.number)
  let records = 0
  let entries = 0
  const reader = new PublishedReader()
  const scanned = await withFile(disk, file.number, (handle) =>
    scanBatches(handle, scanOptionsOf(file, { ...limits, wasSynced: !isNewest }), (batch) => {
      visitRecords(batch, (type, _start, contentStart, end) => {
        records += 1
        if (type !== recordType.published) return
        reader.open(batch.payload, contentStart, end)
        entries += reader.entryCount
      })
    }),
  )
  addFileProblems(name, { file, scanned }, problems)
  const live = log?.state.files.list.find((other) => other.number === file.number)?.live.count ?? 0
  const index = isNewest ? 'none' : await examineIndex(disk, { file, live, limits }, problems)
  return {
    name,
    bytes: file.size,
    generation: file.header.generation,
    batches: scanned.batchCount,
    records,
    entries,
    live,
    damaged: scanned.damaged,
    index,
  }
}

function addFileProblems(
  name: string,
  facts: { file: FoundFile; scanned: ScanResult },
  problems: Problem[],
): void {
  const { file, scanned } = facts
  if (!file.isHeaderSound) problems.push({ severity: 'warning', file: name, text: 'its header is damaged' })
  for (const range of scanned.damaged) {
    const text = `bytes ${range.from} to ${range.to} are damaged: at least ${Math.max(1, range.records)} records cannot be read`
    problems.push({ severity: 'error', file: name, text })
  }
  const torn = scanned.size - scanned.end
  if (torn > 0) {
    problems.push({
      severity: 'note',
      file: name,
      text: `its last ${torn} bytes were not written completely`,
    })
  }
}

/** Checks every row of the index, not only its table. */
async function examineIndex(
  disk: Disk,
  facts: { file: FoundFile; live: number; limits: StoreLimits },
  problems: Problem[],
): Promise<FileReport['index']> {
  const { file, live, limits } = facts
  const name = indexPath(file.number)
  const pool = new ReaderPool(disk, limits)
  const log = new LogFile(file.header, pool)
  const index = await readIndex(disk, log)
  if (typeof index === 'string') {
    if (live === 0 && index === 'missing') return 'none'
    if (index === 'damaged')
      problems.push({ severity: 'warning', file: name, text: 'it is damaged; it can be made anew' })
    else
      problems.push({
        severity: 'note',
        file: name,
        text: `it is ${index}; it is made anew at the next opening`,
      })
    return index
  }
  try {
    for (const slice of index.all()) await log.reader.rows(slice)
    return 'ok'
  } catch (error) {
    if (!(error instanceof DamagedIndexError)) throw error
    problems.push({ severity: 'warning', file: name, text: 'its rows are damaged; it can be made anew' })
    return 'damaged'
  } finally {
    log.reader.retire()
    await log.reader.closed()
  }
}

function queuesOf(log: RecoveredLog | undefined): QueueReport[] {
  const queues: QueueReport[] = []
  for (const queue of log?.recovered.queues ?? []) {
    const name = log?.state.definitions.queueName(queue.queueId)
    let ready = 0
    let { bodyBytes } = queue.delayed
    for (const lane of queue.lanes) {
      ready += lane.count
      bodyBytes += lane.bodyBytes
    }
    const delayed = queue.delayed.seqs.length
    queues.push({
      id: queue.queueId,
      vhost: name?.vhost ?? '',
      name: name?.name ?? '',
      ready,
      delayed,
      bodyBytes,
    })
  }
  return queues
}

/**
 * Copies what is damaged to quarantine/, rewrites what of it can be read, and opens the store once, so that a new
 * checkpoint is there.
 *
 * Throws StoreError DIRECTORY_LOCKED, DIRECTORY_UNUSABLE, FORMAT_TOO_NEW.
 */
export async function repair(disk: Disk, options: DoctorOptions = {}): Promise<Repair> {
  const actions: string[] = []
  const limits = { ...defaultStoreLimits, ...options.limits }
  const format = await checkFolder(disk)
  if (format.type === 'missing') {
    throw new StoreError(
      'DIRECTORY_UNUSABLE',
      `${disk.path} is not a Millrace folder: there is nothing to repair`,
    )
  }
  const lock = await disk.lock()
  try {
    const identity = format.type === 'ours' ? format.identity : await createFolder(disk)
    if (format.type === 'damaged') actions.push('FORMAT was made anew')
    const found = await findFiles({ disk, identity })
    for (const [place, file] of found.entries()) {
      options.onProgress?.({ file: logPath(file.number), done: place, total: found.length })
      const isNewest = place === found.length - 1
      await repairFile(disk, { file, isNewest, limits }, actions)
    }
    await disk.syncDirectory(logFolder)
  } finally {
    await lock.release()
  }
  const opened = await Store.open(disk, { limits: limits })
  actions.push(...opened.warnings)
  await opened.store.whenQuiet()
  await opened.store.close()
  return { actions, examination: await examine(disk, options) }
}

async function repairFile(
  disk: Disk,
  facts: { file: FoundFile; isNewest: boolean; limits: StoreLimits },
  actions: string[],
): Promise<void> {
  const { file, isNewest, limits } = facts
  const scanned = await withFile(disk, file.number, (handle) =>
    scanBatches(handle, scanOptionsOf(file, { ...limits, wasSynced: !isNewest }), () => undefined),
  )
  if (scanned.damaged.length > 0) {
    const copy = await quarantine(disk, logPath(file.number))
    await salvageFile(disk, file, limits)
    await unlinkIfPresent(disk, indexPath(file.number))
    actions.push(
      `${logPath(file.number)} was rewritten without what cannot be read; as it was it is in ${copy}`,
    )
    return
  }
  const log = new LogFile(file.header, new ReaderPool(disk, limits))
  if ((await readIndex(disk, log)) === 'damaged' || !(await hasSoundRows(disk, log))) {
    await unlinkIfPresent(disk, indexPath(file.number))
    actions.push(`${indexPath(file.number)} was damaged and has been removed: it is made anew`)
  }
  log.reader.retire()
  await log.reader.closed()
}

async function hasSoundRows(disk: Disk, log: LogFile): Promise<boolean> {
  const index = await readIndex(disk, log)
  if (typeof index === 'string') return true
  try {
    for (const slice of index.all()) await log.reader.rows(slice)
    return true
  } catch (error) {
    if (error instanceof DamagedIndexError) return false
    throw error
  }
}
