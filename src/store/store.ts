/**
 * The crash-safe store: one append-only log of all durable facts, which is also where the messages lie.
 *
 * A fact counts for reading at once, and for a restart when its batch is stored. This class puts the parts together: the log's
 * writing end (AppendLog), its reading end (LogReader), the background work (Maintenance) and the folder's lock.
 */
import type { Entry, QueueId } from '../model/entry.ts'
import { StoreError } from '../model/errors.ts'
import type { Definition, Journal, Purge, Recovered, Snapshot } from '../model/record.ts'
import { AppendLog } from './append-log.ts'
import type { Disk, FolderLock } from './disk.ts'
import { delayedSlot } from './entry-table.ts'
import { formatVersion, logFolder, logPath } from './file-format.ts'
import { ReaderPool } from './file-reader.ts'
import type { FolderIdentity } from './folder.ts'
import { checkFolder, createFolder, quarantine, removeTemporaries } from './folder.ts'
import { rebuildTable, unreadable } from './index-files.ts'
import type { StoreLimits } from './limits.ts'
import { defaultStoreLimits } from './limits.ts'
import { LogFile } from './log-file.ts'
import { LogReader } from './log-reader.ts'
import type { EntriesRead } from './log-reader.ts'
import type { StoreState } from './log-writer.ts'
import { Maintenance } from './maintenance.ts'
import type { RecoveredLog } from './recovery.ts'
import { recoverLog } from './recovery.ts'
import type { Scheduler } from './scheduler.ts'
import { nextTurn, nodeScheduler } from './scheduler.ts'
import { SpaceWatch } from './space-watch.ts'
import type { LaneReading, QueueReading, StoreOptions } from './store-options.ts'

export type { StoreState, SyncPolicy } from './log-writer.ts'
export type { LaneReading, QueueReading, StoreOptions } from './store-options.ts'

export class Store implements Journal {
  /** Called once for each batch that is stored, with its number. */
  onSynced: (through: number) => void
  /** Called when the disk fills, has room again, or fails. */
  onState: (state: StoreState, error?: StoreError) => void
  /** Called with what an operator should know: damage found while reading. */
  onWarning: (text: string) => void
  readonly #disk: Disk
  readonly #lock: FolderLock
  readonly #limits: StoreLimits
  readonly #pool: ReaderPool
  readonly #log: AppendLog
  readonly #reader: LogReader
  readonly #maintenance: Maintenance
  readonly #space: SpaceWatch
  #full: boolean
  #closing: Promise<void> | undefined

  /**
   * Opens the folder, or makes it, and brings back what it holds.
   *
   * Throws StoreError: DIRECTORY_LOCKED, DIRECTORY_UNUSABLE, FORMAT_TOO_NEW.
   */
  static async open(
    disk: Disk,
    options: StoreOptions = {},
  ): Promise<{ store: Store; recovered: Recovered; warnings: string[] }> {
    await disk.prepare()
    await checkFolder(disk)
    const lock = await disk.lock()
    try {
      const { identity, warnings } = await openFolder(disk, options.folderId)
      const limits = { ...defaultStoreLimits, ...options.limits }
      const scheduler = options.scheduler ?? nodeScheduler
      const pool = new ReaderPool(disk, limits)
      const slicing = { entries: limits.sliceEntries, pause: () => nextTurn(scheduler) }
      const { maximumBatchBytes } = limits
      const log = await recoverLog({ disk, pool, identity, maximumBatchBytes, slicing })
      const active = await openActive(disk, pool, log)
      const policy = options.sync ?? 'group'
      const parts = { disk, lock, identity, limits, scheduler, pool, recovered: log, active, policy }
      const store = new Store(parts)
      await store.#start()
      return {
        store,
        recovered: log?.recovered ?? nothing,
        warnings: [...warnings, ...(log?.warnings ?? [])],
      }
    } catch (error) {
      await lock.release()
      throw error
    }
  }

