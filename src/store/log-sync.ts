/**
 * Syncs what the writer has written. One at a time: of two at once on a file, the system tells only one that it failed. None is
 * tried again after a failure: the system may have dropped what it could not write, and say nothing the second time.
 */
import { assert } from '../std/assert.ts'
import type { LogFile } from './log-file.ts'
import type { Scheduler } from './scheduler.ts'

export class LogSync {
  /** The last batch that is written. */
  written: number
  /** The last batch that is known to be synced. */
  synced: number
  readonly #scheduler: Scheduler
  readonly #onFailed: (error: unknown) => void
  /** The file with writes that are not synced. */
  #unsynced: LogFile | undefined
  /** The one that was asked for last. */
  #last: Promise<void> = Promise.resolve()
  #isRunning = false
  #isStopped = false
  #cancelTimer: (() => void) | undefined

  constructor(options: { lastBatch: number; scheduler: Scheduler; onFailed: (error: unknown) => void }) {
    this.written = options.lastBatch
    this.synced = options.lastBatch
    this.#scheduler = options.scheduler
    this.#onFailed = options.onFailed
  }

  get unsynced(): LogFile | undefined {
    return this.#unsynced
  }

  /** Batches up to this one are in that file. */
  wrote(file: LogFile, through: number): void {
    assert(
      this.#unsynced === undefined || this.#unsynced === file,
      'a file begins when the one before it is synced',
    )
    this.#unsynced = file
    this.written = through
  }

  /** Syncs what is written when its turn comes; resolves after a failure too. */
  sync(): Promise<void> {
    return (this.#last = this.#last.then(() => this.#next()))
  }

  /**
   * Syncs that file at once. False where it may not be relied on: one is under way that may fail with this one not saying so, or it
   * failed.
   */
  syncNow(file: LogFile): boolean {
    if (this.#isRunning || this.#isStopped) return false
    try {
      file.openHandle.syncSync()
    } catch (error) {
      this.#onFailed(error)
      return false
    }
    return true
  }

  /** Syncs after so many ms, and again while there is something. */
  syncLater(ms: number): void {
    this.#cancelTimer ??= this.#scheduler.after(ms, () => void this.#syncAgain(ms))
  }

  /** No sync begins any more. */
  stop(): void {
    this.#isStopped = true
    this.#cancelTimer?.()
  }

  /** Resolves when none is under way. */
  async whenStill(): Promise<void> {
    await this.#last
  }

  async #next(): Promise<void> {
    const file = this.#unsynced
    const through = this.written
    if (file === undefined || this.#isStopped) return
    this.#isRunning = true
    try {
      await file.openHandle.sync()
    } catch (error) {
      this.#onFailed(error)
      return
    } finally {
      this.#isRunning = false
    }
    this.synced = through
    if (this.written === through) this.#unsynced = undefined
  }

  async #syncAgain(ms: number): Promise<void> {
    await this.sync()
    this.#cancelTimer = undefined
    if (this.#unsynced !== undefined && !this.#isStopped) this.syncLater(ms)
  }

  invariants(): void {
    assert(this.synced <= this.written, 'what is synced was written')
    assert(
      (this.#unsynced === undefined) === (this.synced === this.written),
      'what is not synced is in a file',
    )
  }
}
