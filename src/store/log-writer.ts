/**
 * Brings closed batches to the disk, in order. Those that wait when it gets to them go in one write and one sync, as far as
 * they are of one file.
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
  /** Nothing is left to write. */
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
  readonly #jobs = new Deque<Job>()
  /** So many of the jobs, from the first, are in their file already: a barrier wrote them, or their sync is under way. */
  #inFile = 0
  #running = false
  #state: StoreState = 'ok'
  #error: StoreError | undefined
  #closing = false
  #wake: (() => void) | undefined
  #idle: Deferred<void> | undefined
  #nextWrite: Deferred<void> | undefined
  /** The file with writes that are not synced. */
  #unsynced: LogFile | undefined
  #cancelTimer: (() => void) | undefined
  #syncing: Promise<void> | undefined

  constructor(options: {
    lastBatch: number
    policy: SyncPolicy
    scheduler: Scheduler
    fullRetryMs: number
    events: WriterEvents
  }) {
    this.written = options.lastBatch
    this.synced = options.lastBatch
    this.#policy = options.policy
    this.#scheduler = options.scheduler
    this.#fullRetryMs = options.fullRetryMs
    this.#events = options.events
  }

  get isIdle(): boolean {
    return !this.#running && this.#state !== 'failed'
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
    this.#jobs.push({ batch, file, header, buffers: undefined })
    this.pendingBytes += batch.length
    if (this.#running) return
    this.#running = true
    void this.#run()
  }

  /** Resolves when everything submitted is done; rejects when it cannot be. */
  drain(): Promise<void> {
    if (this.#error !== undefined) return Promise.reject(this.#error)
    if (!this.#running) return Promise.resolve()
    return (this.#idle ??= new Deferred<void>()).promise
  }

  /** Resolves after the next write; rejects when there will be none. */
  afterNextWrite(): Promise<void> {
    if (this.#error !== undefined) return Promise.reject(this.#error)
    return (this.#nextWrite ??= new Deferred<void>()).promise
  }

  /**
   * Writes what is submitted, at once and without a sync. What an unfinished write is at is written too, the same bytes at the
   * same place; what an earlier barrier wrote is not.
   */
  barrier(): void {
    for (let place = this.#inFile; place < this.#jobs.length; place += 1) {
      const job = this.#jobs.at(place)!
      const previous = place === 0 ? this.#unsynced : this.#jobs.at(place - 1)!.file
      try {
        if (previous !== undefined && previous !== job.file) handleOf(previous).syncSync()
        handleOf(job.file).writeSync(this.#buffersOf(job), startOf(job))
      } catch (error) {
        // No room: the writer meets the same and waits for room.
        if (!isDiskFull(error)) this.#fail(error, 'write')
        return
      }
      this.#inFile = place + 1
    }
  }

  /** Syncs what a policy other than `group` has left. */
  async syncAll(): Promise<void> {
    await this.#syncing
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

  /** Nothing can be stored any more, for a reason the writer cannot see. */
  fail(error: StoreError): void {
    this.#fail(error, 'write')
  }

  /** Something made room: tries again now. */
  retryNow(): void {
    this.#wake?.()
  }

  async #run(): Promise<void> {
    while (this.#jobs.length > 0) {
      const count = this.#runLength()
      try {
        await this.#write(count)
      } catch (error) {
        this.#fail(error, 'write')
        return
      }
      if (this.#error !== undefined) return
      if (this.#policy === 'group' || this.#jobs.peekFirst()!.header !== undefined) {
        await this.#syncFile()
        if (this.#error !== undefined) return
      } else this.#syncLater()
      this.#finish(count)
    }
    this.#running = false
    this.#events.idle()
    if (!this.#running) this.#idle?.resolve()
    if (!this.#running) this.#idle = undefined
  }

  /** How many jobs, from the first, go into the same file. */
  #runLength(): number {
    const { file } = this.#jobs.peekFirst()!
    let count = 1
    while (count < this.#jobs.length && this.#jobs.at(count)!.file === file) count += 1
    return count
  }

  #finish(count: number): void {
    this.#inFile -= count
    for (let left = count; left > 0; left -= 1) {
      const job = this.#jobs.shift()!
      this.pendingBytes -= job.batch.length
      if (job.header !== undefined) this.#events.checkpointed(job.file)
      this.#events.done(job.batch.number)
      job.batch.settleWaiters()
      job.batch.release()
    }
  }

  /** Brings the first so many jobs into their file. */
  async #write(count: number): Promise<void> {
    const last = this.#jobs.at(count - 1)!
    const { file, batch } = last
    // A file's successor begins only when all of it is durable: recovery relies on that.
    if (this.#unsynced !== undefined && this.#unsynced !== file) await this.syncAll()
    while (this.#inFile < count && this.#error === undefined) {
      const first = this.#inFile
      try {
        await handleOf(file).write(this.#buffersFrom(first, count), startOf(this.#jobs.at(first)!))
      } catch (error) {
        if (!isDiskFull(error)) throw error
        await this.#waitForRoom(error)
        continue
      }
      // A barrier may have come further meanwhile, or failed.
      if (this.#error === undefined) this.#inFile = Math.max(this.#inFile, count)
    }
    if (this.#error !== undefined) return
    if (this.#state === 'full') this.#become('ok')
    this.#unsynced = file
    file.writtenBytes = batch.position + batch.length
    this.written = batch.number
    this.#nextWrite?.resolve()
    this.#nextWrite = undefined
  }

  #buffersFrom(first: number, end: number): Uint8Array[] {
    if (end - first === 1) return this.#buffersOf(this.#jobs.at(first)!)
    const buffers: Uint8Array[] = []
    for (let place = first; place < end; place += 1) buffers.push(...this.#buffersOf(this.#jobs.at(place)!))
    return buffers
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

  async #syncFile(): Promise<void> {
    const file = this.#unsynced
    const through = this.written
    if (file === undefined) return
    try {
      await handleOf(file).sync()
    } catch (error) {
      this.#fail(error, 'sync')
      return
    }
    this.synced = Math.max(this.synced, through)
    if (this.written === through) this.#unsynced = undefined
  }

  #syncLater(): void {
    if (typeof this.#policy === 'string' || this.#cancelTimer !== undefined) return
    this.#cancelTimer = this.#scheduler.after(this.#policy.intervalMs, () => {
      this.#cancelTimer = undefined
      this.#syncing = this.#syncAgain()
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
    this.#become('failed', error)
    this.#inFile = 0
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
    assert(this.#inFile >= 0 && this.#inFile <= this.#jobs.length, 'only what was submitted is in a file')
    assert(
      this.#jobs.length === 0 || this.#running || this.#error !== undefined,
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
