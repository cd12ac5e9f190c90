/**
 * A disk that can be made to fail: it can be full, it can die in the middle of a write, and it can die at once, as the
 * disk of a process does that is killed. What was written before stays written: it is the process that dies here, not
 * the machine.
 */
import { setTimeout as delay } from 'node:timers/promises'
import type { Disk, DiskFile, FolderLock } from '../../src/store/disk.ts'

type Health = 'well' | 'full' | 'tearing' | 'dead'

export class FaultyDisk implements Disk {
  readonly #disk: Disk
  #health: Health = 'well'
  #lock: FolderLock | undefined
  #torn = false

  constructor(disk: Disk) {
    this.#disk = disk
  }

  get path(): string {
    return this.#disk.path
  }

  /** No write goes through any more, and another process may have the folder. */
  async die(): Promise<void> {
    this.#health = 'dead'
    await this.#lock?.release()
    this.#lock = undefined
  }

  /** The next write is cut in half, and then the disk is dead. */
  async dieTorn(): Promise<void> {
    this.#health = 'tearing'
    for (let waitedMs = 0; this.#health === 'tearing' && waitedMs < 20_000; waitedMs += 5) await delay(5)
    const torn = this.#torn
    await this.die()
    if (!torn) throw new Error('nothing was written that could be torn')
  }

  fill(full: boolean): void {
    if (this.#health !== 'dead') this.#health = full ? 'full' : 'well'
  }

  prepare(): Promise<void> {
    return this.#disk.prepare()
  }

  async lock(): Promise<FolderLock> {
    const lock = await this.#disk.lock()
    this.#lock = lock
    return {
      release: async () => {
        // The dead release nothing: the system does, when it buries them.
        if (this.#health === 'dead') return
        if (this.#lock === lock) this.#lock = undefined
        await lock.release()
      },
    }
  }

  lockHolder(): Promise<string | undefined> {
    return this.#disk.lockHolder()
  }

  list(folder: string): Promise<string[]> {
    return this.#disk.list(folder)
  }

  async open(path: string, mode: 'read' | 'write' | 'create'): Promise<DiskFile> {
    this.#assertAlive()
    if (mode === 'create') this.#assertRoom()
    return this.#wrap(await this.#disk.open(path, mode))
  }

  async rename(from: string, to: string): Promise<void> {
    this.#assertAlive()
    await this.#disk.rename(from, to)
  }

  async unlink(path: string): Promise<void> {
    this.#assertAlive()
    await this.#disk.unlink(path)
  }

  async makeDirectory(path: string): Promise<void> {
    this.#assertAlive()
    this.#assertRoom()
    await this.#disk.makeDirectory(path)
  }

  async syncDirectory(path: string): Promise<void> {
    this.#assertAlive()
    await this.#disk.syncDirectory(path)
  }

  async freeBytes(): Promise<number> {
    return this.#health === 'full' ? 0 : this.#disk.freeBytes()
  }

  #wrap(file: DiskFile): DiskFile {
    return {
      size: () => file.size(),
      read: (target, position) => file.read(target, position),
      write: async (buffers, position) => {
        this.#assertAlive()
        this.#assertRoom()
        if (this.#health !== 'tearing') return file.write(buffers, position)
        this.#health = 'dead'
        this.#torn = true
        const whole = Buffer.concat(buffers)
        await file.write([whole.subarray(0, whole.length >> 1)], position)
        throw systemError('EIO')
      },
      writeSync: (buffers, position) => {
        this.#assertAlive()
        this.#assertRoom()
        file.writeSync(buffers, position)
      },
      sync: async () => {
        this.#assertAlive()
        await file.sync()
      },
      syncSync: () => {
        this.#assertAlive()
        file.syncSync()
      },
      truncate: async (size) => {
        this.#assertAlive()
        await file.truncate(size)
      },
      close: () => file.close(),
    }
  }

  #assertAlive(): void {
    if (this.#health === 'dead') throw systemError('EIO')
  }

  #assertRoom(): void {
    if (this.#health === 'full') throw systemError('ENOSPC')
  }
}

function systemError(code: 'EIO' | 'ENOSPC'): Error {
  return Object.assign(new Error(`${code}: on purpose`), { code })
}
