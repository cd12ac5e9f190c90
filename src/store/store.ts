/**
 * The crash-safe store: one append-only log of all durable facts, which is also where the messages lie.
 *
 * ```text
 * engine -> published, settled, ... -> gathering batch --end of turn--> LogWriter: one write, one sync -> onSynced
 *                                   -> live bits and tables (LogFile), read back by LogReader
 *                    batch fills the file -> checkpoint opens the next one -> Maintenance: index, compact, delete
 * ```
 * A fact counts for reading at once and for a restart when its batch is synced. All facts of one synchronous call, and
 * of one turn as far as it fits, share a batch.
 */
import type { Entry, Lane, QueueId } from '../model/entry.ts'
import { StoreError } from '../model/errors.ts'
import type { Definition, Journal, Purge, Recovered, Snapshot } from '../model/record.ts'
import { assert } from '../std/assert.ts'
import { Batch, cleanFlag } from './batch.ts'
import type { EncodedDefinitions } from './checkpoint.ts'
import { encodeCheckpoint, encodeDefinition, encodeDefinitions } from './checkpoint.ts'
import { ChunkPool } from './chunk-pool.ts'
import type { Disk, DiskFile, FolderLock } from './disk.ts'
import { delayedSlot, rowFlag } from './entry-table.ts'
import { encodeFileHeader, fileHeaderBytes, formatVersion, logFolder, logPath } from './file-format.ts'
import { ReaderPool } from './file-reader.ts'
import type { FolderIdentity } from './folder.ts'
import { checkFolder, createFolder, quarantine, removeTemporaries, saltOf } from './folder.ts'
import { rebuildTable } from './index-files.ts'
import type { StoreLimits } from './limits.ts'
import { defaultStoreLimits } from './limits.ts'
import { LogFile, LogFiles, readerOf } from './log-file.ts'
import { LogReader } from './log-reader.ts'
import type { StoreState, SyncPolicy } from './log-writer.ts'
import { LogWriter } from './log-writer.ts'
import { Maintenance } from './maintenance.ts'
import { Purges } from './purges.ts'
import { encodeBytes, encodePublished, encodePurge, encodeSeqs, recordType } from './record-codec.ts'
import type { RecoveredLog } from './recovery.ts'
import { recoverLog } from './recovery.ts'
import type { Scheduler } from './scheduler.ts'
import { nextTurn, nodeScheduler } from './scheduler.ts'
import { SeqList } from './seq-list.ts'
import { SpaceWatch } from './space-watch.ts'

export type { StoreState, SyncPolicy } from './log-writer.ts'

export interface StoreOptions {
  /**
   * When a fact counts as stored. `group` (default): once synced. An interval: once written, which outlives the process,
   * and synced every so many ms, which is what a power cut can cost. `os`: once written.
   */
  readonly sync?: SyncPolicy
  readonly limits?: Partial<StoreLimits>
  readonly scheduler?: Scheduler
  /** The id of a new folder; random if absent. */
  readonly folderId?: string
}

export interface LaneReading {
  readonly queueId: QueueId
  readonly lane: Lane
  /** Entries behind this sequence number. */
  readonly afterSeq: number
  readonly limit: number
  /** Body bytes at most, but always one entry where there is one. */
  readonly limitBytes: number
}

export interface QueueReading {
  readonly queueId: QueueId
  readonly state: 'ready' | 'delayed'
  /** For `ready`; 0 if absent. */
  readonly lane?: Lane
  readonly afterSeq: number
  readonly limit: number
}

export class Store implements Journal {
  /** Called once for each batch that is stored. */
  onSynced: (through: number) => void
  /** Called when the disk fills, has room again, or fails. */
  onState: (state: StoreState, error?: StoreError) => void
  /** Called with what an operator should know: damage found while reading. */
  onWarning: (text: string) => void
  readonly #disk: Disk
  readonly #lock: FolderLock
  readonly #identity: FolderIdentity
  readonly #limits: StoreLimits
  readonly #scheduler: Scheduler
  readonly #chunks: ChunkPool
  readonly #readers: ReaderPool
  readonly #files: LogFiles
  readonly #counts: Map<number, number>
  readonly #purges = new Purges()
  readonly #writer: LogWriter
  readonly #reader: LogReader
  readonly #maintenance: Maintenance
  readonly #space: SpaceWatch
  #source: { snapshot(): Snapshot } | undefined
  #definitions: EncodedDefinitions | undefined
  #active: LogFile
  #gathering: Batch
  #lastClosed: Batch | undefined
  #lastSeq: number
  #nextQueueId: number
  #synced: number
  /** An empty file for the next rotation, made ahead of time. */
  #spare: { readonly number: number; readonly handle: DiskFile } | undefined
  #making: Promise<void> | undefined
  #newestCheckpoint: number
  #turnScheduled = false
  #soonScheduled = false
  #full = false
  #closing: Promise<void> | undefined
  readonly #onTurnEnd: () => void
  readonly #onSoon: () => void

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
      const log = await recoverLog({
        disk,
        pool,
        identity,
        maximumBatchBytes: limits.maximumBatchBytes,
        slicing: { entries: limits.sliceEntries, pause: () => nextTurn(scheduler) },
      })
      const start = await firstFile(disk, { pool, identity, log })
      const store = new Store({
        disk,
        lock,
        identity,
        limits,
        scheduler,
        pool,
        log,
        start,
        policy: options.sync,
      })
      await store.#start(log)
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

