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
 * A write without room is tried again: nothing of it was promised, and it goes to the same place. A failed sync never is
 * (log-sync.ts).
 */
import { StoreError } from '../model/errors.ts'
import { assert } from '../std/assert.ts'
import { Deferred } from '../std/deferred.ts'
import { Deque } from '../std/deque.ts'
import type { Batch } from './batch.ts'
import { isDiskFull } from './disk.ts'
import type { LogFile } from './log-file.ts'
import { LogSync } from './log-sync.ts'
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
  /** Bytes closed and not yet done. */
  pendingBytes = 0
  readonly #policy: SyncPolicy
  readonly #scheduler: Scheduler
  readonly #fullRetryMs: number
  readonly #events: WriterEvents
  readonly #syncer: LogSync
  /** Those that are not done. */
  readonly #jobs = new Deque<Job>()
  /** The last batch whose bytes are in its file: a barrier may be ahead of `written`. */
  #inFile: number
  /** The write under way or about to be, and the syncs of what it leaves behind. */
  #isWriting = false
  #writes: Promise<void> | undefined
  #syncs: Promise<void> | undefined
  #state: StoreState = 'ok'
  #error: StoreError | undefined
  #closing = false
  #wake: (() => void) | undefined
  #idle: Deferred<void> | undefined
  #nextWrite: Deferred<void> | undefined

  constructor(options: {
    lastBatch: number
    policy: SyncPolicy
    scheduler: Scheduler
    fullRetryMs: number
    events: WriterEvents
  }) {
    const { lastBatch, scheduler } = options
    this.#syncer = new LogSync({ lastBatch, scheduler, onFailed: (error) => this.#fail(error, 'sync') })
    this.#inFile = lastBatch
    this.#policy = options.policy
    this.#scheduler = scheduler
    this.#fullRetryMs = options.fullRetryMs
    this.#events = options.events
  }

  /** The last batch that is written. */
  get written(): number {
    return this.#syncer.written
  }

  /** The last batch that is known to be synced. */
  get synced(): number {
    return this.#syncer.synced
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
      const previous = this.#jobAt(this.#inFile)?.file ?? this.#syncer.unsynced
      if (previous !== undefined && previous !== job.file && !this.#syncer.syncNow(previous)) return
      try {
        job.file.openHandle.writeSync(this.#buffersOf(job), startOf(job))
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
    await this.#syncer.sync()
    if (this.#error !== undefined) throw this.#error
  }

  /** From now on a full disk is a failure, not something to wait for. */
  beginClosing(): void {
    this.#closing = true
    this.#wake?.()
  }

  stop(): void {
    this.#syncer.stop()
  }

  /** Resolves when nothing of it is under way at the disk, also after a failure: only then may its files be closed. */
  async whenStill(): Promise<void> {
    await this.#writes
    await this.#syncs
    await this.#syncer.whenStill()
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
        if (opensFile) await this.#syncer.sync()
        else if (typeof this.#policy === 'object') this.#syncer.syncLater(this.#policy.intervalMs)
        if (this.#error !== undefined) return
        this.#finish(this.written)
      }
    }
    this.#isWriting = false
    this.#events.written()
    this.#becomeIdle()
  }

  /** Syncs what is written until all of it is synced; one at a time. */
  async #syncWritten(): Promise<void> {
    while (this.synced < this.written) {
      await this.#syncer.sync()
      if (this.#error !== undefined) return
      this.#finish(this.synced)
    }
    this.#syncs = undefined
    this.#becomeIdle()
  }

  #becomeIdle(): void {
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
  #jobsAfter(number: number, file: LogFile): Job[] {
    const jobs: Job[] = []
    for (let job = this.#jobAt(number + 1); job?.file === file; job = this.#jobAt(job.batch.number + 1))
      jobs.push(job)
    return jobs
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
    const opensNext = (): boolean => this.#syncer.unsynced !== undefined && this.#syncer.unsynced !== file
    if (opensNext()) await this.#syncs
    if (opensNext()) await this.syncAll()
    if (this.#error !== undefined) return
    const { batch } = this.#jobsAfter(this.written, file).at(-1)!
    while (this.#inFile < batch.number && this.#error === undefined) {
      const jobs = this.#jobsAfter(this.#inFile, file)
      try {
        await file.openHandle.write(
          jobs.flatMap((job) => this.#buffersOf(job)),
          startOf(jobs[0]!),
        )
      } catch (error) {
        if (!isDiskFull(error)) throw error
        await this.#waitForRoom(error)
        continue
      }
      // A barrier may have come further meanwhile, or failed.
      if (this.#error === undefined) this.#inFile = Math.max(this.#inFile, jobs.at(-1)!.batch.number)
    }
    if (this.#error !== undefined) return
    if (this.#state === 'full') this.#become('ok')
    this.#syncer.wrote(file, batch.number)
    file.writtenBytes = batch.position + batch.length
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
    this.#syncer.invariants()
    assert(this.written <= this.#inFile, 'what is written is in its file')
    assert(
      this.#jobs.length === 0 || this.#isBusy || this.#error !== undefined,
      'a writer with work is running',
    )
  }
}

function startOf(job: Job): number {
  return job.header === undefined ? job.batch.position : job.batch.position - job.header.length
}
