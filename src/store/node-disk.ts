/**
 * The real disk. Callbacks of `node:fs` and not `fs/promises`: a FileHandle costs more per call, and the log makes two calls
 * for each group commit.
 */
import fs from 'node:fs'
import path from 'node:path'
import { StoreError } from '../model/errors.ts'
import { acquireLock, describeHolder } from './directory-lock.ts'
import type { Disk, DiskFile, FolderLock } from './disk.ts'
import { errorCode } from './disk.ts'
import { lockFile } from './file-format.ts'

type Done<T> = (error: NodeJS.ErrnoException | null, value: T) => void

function call<T>(start: (done: Done<T>) => void): Promise<T> {
  return new Promise<T>((resolve, reject) => {
    start((error, value) => {
      if (error === null) resolve(value)
      else reject(error)
    })
  })
}

function callVoid(start: (done: (error: NodeJS.ErrnoException | null) => void) => void): Promise<void> {
  return call<void>((done) => {
    start((error) => {
      done(error ?? null)
    })
  })
}

/** A folder of the machine's file system. */
export class NodeDisk implements Disk {
  readonly path: string

  constructor(folder: string) {
    this.path = path.resolve(folder)
  }

  async prepare(): Promise<void> {
    try {
      await makeFolder(this.path)
      await fs.promises.access(this.path, fs.constants.R_OK | fs.constants.W_OK | fs.constants.X_OK)
    } catch (error) {
      throw unusable(this.path, error)
    }
  }

  async lock(): Promise<FolderLock> {
    try {
      return await acquireLock(this.path, lockFile)
    } catch (error) {
      if (error instanceof StoreError) throw error
      throw unusable(this.path, error)
    }
  }

  lockHolder(): Promise<string | undefined> {
    return describeHolder(this.path, lockFile)
  }

  async list(folder: string): Promise<string[]> {
    try {
      return await fs.promises.readdir(this.#at(folder))
    } catch (error) {
      if (errorCode(error) === 'ENOENT') return []
      throw error
    }
  }

  async open(name: string, mode: 'read' | 'write' | 'create'): Promise<DiskFile> {
    const flags = mode === 'read' ? 'r' : mode === 'write' ? 'r+' : 'w+'
    return new NodeFile(
      await call<number>((done) => {
        fs.open(this.#at(name), flags, 0o600, done)
      }),
    )
  }

  rename(from: string, to: string): Promise<void> {
    return fs.promises.rename(this.#at(from), this.#at(to))
  }

  unlink(name: string): Promise<void> {
    return fs.promises.unlink(this.#at(name))
  }

  async makeDirectory(name: string): Promise<void> {
    await makeFolder(this.#at(name))
  }

  syncDirectory(name: string): Promise<void> {
    return syncFolder(this.#at(name))
  }

  async freeBytes(): Promise<number> {
    const facts = await fs.promises.statfs(this.path)
    return facts.bavail * facts.bsize
  }

  #at(name: string): string {
    return path.join(this.path, ...name.split('/'))
  }
}

class NodeFile implements DiskFile {
  readonly #descriptor: number

  constructor(descriptor: number) {
    this.#descriptor = descriptor
  }

  async size(): Promise<number> {
    const stats = await call<fs.Stats>((done) => {
      fs.fstat(this.#descriptor, done)
    })
    return stats.size
  }

  async read(target: Uint8Array, position: number): Promise<number> {
    let filled = 0
    while (filled < target.length) {
      const start = filled
      const count = await call<number>((done) => {
        fs.read(this.#descriptor, target, start, target.length - start, position + start, done)
      })
      if (count === 0) break
      filled += count
    }
    return filled
  }

  async write(buffers: readonly Uint8Array[], position: number): Promise<void> {
    let left = buffers
    let at = position
    while (left.length > 0) {
      const part = left
      const place = at
      const written = await call<number>((done) => {
        fs.writev(this.#descriptor, part, place, (error, count) => {
          done(error, count)
        })
      })
      if (written === 0 && byteLength(part) > 0) throw fullDisk()
      left = afterBytes(part, written)
      at += written
    }
  }

  writeSync(buffers: readonly Uint8Array[], position: number): void {
    let left = buffers
    let at = position
    while (left.length > 0) {
      const written = fs.writevSync(this.#descriptor, [...left], at)
      if (written === 0 && byteLength(left) > 0) throw fullDisk()
      left = afterBytes(left, written)
      at += written
    }
  }

  sync(): Promise<void> {
    return callVoid((done) => {
      fs.fdatasync(this.#descriptor, done)
    })
  }

  syncSync(): void {
    fs.fdatasyncSync(this.#descriptor)
  }

  truncate(size: number): Promise<void> {
    return callVoid((done) => {
      fs.ftruncate(this.#descriptor, size, done)
    })
  }

  close(): Promise<void> {
    return callVoid((done) => {
      fs.close(this.#descriptor, done)
    })
  }
}

/**
 * Makes a folder and those above it, durably. Node's own `recursive` never comes back where nothing can be made, as in
 * /proc.
 */
async function makeFolder(folder: string): Promise<void> {
  const parent = path.dirname(folder)
  try {
    await fs.promises.mkdir(folder)
    await syncFolder(parent)
  } catch (error) {
    const code = errorCode(error)
    if (code === 'ENOENT' && parent !== folder && !fs.existsSync(parent)) {
      await makeFolder(parent)
      await makeFolder(folder)
    } else if (code !== 'EEXIST' || !(await fs.promises.stat(folder)).isDirectory()) throw error
  }
}

async function syncFolder(folder: string): Promise<void> {
  // Windows can neither open nor sync a folder; its file system journals the names.
  if (process.platform === 'win32') return
  const handle = await fs.promises.open(folder, 'r')
  try {
    await handle.sync()
  } finally {
    await handle.close()
  }
}

/** What is left of the buffers after so many bytes. */
function afterBytes(buffers: readonly Uint8Array[], count: number): readonly Uint8Array[] {
  let skipped = count
  let index = 0
  while (index < buffers.length && skipped >= buffers[index]!.length) {
    skipped -= buffers[index]!.length
    index += 1
  }
  if (index === buffers.length) return []
  return [buffers[index]!.subarray(skipped), ...buffers.slice(index + 1)]
}

function byteLength(buffers: readonly Uint8Array[]): number {
  let total = 0
  for (const buffer of buffers) total += buffer.length
  return total
}

/** A write that took nothing and gave no reason. */
function fullDisk(): Error {
  return Object.assign(new Error('nothing could be written'), { code: 'ENOSPC' })
}

function unusable(folder: string, cause: unknown): StoreError {
  const code = errorCode(cause)
  const why =
    code === 'EEXIST' || code === 'ENOTDIR'
      ? 'it is a file, or lies below one: name a folder'
      : code === 'EACCES' || code === 'EPERM'
        ? 'this user may not write there: change its owner or mode, or name another folder'
        : code === 'EROFS'
          ? 'its file system is read-only: name another folder'
          : code === 'ENOSPC' || code === 'EDQUOT'
            ? 'there is no room: free some space or name another folder'
            : cause instanceof Error
              ? cause.message
              : 'unknown error'
  return new StoreError('DIRECTORY_UNUSABLE', `the data folder ${folder} cannot be used: ${why}`, { cause })
}
