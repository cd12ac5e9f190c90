/** Looks at the free space of the disk now and then, and says when it falls below the mark or is back well above it. */
import type { Disk } from './disk.ts'
import type { Scheduler } from './scheduler.ts'

/** There is room again when so many times the mark is free: not at every deleted file. */
const resumeAt = 1.5

export class SpaceWatch {
  isLow = false
  readonly #disk: Disk
  readonly #scheduler: Scheduler
  readonly #lowFreeBytes: number
  readonly #freeCheckMs: number
  readonly #changed: () => void
  #cancel: (() => void) | undefined
  #stopped = false

  constructor(
    disk: Disk,
    scheduler: Scheduler,
    limits: { lowFreeBytes: number; freeCheckMs: number },
    changed: () => void,
  ) {
    this.#disk = disk
    this.#scheduler = scheduler
    this.#lowFreeBytes = limits.lowFreeBytes
    this.#freeCheckMs = limits.freeCheckMs
    this.#changed = changed
  }

  start(): void {
    this.#cancel = this.#scheduler.after(this.#freeCheckMs, () => void this.#check())
  }

  stop(): void {
    this.#stopped = true
    this.#cancel?.()
  }

  async #check(): Promise<void> {
    // A disk that does not say how much is free is not watched: a full one shows when it is written to.
    const freeBytes = await this.#disk.freeBytes().catch(() => Infinity)
    if (this.#stopped) return
    const isLow = freeBytes < this.#lowFreeBytes * (this.isLow ? resumeAt : 1)
    if (isLow !== this.isLow) {
      this.isLow = isLow
      this.#changed()
    }
    this.start()
  }
}