  private constructor(parts: {
    disk: Disk
    lock: FolderLock
    identity: FolderIdentity
    limits: StoreLimits
    scheduler: Scheduler
    pool: ReaderPool
    recovered: RecoveredLog | undefined
    active: LogFile
    policy: Exclude<StoreOptions['sync'], undefined>
  }) {
    const { disk, limits, scheduler, recovered } = parts
    this.onSynced = () => undefined
    this.onState = () => undefined
    this.onWarning = () => undefined
    this.#disk = disk
    this.#lock = parts.lock
    this.#limits = limits
    this.#pool = parts.pool
    this.#full = false
    this.#log = new AppendLog({
      ...parts,
      events: {
        done: (through) => this.onSynced(through),
        maintain: () => this.#maintenance.wake(),
        state: (state, error) => this.#stateChanged(state, error),
        warn: (text) => this.onWarning(text),
      },
    })
    const log = this.#log
    const shared = {
      files: log.files,
      purges: log.purges,
      counts: log.counts,
      lost: (file: LogFile, seq: number) => this.#lost(file, seq),
      rebuild: (file: LogFile) => this.#rebuild(file),
    }
    const recoveredThrough = recovered?.recovered.unclean === true ? log.lastSeq : 0
    const afterNextWrite = (): Promise<void> => log.writer.afterNextWrite()
    this.#reader = new LogReader({ ...shared, recoveredThrough, afterNextWrite }, limits)
    this.#maintenance = new Maintenance({
      ...shared,
      disk,
      pool: parts.pool,
      chunks: log.chunks,
      slicing: { entries: limits.sliceEntries, pause: () => nextTurn(scheduler) },
      batchBytes: limits.chunkBytes,
      below: limits.compactBelow,
      scheduler,
      auditStep: limits.auditStep,
      restMs: limits.compactRestMs,
      deadFiles: limits.deadFiles,
      checkpointEarly: () => log.checkpointEarly(),
      newestCheckpoint: () => log.newestCheckpoint,
      durable: () => log.durable(),
      roomMade: () => log.writer.retryNow(),
      warn: (text) => this.onWarning(text),
    })
    this.#space = new SpaceWatch(disk, scheduler, limits, () => this.#reportState())
  }

  /** Where the engine's state for a checkpoint comes from; called once, after the engine has been restored. */
  attach(source: { snapshot(): Snapshot }): void {
    this.#log.source = source
  }

  /** @inheritDoc */
  published(entries: readonly Entry[], supersedes: number): void {
    this.#log.published(entries, supersedes)
  }

  /** An entry that a purge or the deletion of its queue has taken already is passed over. */
  settled(seq: number): void {
    this.#log.settled(seq)
  }

  delivered(seq: number): void {
    this.#log.delivered(seq)
  }

  released(seq: number): void {
    this.#log.released(seq)
  }

  purged(purge: Purge): void {
    this.#log.purged(purge)
  }

  defined(definition: Definition): void {
    this.#log.defined(definition)
  }

  /** The number of the batch that covers everything appended so far. */
  get appended(): number {
    return this.#log.appended
  }

  /** Batches up to this one are stored, as the sync policy has it. */
  get synced(): number {
    return this.#log.synced
  }

  /** Bytes appended and not stored yet: what back-pressure goes by. */
  get pendingBytes(): number {
    return this.#log.pendingBytes
  }

  get state(): StoreState {
    const { state } = this.#log.writer
    return state === 'ok' && this.#space.isLow ? 'full' : state
  }

  /**
   * Resolves when everything appended so far is stored; one promise for all who ask about one batch. Rejects with
   * StoreError STORE_FAILED when it never will be.
   */
  whenSynced(): Promise<void> {
    return this.#log.whenSynced()
  }

  /**
   * Writes what is pending, at once and not synced, so that it outlives the process. Not what goes into a new file while the one
   * before is being synced.
   */
  barrier(): void {
    this.#log.barrier()
  }

  /** Live entries of a lane, ascending; an empty answer says that there are none behind `afterSeq`. */
  readLane(request: LaneReading): Promise<Entry[]> {
    const { queueId, lane, afterSeq, limit, limitBytes } = request
    return this.#reader.readSlot({ queueId, slot: lane, afterSeq, limit, limitBytes })
  }

  /** Those of the entries that are live, ascending. Faster for entries held back when their queue is named. */
  async readEntries(seqs: readonly number[], queueId?: QueueId): Promise<Entry[]> {
    return (await this.#reader.readEntries({ seqs, queueId, limitBytes: Infinity })).entries
  }

  /** The same for the first of them, as many as the bytes of records allow (at least one); `looked` says which those are. */
  readFirst(request: {
    seqs: readonly number[]
    queueId: QueueId
    limitBytes: number
  }): Promise<EntriesRead> {
    return this.#reader.readEntries(request)
  }

  /** A page of a lane, or of what a queue holds back, in the order of sequence numbers. */
  readQueue(request: QueueReading): Promise<Entry[]> {
    const slot = request.state === 'delayed' ? delayedSlot : (request.lane ?? 0)
    const { queueId, afterSeq, limit } = request
    return this.#reader.readSlot({ queueId, slot, afterSeq, limit, limitBytes: this.#limits.browseBytes })
  }

  /** Stores everything and marks the log as closed in good order. Idempotent. Rejects when it could not be stored. */
  close(): Promise<void> {
    return (this.#closing ??= this.#close())
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close()
  }

  /** Resolves when everything is stored and no background work is left. For tests and benchmarks. */
  async whenQuiet(): Promise<void> {
    do {
      this.#log.closeBatch()
      await this.#log.whenQuiet()
      await this.#maintenance.whenIdle()
    } while (!this.#log.writer.isIdle || !this.#maintenance.isIdle)
  }

  invariants(): void {
    this.#log.invariants()
  }

  async #start(): Promise<void> {
    await this.#log.start()
    this.#maintenance.wake()
    this.#space.start()
  }

  async #close(): Promise<void> {
    this.#space.stop()
    this.#log.beginClosing()
    try {
      await this.#maintenance.stop()
      await this.#log.close()
    } finally {
      for (const file of this.#log.files.list) {
        file.reader.retire()
        await file.reader.closed()
      }
      await this.#lock.release()
    }
  }

  async #rebuild(file: LogFile): Promise<void> {
    this.onWarning(`the index of ${logPath(file.number)} is damaged and is made anew`)
    await rebuildTable(file, this.#limits)
    file.renewReader(this.#pool)
    for (const ordinal of unreadable(file)) await this.#lost(file, file.baseSeq + ordinal)
    this.#maintenance.wake()
  }

  async #lost(file: LogFile, seq: number): Promise<void> {
    this.#log.settled(seq)
    await this.#quarantine(file)
    this.onWarning(`a message in ${logPath(file.number)} (number ${seq}) cannot be read and is lost`)
  }

  async #quarantine(file: LogFile): Promise<void> {
    if (file.damaged) return
    file.damaged = true
    const copy = await quarantine(this.#disk, logPath(file.number)).catch(() => undefined)
    const where = copy === undefined ? '' : `; the file as it was is in ${copy}`
    this.onWarning(`${logPath(file.number)} is damaged: what can be read of it goes on${where}`)
  }

  #stateChanged(state: StoreState, error?: StoreError): void {
    if (state !== 'failed') {
      this.#reportState(error)
      return
    }
    this.#log.fail(error)
    this.onState('failed', error)
  }

  /** The disk is full for the broker when a write found it so, or when it nearly is. */
  #reportState(error?: StoreError): void {
    const { state } = this.#log.writer
    if (state === 'failed') return
    const isFull = state === 'full' || this.#space.isLow
    if (isFull === this.#full) return
    this.#full = isFull
    const low = `less than ${this.#limits.lowFreeBytes} bytes are free on the disk: free some space`
    this.onState(isFull ? 'full' : 'ok', isFull ? (error ?? new StoreError('DISK_FULL', low)) : undefined)
  }
}

const nothing: Recovered = { definitions: [], queues: [], nextSeq: 1, nextQueueId: 1, unclean: false }

async function openFolder(
  disk: Disk,
  folderId: string | undefined,
): Promise<{ identity: FolderIdentity; warnings: string[] }> {
  const format = await checkFolder(disk)
  if (format.type === 'ours') {
    await disk.makeDirectory(logFolder)
    await removeTemporaries(disk)
    return { identity: format.identity, warnings: [] }
  }
  const identity = await createFolder(disk, folderId)
  const warnings = format.type === 'damaged' ? ['FORMAT was missing or damaged and has been made anew'] : []
  return { identity, warnings }
}

/** The newest file, with its handle if it is to be written on; a stand-in before the first one. */
async function openActive(disk: Disk, pool: ReaderPool, log: RecoveredLog | undefined): Promise<LogFile> {
  if (log === undefined) {
    const header = { version: formatVersion, number: 0, generation: 0, salt: 0, baseSeq: 1, firstBatch: 0 }
    return new LogFile(header, pool)
  }
  const file = log.state.files.active
  if (!log.canAppend) return file
  file.handle = await disk.open(logPath(file.number), 'write')
  file.renewReader(pool, file.handle)
  return file
}