  private constructor(facts: {
    disk: Disk
    lock: FolderLock
    identity: FolderIdentity
    limits: StoreLimits
    scheduler: Scheduler
    pool: ReaderPool
    log: RecoveredLog | undefined
    start: LogFile
    policy: SyncPolicy | undefined
  }) {
    const { disk, limits, scheduler, log } = facts
    this.onSynced = () => undefined
    this.onState = () => undefined
    this.onWarning = () => undefined
    this.#disk = disk
    this.#lock = facts.lock
    this.#identity = facts.identity
    this.#limits = limits
    this.#scheduler = scheduler
    this.#chunks = new ChunkPool(limits.chunkBytes, limits.pooledChunks)
    this.#readers = facts.pool
    this.#files = log?.state.files ?? new LogFiles()
    this.#counts = log?.state.counts ?? new Map<number, number>()
    this.#active = facts.start
    this.#lastSeq = log?.state.lastSeq ?? 0
    this.#nextQueueId = log?.state.nextQueueId ?? 1
    this.#definitions = encodeDefinitions(log?.recovered.definitions ?? [])
    const lastBatch = log?.lastBatch ?? 0
    this.#synced = lastBatch
    this.#newestCheckpoint = this.#active.number
    this.#writer = new LogWriter({
      lastBatch,
      policy: facts.policy ?? 'group',
      scheduler,
      fullRetryMs: limits.fullRetryMs,
      events: {
        done: (through) => this.#done(through),
        checkpointed: (file) => this.#checkpointed(file),
        idle: () => this.#closeBatch(),
        state: (state, error) => this.#stateChanged(state, error),
      },
    })
    this.#reader = new LogReader(
      {
        files: this.#files,
        purges: this.#purges,
        counts: this.#counts,
        recoveredThrough: log?.recovered.unclean === true ? this.#lastSeq : 0,
        afterNextWrite: () => this.#writer.afterNextWrite(),
        lost: (file, seq) => this.#lost(file, seq),
        rebuild: (file) => this.#rebuild(file),
      },
      limits,
    )
    const slicing = { entries: limits.sliceEntries, pause: () => nextTurn(scheduler) }
    this.#maintenance = new Maintenance({
      disk,
      pool: facts.pool,
      chunks: this.#chunks,
      slicing,
      batchBytes: limits.chunkBytes,
      below: limits.compactBelow,
      auditStep: limits.auditStep,
      files: this.#files,
      purges: this.#purges,
      newestCheckpoint: () => this.#newestCheckpoint,
      rebuild: (file) => this.#rebuild(file),
      lost: (file, seq) => this.#lost(file, seq),
      roomMade: () => this.#writer.retryNow(),
      warn: (text) => this.onWarning(text),
    })
    this.#space = new SpaceWatch(disk, scheduler, limits, () => this.#reportState())
    this.#gathering = new Batch({ number: lastBatch + 1, position: this.#active.sizeBytes }, this.#chunks)
    this.#onTurnEnd = () => {
      this.#turnScheduled = false
      if (this.#writer.isIdle || this.#gathering.length >= limits.batchBytes) this.#closeBatch()
    }
    this.#onSoon = () => {
      this.#soonScheduled = false
      if (this.#writer.isIdle) this.#closeBatch()
    }
  }

  /** Where the engine's state for a checkpoint comes from; called once, after the engine has been restored. */
  attach(source: { snapshot(): Snapshot }): void {
    this.#source = source
  }

  // --- Journal ------------------------------------------------------------------------------------------------------

  published(entries: readonly Entry[], supersedes: number): void {
    const batch = this.#gathering
    const file = this.#active
    const start = batch.length
    encodePublished(batch, entries, supersedes)
    const offset = batch.position + start
    const length = batch.length - start
    const table = file.table!
    for (let index = 0; index < entries.length; index += 1) {
      const entry = entries[index]!
      const { seq, dueAtMs, queueId } = entry
      assert(seq >= file.baseSeq, 'entries are published in the order of their numbers')
      const isDelayed = dueAtMs > 0
      const held = isDelayed && supersedes !== 0 && entry.key !== '' ? rowFlag.heldKey : 0
      const flags = (entry.transient ? rowFlag.transient : 0) | held
      const slot = isDelayed ? delayedSlot : entry.lane
      table.add(seq, queueId, slot, flags, offset, length, entry.bodyBytes, dueAtMs)
      file.live.set(seq - file.baseSeq)
      if (seq > this.#lastSeq) this.#lastSeq = seq
      if (queueId >= this.#nextQueueId) this.#nextQueueId = queueId + 1
    }
    if (supersedes !== 0) this.#leave(supersedes)
    this.#touched(batch)
  }

  settled(seq: number): void {
    if (!this.#leave(seq)) return
    this.#gathering.settled.push(seq)
    this.#touched(this.#gathering)
  }

  delivered(seq: number): void {
    this.#counts.set(seq, (this.#counts.get(seq) ?? 0) + 1)
    this.#gathering.delivered.push(seq)
    this.#touched(this.#gathering)
  }

  released(seq: number): void {
    const count = (this.#counts.get(seq) ?? 0) - 1
    if (count === 0) this.#counts.delete(seq)
    else this.#counts.set(seq, count)
    this.#gathering.released.push(seq)
    this.#touched(this.#gathering)
  }

  purged(purge: Purge): void {
    const through = Math.min(purge.throughSeq, this.#lastSeq)
    const kept = { ...purge, throughSeq: through, survivors: [...purge.survivors] }
    encodePurge(this.#gathering, kept)
    this.#beginPurge(kept)
  }

  defined(definition: Definition): void {
    encodeBytes(this.#gathering, recordType.defined, encodeDefinition(definition))
    this.#definitions = undefined
    if (definition.type === 'queue.declared' && definition.id >= this.#nextQueueId) {
      this.#nextQueueId = definition.id + 1
    }
    if (definition.type === 'queue.deleted') {
      this.#beginPurge({ queueId: definition.id, throughSeq: this.#lastSeq, state: 'all', survivors: [] })
    }
    this.#touched(this.#gathering)
  }

  // --- Durability ---------------------------------------------------------------------------------------------------

  /** The batch that covers everything appended so far. */
  get appended(): number {
    return this.#gathering.isEmpty ? this.#gathering.number - 1 : this.#gathering.number
  }

  /** Batches up to this one are stored as the policy says. */
  get synced(): number {
    return this.#synced
  }

  /** Bytes appended and not stored yet: what back-pressure goes by. */
  get pendingBytes(): number {
    return this.#writer.pendingBytes + (this.#gathering.isEmpty ? 0 : this.#gathering.length)
  }

  get state(): StoreState {
    return this.#writer.state === 'ok' && this.#space.isLow ? 'full' : this.#writer.state
  }

  /**
   * Resolves when everything appended so far is stored; one promise for all who ask about one batch. Rejects with
   * STORE_FAILED when it never will be.
   */
  whenSynced(): Promise<void> {
    const { error } = this.#writer
    if (error !== undefined) return Promise.reject(error)
    if (!this.#gathering.isEmpty) return this.#gathering.whenDone()
    const last = this.#lastClosed
    return last === undefined || last.number <= this.#synced ? done : last.whenDone()
  }

  /** Writes what is pending, at once and without a sync, so that it outlives the process. */
  barrier(): void {
    this.#closeBatch()
    this.#writer.barrier()
  }

  // --- Reading ------------------------------------------------------------------------------------------------------

  /** Live entries of a lane, ascending; an empty answer says that there are none behind `afterSeq`. */
  readLane(request: LaneReading): Promise<Entry[]> {
    const { queueId, lane, afterSeq, limit, limitBytes } = request
    return this.#reader.readSlot({ queueId, slot: lane, afterSeq, limit, limitBytes })
  }

  /** Those of the entries that are live, ascending. Faster for entries held back when their queue is named. */
  readEntries(seqs: readonly number[], queueId?: QueueId): Promise<Entry[]> {
    return this.#reader.readEntries(seqs, queueId)
  }

  /** A page of a lane, or of what a queue holds back, in the order of sequence numbers. */
  readQueue(request: QueueReading): Promise<Entry[]> {
    const slot = request.state === 'delayed' ? delayedSlot : (request.lane ?? 0)
    const { queueId, afterSeq, limit } = request
    return this.#reader.readSlot({ queueId, slot, afterSeq, limit, limitBytes: this.#limits.browseBytes })
  }

  // --- Lifecycle ----------------------------------------------------------------------------------------------------

  /** Stores everything and marks the log as closed in good order. Idempotent. Rejects when it could not be stored. */
  close(): Promise<void> {
    return (this.#closing ??= this.#close())
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close()
  }

  /** Resolves when no background work is left. For tests. */
  async whenQuiet(): Promise<void> {
    await this.#writer.drain()
    await this.#making
    await this.#maintenance.whenIdle()
  }

  invariants(): void {
    this.#writer.invariants()
    for (const file of this.#files.list) file.invariants()
    assert(this.#files.active === this.#active, 'the last file is the one being written')
    assert(this.#gathering.position === this.#active.sizeBytes, 'a batch gathers where the file ends')
    assert(this.#active.table !== undefined, 'the file being written has a table')
    assert(this.#synced < this.#gathering.number, 'what gathers is not stored yet')
  }

  async #close(): Promise<void> {
    this.#space.stop()
    this.#writer.beginClosing()
    try {
      await this.#maintenance.stop()
      await this.#making
      this.#gathering.flags |= cleanFlag
      this.#submit()
      await this.#writer.drain()
      await this.#writer.syncAll()
    } finally {
      this.#writer.stop()
      await this.#release()
    }
  }

  async #release(): Promise<void> {
    await this.#spare?.handle.close().catch(() => undefined)
    for (const file of this.#files.list) {
      file.reader.retire()
      await file.reader.closed()
    }
    await this.#lock.release()
  }

  async #start(log: RecoveredLog | undefined): Promise<void> {
    if (log?.canAppend !== true || this.#active.sizeBytes >= this.#limits.fileBytes) {
      await this.#makeSpare()
      this.#gathering.release()
      const number = this.#rotate()
      this.#gathering = new Batch({ number: number + 1, position: this.#active.sizeBytes }, this.#chunks)
      await this.#writer.drain()
    }
    for (const file of this.#files.list) {
      if (file.live.count === 0 && file !== this.#active) file.deadSince = this.#active.number
    }
    this.#makeSpareLater()
    this.#maintenance.wake()
    this.#space.start()
  }

  #leave(seq: number): boolean {
    const active = this.#active
    const file = seq >= active.baseSeq ? active : this.#files.find(seq)
    assert(seq <= this.#lastSeq, 'only what was published can leave')
    if (this.#counts.size > 0) this.#counts.delete(seq)
    // Not live any more: its queue was purged or deleted, and it was in somebody's hands.
    return file !== undefined && file.live.clear(seq - file.baseSeq)
  }

  #beginPurge(purge: Purge): void {
    this.#purges.add(purge)
    this.#maintenance.wake()
    this.#touched(this.#gathering)
  }

  #touched(batch: Batch): void {
    if (!this.#turnScheduled) {
      this.#turnScheduled = true
      this.#scheduler.endOfTurn(this.#onTurnEnd)
    }
    if (batch.length >= this.#limits.eagerBatchBytes && !this.#soonScheduled && this.#writer.isIdle) {
      this.#soonScheduled = true
      this.#scheduler.soon(this.#onSoon)
    }
  }

  /** Closes the gathering batch, if anything is in it, and opens the next one. */
  #closeBatch(): void {
    if (!this.#gathering.isEmpty) this.#submit()
  }

  #submit(): void {
    const batch = this.#gathering
    const file = this.#active
    this.#encodeLists(batch)
    this.#lastClosed = batch
    file.sizeBytes = batch.position + batch.length
    this.#writer.submit(batch, file)
    let number = batch.number
    if (
      file.sizeBytes >= this.#limits.fileBytes &&
      this.#spare !== undefined &&
      this.#writer.error === undefined
    ) {
      if (this.#newestCheckpoint === file.number) number = this.#rotate()
    }
    this.#gathering = new Batch({ number: number + 1, position: this.#active.sizeBytes }, this.#chunks)
  }

  #encodeLists(batch: Batch): void {
    if (batch.settled.length > 0) encodeSeqs(batch, recordType.settled, batch.settled.sorted())
    // What was handed out and is done already need not be counted.
    const delivered = this.#stillLive(batch.delivered)
    if (delivered.length > 0) encodeSeqs(batch, recordType.delivered, delivered.sorted())
    const released = this.#stillLive(batch.released)
    if (released.length > 0) encodeSeqs(batch, recordType.released, released.sorted())
  }

  #stillLive(list: SeqList): SeqList {
    const live = new SeqList()
    for (const seq of list.values()) if (this.#files.find(seq)?.isLive(seq) === true) live.push(seq)
    return live
  }

  /** Opens the next file with a checkpoint of this very moment; the number of the checkpoint's batch. */
  #rotate(): number {
    const spare = this.#spare!
    this.#spare = undefined
    const number = (this.#lastClosed?.number ?? this.#synced) + 1
    const header = {
      version: formatVersion,
      number: spare.number,
      generation: 0,
      salt: saltOf(this.#identity, spare.number),
      baseSeq: this.#lastSeq + 1,
      firstBatch: number,
    }
    const snapshot = this.#definitions === undefined ? this.#source?.snapshot() : undefined
    assert(
      this.#definitions !== undefined || snapshot !== undefined,
      'a store that is written to is attached',
    )
    this.#definitions ??= encodeDefinitions(snapshot!.definitions)
    this.#nextQueueId = Math.max(this.#nextQueueId, snapshot?.nextQueueId ?? 1)
    const file = new LogFile(header, this.#readers, spare.handle)
    const batch = new Batch({ number, position: fileHeaderBytes }, this.#chunks)
    encodeCheckpoint(batch, {
      counters: { nextSeq: header.baseSeq, nextQueueId: this.#nextQueueId },
      definitions: this.#definitions,
      files: this.#files.list,
      counts: this.#counts,
      purges: this.#purges.list,
    })
    for (const older of this.#files.list) {
      if (older.live.count === 0 && older.deadSince === 0) older.deadSince = spare.number
    }
    this.#files.push(file)
    this.#active = file
    file.sizeBytes = batch.position + batch.length
    this.#lastClosed = batch
    this.#writer.submit(batch, file, encodeFileHeader(header))
    return number
  }

  #done(through: number): void {
    this.#synced = through
    this.onSynced(through)
  }

  #checkpointed(file: LogFile): void {
    this.#newestCheckpoint = file.number
    for (const older of this.#files.list) {
      if (older === file || older.handle === undefined) continue
      older.handle = undefined
      older.reader.unpin()
    }
    this.#makeSpareLater()
    this.#maintenance.wake()
  }

  #makeSpareLater(): void {
    if (this.#spare !== undefined || this.#making !== undefined || this.#closing !== undefined) return
    this.#making = this.#makeSpare()
      // No room or no handle: the present file goes on growing until the next try.
      .catch((error: unknown) => this.onWarning(`the next log file could not be made yet: ${String(error)}`))
      .finally(() => {
        this.#making = undefined
      })
  }

  async #makeSpare(): Promise<void> {
    const number = this.#active.number + 1
    const handle = await this.#disk.open(logPath(number), 'create')
    await handle.sync()
    await this.#disk.syncDirectory(logFolder)
    this.#spare = { number, handle }
  }

  async #rebuild(file: LogFile): Promise<void> {
    this.onWarning(`the index of ${logPath(file.number)} is damaged and is made anew`)
    const scanned = await rebuildTable(file, this.#limits)
    if (scanned.damaged.length > 0) await this.#quarantine(file)
    this.#maintenance.wake()
  }

  async #lost(file: LogFile, seq: number): Promise<void> {
    file.live.clear(seq - file.baseSeq)
    this.#counts.delete(seq)
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
    this.#gathering.settleWaiters(error)
    this.onState('failed', error)
  }

  /** The disk is full for the broker when a write found it so, or when it nearly is. */
  #reportState(error?: StoreError): void {
    if (this.#writer.state === 'failed') return
    const isFull = this.#writer.state === 'full' || this.#space.isLow
    if (isFull === this.#full) return
    this.#full = isFull
    const why =
      error ??
      new StoreError('DISK_FULL', `less than ${this.#limits.lowFreeBytes} bytes are free on the disk`)
    this.onState(isFull ? 'full' : 'ok', isFull ? why : undefined)
  }
}

const done = Promise.resolve()

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

/** The file that is written on: the newest one, with its handle; a stand-in before the first one. */
async function firstFile(
  disk: Disk,
  facts: { pool: ReaderPool; identity: FolderIdentity; log: RecoveredLog | undefined },
): Promise<LogFile> {
  const { log, pool } = facts
  if (log === undefined) {
    const header = { version: formatVersion, number: 0, generation: 0, salt: 0, baseSeq: 1, firstBatch: 0 }
    return new LogFile(header, pool)
  }
  const file = log.state.files.active
  if (!log.canAppend) return file
  file.handle = await disk.open(logPath(file.number), 'write')
  file.reader.retire()
  file.reader = readerOf(pool, file.number, file.handle)
  return file
}
