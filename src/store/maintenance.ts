/**
 * What a store does in the background, one thing at a time: marks purged entries, writes the index of sealed files, deletes
 * files of which nothing is live, rewrites those of which little is. Nothing waits for it but `close`.
 */
import type { Purge } from '../model/record.ts'
import type { CompactionContext } from './compaction.ts'
import { compact } from './compaction.ts'
import { isDiskFull, unlinkIfPresent } from './disk.ts'
import { indexPath, logFolder, logPath } from './file-format.ts'
import { DamagedIndexError } from './file-reader.ts'
import { writeIndex } from './index-files.ts'
import type { LogFile, LogFiles } from './log-file.ts'
import type { Purges } from './purges.ts'
import { applyPurge } from './purges.ts'
import type { Scheduler } from './scheduler.ts'

interface MaintenanceContext extends CompactionContext {
  readonly files: LogFiles
  readonly purges: Purges
  readonly scheduler: Scheduler
  readonly auditStep: number
  readonly restMs: number
  readonly deadFiles: number
  /** Takes a checkpoint before the file being written is full. */
  checkpointEarly(): void
  /** The number of the newest file whose checkpoint is synced. */
  newestCheckpoint(): number
  rebuild(file: LogFile): Promise<void>
  /** A file was deleted or shrank. */
  roomMade(): void
  warn(text: string): void
}

export class Maintenance {
  readonly #context: MaintenanceContext
  #running: Promise<void> | undefined
  #wanted = false
  #stopped = false
  /** Counts the times that `restMs` have passed while some file was watched. */
  #beat = 0
  #cancelBeat: (() => void) | undefined

  constructor(context: MaintenanceContext) {
    this.#context = context
  }

  /** There may be something to do. */
  wake(): void {
    this.#wanted = true
    if (this.#stopped || this.#running !== undefined) return
    this.#running = this.#run().finally(() => {
      this.#running = undefined
      if (this.#wanted) this.wake()
    })
  }

  get isIdle(): boolean {
    return this.#running === undefined
  }

  /** Resolves when there is nothing to do. For tests and close. */
  async whenIdle(): Promise<void> {
    while (this.#running !== undefined) await this.#running
  }

  /** Finishes the step it is at. */
  async stop(): Promise<void> {
    this.#stopped = true
    this.#cancelBeat?.()
    await this.whenIdle()
  }

  async #run(): Promise<void> {
    while (this.#wanted && !this.#stopped) {
      this.#wanted = false
      // Let the turn that asked come to its end.
      await this.#context.slicing.pause()
      try {
        await this.#round()
      } catch (error) {
        const full = isDiskFull(error) ? ' (the disk is full)' : ''
        const reason = error instanceof Error ? error.message : 'unknown error'
        this.#context.warn(
          `background work on the log failed and will be tried again later${full}: ${reason}`,
        )
      }
    }
  }

  async #round(): Promise<void> {
    const { purges, files } = this.#context
    for (const purge of purges.list.slice()) await this.#purge(purge)
    await this.#deleteDead()
    this.#checkpointIfWorthwhile()
    for (const file of files.list.slice()) {
      if (this.#stopped) return
      if (this.#canIndex(file)) await this.#writeIndex(file)
    }
    for (const file of files.list.slice()) {
      if (this.#stopped) return
      if (!this.#wantsCompaction(file) || !this.#isAtRest(file)) continue
      if (await this.#withIndex(file, () => compact(this.#context, file))) this.#context.roomMade()
    }
  }

  async #purge(purge: Purge): Promise<void> {
    for (const file of this.#context.files.list.slice()) {
      if (this.#stopped) return
      await this.#withIndex(file, () => applyPurge(file, purge))
      await this.#context.slicing.pause()
    }
    this.#context.purges.done(purge)
  }

  async #writeIndex(file: LogFile): Promise<void> {
    const { disk, slicing } = this.#context
    await writeIndex(disk, file, slicing, () => this.#context.durable())
  }

  /** A file that is no longer written and whose successor counts. */
  #canIndex(file: LogFile): boolean {
    return file.table !== undefined && file.number < this.#context.newestCheckpoint()
  }

  async #deleteDead(): Promise<void> {
    const { disk, files } = this.#context
    let deleted = false
    for (const file of files.list.slice()) {
      if (!this.#canDelete(file)) continue
      files.remove(file)
      file.reader.retire()
      await file.reader.closed()
      await unlinkIfPresent(disk, indexPath(file.number))
      await unlinkIfPresent(disk, logPath(file.number))
      deleted = true
    }
    if (!deleted) return
    await disk.syncDirectory(logFolder)
    this.#context.roomMade()
  }

  /**
   * A checkpoint that is durable says that nothing in it is live. The last two files stay: should the newest checkpoint ever
   * be damaged, recovery goes back to the one before and reads on from there.
   */
  #canDelete(file: LogFile): boolean {
    const newest = this.#context.newestCheckpoint()
    return file.deadSince > 0 && file.deadSince <= newest && file.number < newest - 1
  }

  #checkpointIfWorthwhile(): void {
    const { files, deadFiles } = this.#context
    let dead = 0
    for (const file of files.list) if (file.live.count === 0 && file.deadSince === 0) dead += 1
    // The file being written is dead when it is empty.
    if (dead > deadFiles) this.#context.checkpointEarly()
  }

  /** Recovery may read the last two files from their start, so those stay whole. */
  #wantsCompaction(file: LogFile): boolean {
    if (file.index === undefined || file.live.count === 0) return false
    if (file.number > this.#context.newestCheckpoint() - 2) return false
    if (file.auditedLive < 0) return file.live.count < file.index.rowCount
    return file.auditedLive - file.live.count >= this.#step(file)
  }

  /** Whether it has not been emptied much for two beats. */
  #isAtRest(file: LogFile): boolean {
    const { restMs } = this.#context
    if (restMs === 0) return true
    const { live } = file
    const rest = file.rest
    if (rest === undefined || rest.live - live.count >= this.#step(file)) {
      file.rest = { beat: this.#beat, live: live.count }
    } else if (this.#beat - rest.beat >= 2) {
      file.rest = undefined
      return true
    }
    this.#cancelBeat ??= this.#context.scheduler.after(restMs, () => {
      this.#cancelBeat = undefined
      this.#beat += 1
      this.wake()
    })
    return false
  }

  /** Entries of which a file must lose so many before it is looked at again. */
  #step(file: LogFile): number {
    return Math.max(1, file.index?.rowCount ?? 0) * this.#context.auditStep
  }

  async #withIndex<T>(file: LogFile, action: () => Promise<T>): Promise<T> {
    try {
      return await action()
    } catch (error) {
      if (!(error instanceof DamagedIndexError)) throw error
      await this.#context.rebuild(file)
      return await action()
    }
  }
}
