/**
 * A disk on top of another one that it never writes to: what is written stays in memory and is gone with it. Recovery runs
 * on it for `millrace doctor`, which so says exactly what opening the folder would do.
 */
import type { Disk, DiskFile, FolderLock } from './disk.ts'
import { quarantineFolder } from './file-format.ts'

export class ScratchDisk implements Disk {
  readonly path: string
  readonly #below: Disk
  /** Files that were written here; undefined for those unlinked. */
  readonly #files = new Map<string, ScratchFile | undefined>()

  constructor(below: Disk) {
    this.path = below.path
    this.#below = below
  }

  prepare(): Promise<void> {
    return Promise.resolve()
  }

  lock(): Promise<FolderLock> {
    return Promise.resolve({ release: () => Promise.resolve() })
  }

  lockHolder(): Promise<string | undefined> {
    return this.#below.lockHolder()
  }

  async list(folder: string): Promise<string[]> {
    const prefix = folder === '' ? '' : `${folder}/`
    const names = new Set(await this.#below.list(folder))
    for (const [path, file] of this.#files) {
      if (!path.startsWith(prefix)) continue
      const name = path.slice(prefix.length)
      if (file === undefined) names.delete(name)
      else if (!name.includes('/')) names.add(name)
    }
    return [...names]
  }

  async open(path: string, mode: 'read' | 'write' | 'create'): Promise<DiskFile> {
    if (mode === 'create') {
      // Copies of damaged files are large, and nobody reads them here.
      const keeps = !path.startsWith(`${quarantineFolder}/`)
      const created = new ScratchFile(Buffer.alloc(0), keeps)
      this.#files.set(path, created)
      return created
    }
    if (this.#files.has(path)) {
      const known = this.#files.get(path)
      if (known === undefined) throw Object.assign(new Error(`${path} is not there`), { code: 'ENOENT' })
      return known
    }
    const below = await this.#below.open(path, 'read')
    if (mode === 'read') return below
    try {
      const bytes = Buffer.allocUnsafeSlow(await below.size())
      await below.read(bytes, 0)
      const copy = new ScratchFile(bytes, true)
      this.#files.set(path, copy)
      return copy
    } finally {
      await below.close()
    }
  }

  async rename(from: string, to: string): Promise<void> {
    const file = this.#files.get(from) ?? (await this.open(from, 'write'))
    this.#files.set(from, undefined)
    if (file instanceof ScratchFile) this.#files.set(to, file)
  }

  unlink(path: string): Promise<void> {
    this.#files.set(path, undefined)
    return Promise.resolve()
  }

  makeDirectory(): Promise<void> {
    return Promise.resolve()
  }

  syncDirectory(): Promise<void> {
    return Promise.resolve()
  }

  freeBytes(): Promise<number> {
    return Promise.resolve(Infinity)
  }
}

/** A file in memory. */
class ScratchFile implements DiskFile {
  #bytes: Buffer
  readonly #keeps: boolean

  /** @param keeps what is written; else it takes everything and stays as it is */
  constructor(bytes: Buffer, keeps: boolean) {
    this.#bytes = bytes
    this.#keeps = keeps
  }

  size(): Promise<number> {
    return Promise.resolve(this.#bytes.length)
  }

  read(target: Uint8Array, position: number): Promise<number> {
    const part = this.#bytes.subarray(position, position + target.length)
    target.set(part)
    return Promise.resolve(part.length)
  }

  write(buffers: readonly Uint8Array[], position: number): Promise<void> {
    this.writeSync(buffers, position)
    return Promise.resolve()
  }

  writeSync(buffers: readonly Uint8Array[], position: number): void {
    if (!this.#keeps) return
    const bytes = Buffer.concat(buffers)
    const end = position + bytes.length
    if (end > this.#bytes.length) this.#bytes = Buffer.concat([this.#bytes], end)
    this.#bytes.set(bytes, position)
  }

  sync(): Promise<void> {
    return Promise.resolve()
  }

  syncSync(): void {}

  truncate(size: number): Promise<void> {
    this.#bytes = this.#bytes.subarray(0, size)
    return Promise.resolve()
  }

  close(): Promise<void> {
    return Promise.resolve()
  }
}
