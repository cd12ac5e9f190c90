/** The log file after the one being written: made empty ahead of time, so that a full file need not wait for its successor. */
import { StoreError } from '../model/errors.ts'
import type { Disk, DiskFile } from './disk.ts'
import { logFolder, logPath } from './file-format.ts'

interface Spare {
  readonly number: number
  readonly handle: DiskFile
}

export class SpareFile {
  readonly #disk: Disk
  readonly #events: { made(): void; warn(text: string): void }
  #spare: Spare | undefined = undefined
  #making: Promise<void> | undefined = undefined
  #closed = false
  /** Told already that it cannot be made. */
  #warned = false

  constructor(disk: Disk, events: { made(): void; warn(text: string): void }) {
    this.#disk = disk
    this.#events = events
  }

  get isReady(): boolean {
    return this.#spare !== undefined
  }

  get isMaking(): boolean {
    return this.#making !== undefined
  }

  /** Hands it over; there must be one. */
  take(): Spare {
    const spare = this.#spare!
    this.#spare = undefined
    return spare
  }

  async make(number: number): Promise<void> {
    const handle = await this.#disk.open(logPath(number), 'create')
    try {
      await handle.sync()
      await this.#disk.syncDirectory(logFolder)
    } catch (error) {
      await handle.close().catch(() => undefined)
      throw error
    }
    this.#spare = { number, handle }
  }

  /** In the background. Without room or a handle the present file goes on growing until a later call succeeds. */
  makeLater(number: number): void {
    if (this.#spare !== undefined || this.#making !== undefined || this.#closed) return
    this.#making = this.#tryToMake(number)
  }

  async #tryToMake(number: number): Promise<void> {
    try {
      await this.make(number)
      this.#warned = false
    } catch (error) {
      if (!this.#warned) this.#events.warn(`the next log file cannot be made: ${String(error)}`)
      this.#warned = true
    }
    this.#making = undefined
    if (this.#spare !== undefined && !this.#closed) this.#events.made()
  }

  async whenMade(): Promise<void> {
    await this.#making
  }

  /** Makes no more of them. */
  stop(): void {
    this.#closed = true
  }

  async close(): Promise<void> {
    this.#closed = true
    await this.#making
    await this.#spare?.handle.close().catch(() => undefined)
  }
}

/** The end of a log whose newest file may not grow any more. */
export function outgrown(number: number): StoreError {
  return new StoreError(
    'STORE_FAILED',
    `log file ${number} is full and the next one could not be made for a long time; nothing more is stored: mend the folder and open the store again`,
  )
}
