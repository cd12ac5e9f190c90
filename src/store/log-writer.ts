/**
 * Brings closed batches to the disk, in order. Those that wait when it gets to them go in one write, as far as they are of one
 * file. While what was written is being synced, what comes next is written; the next sync covers all that was written when it
 * begins (policy `group`; benchmarks P2 and P15).
 *
 * ```text
 *            no room                      room again
 *   ok ------------------> full ------------------------> ok
 *    \______________________|___ any other failure ____> failed (for good)
 * ```
 * A failed sync is never tried again: the system may have dropped what it could not write and say nothing the second time.
 * A write without room is: nothing of it was promised, and it goes to the same place again.
 */
import { StoreError } from '../model/errors.ts'
import { assert } from '../std/assert.ts'
import { Deferred } from '../std/deferred.ts'
import { Deque } from '../std/deque.ts'
import type { Batch } from './batch.ts'
import type { DiskFile } from './disk.ts'
import { isDiskFull } from './disk.ts'
import type { LogFile } from './log-file.ts'
import type { Scheduler } from './scheduler.ts'

/** When a batch counts as done: synced (`group`), or written, with a sync every so many ms or when the system likes. */
export type SyncPolicy = 'group' | 'os' | { readonly intervalMs: number }

export type StoreState = 'ok' | 'full' | 'failed'

export interface WriterEvents {
  /** Batches up to this one count as done. */
  done(through: number): void
  /** The file opens with this checkpoint, which is synced. */
  checkpointed(file: LogFile): void
  /** Nothing is left to write: `canWrite` from now on. */
  written(): void
  /** Nothing is left to write or to sync. */
  idle(): void
  state(state: StoreState, error?: StoreError): void
}

interface Job {
  readonly batch: Batch
  readonly file: LogFile
  /** The file's own header, before its first batch. */
  readonly header: Buffer | undefined
  buffers: Uint8Array[] | undefined
}

export class LogWriter {
  /** The last batch that is written, and the last that is known to be synced. */
  written: number
  synced: number
  /** Bytes closed and not yet done. */
  pendingBytes = 0
  readonly #policy: SyncPolicy
  readonly #scheduler: Scheduler
  readonly #fullRetryMs: number
  readonly #events: WriterEvents
  /** Those that are not done. */
  readonly #jobs = new Deque<Job>()
  /** The last batch whose bytes are in its file: a barrier may be ahead of `written`. */
  #inFile: number
  /** The write under way or about to be, and the syncs of what it leaves behind. */
  #isWriting = false
  #writes: Promise<void> | undefined
  #syncs: Promise<void> | undefined
  /** The last sync that was asked for; one at a time, for the system tells only one of two that it failed. */
  #lastSync: Promise<void> = Promise.resolve()
  #isSyncing = false
  #state: StoreState = 'ok'
  #error: StoreError | undefined
  #closing = false
  #wake: (() => void) | undefined
  #idle: Deferred<void> | undefined
  #nextWrite: Deferred<void> | undefined
  /** The file with writes that are not synced. */
  #unsynced: LogFile | undefined
  #cancelTimer: (() => void) | undefined
  #timedSync: Promise<void> | undefined

  constructor(options: {
    lastBatch: number
    policy: SyncPolicy
    scheduler: Scheduler
    fullRetryMs: number
    events: WriterEvents
  }) {
    this.written = options.lastBatch
    this.synced = options.lastBatch
    this.#inFile = options.lastBatch
    this.#policy = options.policy
    this.#scheduler = options.scheduler
    this.#fullRetryMs = options.fullRetryMs
    this.#events = options.events
  }

  get isIdle(): boolean {
    return !this.#isBusy && this.#state !== 'failed'
  }

  /** A batch would be written at once. */
  get canWrite(): boolean {
    return !this.#isWriting && this.#state !== 'failed'
  }

