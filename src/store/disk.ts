/**
 * The store's only seam to the outside: a folder with files in it. `NodeDisk` is the real one; the simulation has its
 * own, which loses, tears and reorders what was not synced.
 *
 * Paths are relative to the folder and use '/'. Errors carry the system's `code` ('ENOSPC', 'EIO', 'ENOENT').
 */
export interface Disk {
  /** How the folder is called in messages. */
  readonly path: string
  /** Makes sure that the folder is there and can be written. Throws StoreError DIRECTORY_UNUSABLE. */
  prepare(): Promise<void>
  /** Takes the folder for this process. Throws StoreError DIRECTORY_LOCKED. */
  lock(): Promise<FolderLock>
  /** Who holds the folder, as text for a message; undefined for nobody. */
  lockHolder(): Promise<string | undefined>
  /** The names in a folder, in no order; none when it is missing. */
  list(folder: string): Promise<string[]>
  /** `read` and `write` want an existing file, `create` makes an empty one of whatever there is. */
  open(path: string, mode: 'read' | 'write' | 'create'): Promise<DiskFile>
  rename(from: string, to: string): Promise<void>
  unlink(path: string): Promise<void>
  /** Does nothing when it is there. */
  makeDirectory(path: string): Promise<void>
  /** Makes creations, renames and unlinks in the folder durable. */
  syncDirectory(path: string): Promise<void>
  /** Bytes that can still be written. */
  freeBytes(): Promise<number>
}

export interface FolderLock {
  release(): Promise<void>
}

/** An open file; every access says where. */
export interface DiskFile {
  size(): Promise<number>
  /** Fills the target as far as the file goes and returns how many bytes that were. */
  read(target: Uint8Array, position: number): Promise<number>
  /** Writes the buffers one after another; they must not change before it is done. */
  write(buffers: readonly Uint8Array[], position: number): Promise<void>
  /** The same at once, for what has to outlive the process now. */
  writeSync(buffers: readonly Uint8Array[], position: number): void
  /** Makes everything written durable. After a failure nothing may be assumed of what was written since the last one. */
  sync(): Promise<void>
  /** The same at once. */
  syncSync(): void
  truncate(size: number): Promise<void>
  close(): Promise<void>
}

/** The system's error code of something thrown, or ''. */
export function errorCode(error: unknown): string {
  if (typeof error !== 'object' || error === null || !('code' in error)) return ''
  return typeof error.code === 'string' ? error.code : ''
}

/** No room left: the one kind of failed write that may be tried again. */
export function isDiskFull(error: unknown): boolean {
  const code = errorCode(error)
  return code === 'ENOSPC' || code === 'EDQUOT'
}

/** Reads a whole small file; undefined when it is missing. */
export async function readWhole(disk: Disk, path: string): Promise<Buffer | undefined> {
  let file: DiskFile
  try {
    file = await disk.open(path, 'read')
  } catch (error) {
    if (errorCode(error) === 'ENOENT') return undefined
    throw error
  }
  try {
    const bytes = Buffer.allocUnsafe(await file.size())
    return bytes.subarray(0, await file.read(bytes, 0))
  } finally {
    await file.close()
  }
}

/** Writes a whole small file so that it is there in full or not at all. */
export async function replaceWhole(disk: Disk, path: string, buffers: readonly Uint8Array[]): Promise<void> {
  const temporary = `${path}.tmp`
  const file = await disk.open(temporary, 'create')
  try {
    await file.write(buffers, 0)
    await file.sync()
  } finally {
    await file.close()
  }
  await disk.rename(temporary, path)
  const slash = path.lastIndexOf('/')
  await disk.syncDirectory(slash < 0 ? '' : path.slice(0, slash))
}

/** Unlinks; a file that is not there is fine. */
export async function unlinkIfPresent(disk: Disk, path: string): Promise<void> {
  try {
    await disk.unlink(path)
  } catch (error) {
    if (errorCode(error) !== 'ENOENT') throw error
  }
}