  get #isBusy(): boolean {
    return this.#isWriting || this.#syncs !== undefined
  }

  get state(): StoreState {
    return this.#state
  }

  get error(): StoreError | undefined {
    return this.#error
  }

  /** Takes a closed batch; the first of a file comes with the file's header. */
  submit(batch: Batch, file: LogFile, header?: Buffer): void {
    if (this.#error !== undefined) {
      batch.settleWaiters(this.#error)
      return
    }
    const last = this.#jobs.length > 0 ? this.#jobs.peekLast()!.batch.number : this.written
    assert(batch.number === last + 1, 'batches come in the order of their numbers')
    this.#jobs.push({ batch, file, header, buffers: undefined })
    this.pendingBytes += batch.length
    if (!this.#isWriting) this.#writes = this.#writeAll()
  }

  /** Resolves when everything submitted is done; rejects when it cannot be. */
  drain(): Promise<void> {
    if (this.#error !== undefined) return Promise.reject(this.#error)
    if (!this.#isBusy) return Promise.resolve()
    return (this.#idle ??= new Deferred<void>()).promise
  }

  /** Resolves after the next write; rejects when there will be none. */
  afterNextWrite(): Promise<void> {
    if (this.#error !== undefined) return Promise.reject(this.#error)
    return (this.#nextWrite ??= new Deferred<void>()).promise
  }

  /**
   * Writes what is submitted, at once. What an unfinished write is at is written too, the same bytes at the same place; what an
   * earlier barrier wrote is not. At a file's end it syncs, or stops where a sync is under way: a file's successor begins only when
   * all of it is durable.
   */
  barrier(): void {
    for (let job = this.#jobAt(this.#inFile + 1); job !== undefined; job = this.#jobAt(this.#inFile + 1)) {
      const previous = this.#jobAt(this.#inFile)?.file ?? this.#unsynced
      try {
        if (previous !== undefined && previous !== job.file) {
          // The sync under way may fail, and another one not say so: what counts on it has to wait.
          if (this.#isSyncing) return
          this.#syncNow(previous)
          if (this.#error !== undefined) return
        }
        handleOf(job.file).writeSync(this.#buffersOf(job), startOf(job))
      } catch (error) {
        // No room: the writer meets the same and waits for room.
        if (!isDiskFull(error)) this.#fail(error, 'write')
        return
      }
      this.#inFile = job.batch.number
    }
  }

  /** Syncs what a policy other than `group` has left. */
  async syncAll(): Promise<void> {
    await this.#timedSync
    if (this.#error !== undefined) throw this.#error
    await this.#syncFile()
    if (this.#error !== undefined) throw this.#error
  }

  /** From now on a full disk is a failure, not something to wait for. */
  beginClosing(): void {
    this.#closing = true
    this.#wake?.()
  }

  stop(): void {
    this.#cancelTimer?.()
    this.#cancelTimer = undefined
  }

  /** Resolves when nothing of it is under way at the disk, also after a failure: only then may its files be closed. */
  async whenStill(): Promise<void> {
    await this.#writes
    await this.#syncs
    await this.#lastSync
  }

  /** Nothing can be stored any more, for a reason the writer cannot see. */
  fail(error: StoreError): void {
    this.#fail(error, 'write')
  }

  /** Something made room: tries again now. */
  retryNow(): void {
    this.#wake?.()
  }

  /** Writes until nothing is left; one at a time. */
  async #writeAll(): Promise<void> {
    this.#isWriting = true
    for (let job = this.#jobAt(this.written + 1); job !== undefined; job = this.#jobAt(this.written + 1)) {
      const opensFile = job.header !== undefined
      try {
        await this.#write(job.file)
      } catch (error) {
        // What is in the file already may still be stored.
        await this.#syncs
        this.#fail(error, 'write')
      }
      if (this.#error !== undefined) return
      if (this.#policy === 'group') this.#syncs ??= this.#syncWritten()
      else {
        if (opensFile) await this.#syncFile()
        else this.#syncLater()
        if (this.#error !== undefined) return
        this.#finish(this.written)
      }
    }
    this.#isWriting = false
    this.#events.written()
    this.#rest()
  }

  /** Syncs what is written until all of it is synced; one at a time. */
  async #syncWritten(): Promise<void> {
    while (this.synced < this.written) {
      await this.#syncFile()
      if (this.#error !== undefined) return
      this.#finish(this.synced)
    }
    this.#syncs = undefined
    this.#rest()
  }

  #rest(): void {
    if (this.#isBusy) return
    this.#events.idle()
    if (this.#isBusy) return
    this.#idle?.resolve()
    this.#idle = undefined
  }

  #jobAt(number: number): Job | undefined {
    const first = this.#jobs.peekFirst()
    if (first === undefined || number < first.batch.number) return undefined
    return this.#jobs.at(number - first.batch.number)
  }

  /** The jobs after this batch that go into that file, up to the last one that has been submitted. */
  #runAfter(number: number, file: LogFile): Job[] {
    const run: Job[] = []
    for (let job = this.#jobAt(number + 1); job?.file === file; job = this.#jobAt(job.batch.number + 1))
      run.push(job)
    return run
  }

  #finish(through: number): void {
    while (this.#jobs.length > 0 && this.#jobs.peekFirst()!.batch.number <= through) {
      const job = this.#jobs.shift()!
      this.pendingBytes -= job.batch.length
      if (job.header !== undefined) this.#events.checkpointed(job.file)
      this.#events.done(job.batch.number)
      job.batch.settleWaiters()
      job.batch.release()
    }
  }

  /** Brings what is submitted for that file into it. */
  async #write(file: LogFile): Promise<void> {
    // A file's successor begins only when all of it is durable: recovery relies on that.
    if (this.#unsynced !== undefined && this.#unsynced !== file) await this.#syncs
    if (this.#unsynced !== undefined && this.#unsynced !== file) await this.syncAll()
    const { batch } = this.#runAfter(this.written, file).at(-1)!
    while (this.#inFile < batch.number && this.#error === undefined) {
      const run = this.#runAfter(this.#inFile, file)
      try {
        await handleOf(file).write(
          run.flatMap((job) => this.#buffersOf(job)),
          startOf(run[0]!),
        )
      } catch (error) {
        if (!isDiskFull(error)) throw error
        await this.#waitForRoom(error)
        continue
      }
      // A barrier may have come further meanwhile, or failed.
      if (this.#error === undefined) this.#inFile = Math.max(this.#inFile, run.at(-1)!.batch.number)
    }
    if (this.#error !== undefined) return
    if (this.#state === 'full') this.#become('ok')
    this.#unsynced = file
    file.writtenBytes = batch.position + batch.length
    this.written = batch.number
    this.#nextWrite?.resolve()
    this.#nextWrite = undefined
  }

  async #waitForRoom(cause: unknown): Promise<void> {
    const full = new StoreError(
      'DISK_FULL',
      'the disk is full: free some space, the store goes on by itself',
      { cause },
    )
    if (this.#closing) throw full
    if (this.#state === 'ok') this.#become('full', full)
    await new Promise<void>((resolve) => {
      const cancel = this.#scheduler.after(this.#fullRetryMs, resolve, true)
      this.#wake = () => {
        cancel()
        resolve()
      }
    })
    this.#wake = undefined
  }

  #buffersOf(job: Job): Uint8Array[] {
    if (job.buffers === undefined) {
      const buffers = job.batch.finish({ salt: job.file.salt, syncedThrough: this.synced })
      job.buffers = job.header === undefined ? buffers : [job.header, ...buffers]
    }
    return job.buffers
  }

  #syncFile(): Promise<void> {
    return (this.#lastSync = this.#lastSync.then(() => this.#syncNext()))
  }

  async #syncNext(): Promise<void> {
    const file = this.#unsynced
    const through = this.written
    if (file === undefined || this.#error !== undefined) return
    this.#isSyncing = true
    try {
      await handleOf(file).sync()
    } catch (error) {
      this.#fail(error, 'sync')
      return
    } finally {
      this.#isSyncing = false
    }
    this.synced = Math.max(this.synced, through)
    if (this.written === through) this.#unsynced = undefined
  }

  #syncNow(file: LogFile): void {
    try {
      handleOf(file).syncSync()
    } catch (error) {
      this.#fail(error, 'sync')
    }
  }

  #syncLater(): void {
    if (typeof this.#policy === 'string' || this.#cancelTimer !== undefined) return
    this.#cancelTimer = this.#scheduler.after(this.#policy.intervalMs, () => {
      this.#cancelTimer = undefined
      this.#timedSync = this.#syncAgain()
    })
  }

  async #syncAgain(): Promise<void> {
    await this.#syncFile()
    if (this.#unsynced !== undefined && this.#error === undefined) this.#syncLater()
  }

  #become(state: StoreState, error?: StoreError): void {
    this.#state = state
    this.#events.state(state, error)
  }

  #fail(cause: unknown, what: 'write' | 'sync'): void {
    if (this.#error !== undefined) return
    const error =
      cause instanceof StoreError
        ? cause
        : new StoreError(
            'STORE_FAILED',
            `the log could not be ${what === 'sync' ? 'synced' : 'written'} (${cause instanceof Error ? cause.message : 'unknown error'}); nothing after it is stored: mend the disk and open the store again`,
            { cause },
          )
    this.#error = error
    this.stop()
    this.#wake?.()
    this.#become('failed', error)
    for (let job = this.#jobs.shift(); job !== undefined; job = this.#jobs.shift()) {
      job.batch.settleWaiters(error)
    }
    this.#nextWrite?.promise.catch(() => undefined)
    this.#nextWrite?.reject(error)
    this.#idle?.promise.catch(() => undefined)
    this.#idle?.reject(error)
  }

  invariants(): void {
    assert(this.synced <= this.written, 'what is synced was written')
    assert(this.written <= this.#inFile, 'what is written is in its file')
    assert(
      this.#jobs.length === 0 || this.#isBusy || this.#error !== undefined,
      'a writer with work is running',
    )
  }
}

function handleOf(file: LogFile): DiskFile {
  assert(file.handle !== undefined, 'a file that is written is open')
  return file.handle
}

function startOf(job: Job): number {
  return job.header === undefined ? job.batch.position : job.batch.position - job.header.length
}
