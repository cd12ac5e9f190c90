/**
 * One generation of one log file, open for reading: its handle and the rows of its index. Who reads holds it between
 * `acquire` and `release`, so that compaction and deletion can retire it under readers without cutting them off.
 */
import { crc32 } from 'node:zlib'
import { assert } from '../std/assert.ts'
import type { Disk, DiskFile } from './disk.ts'
import { SliceRows, rowBytesOf } from './slice-index.ts'
import type { Slice } from './slice-index.ts'

/** What all readers of a store share: how many files are open, and the rows kept in memory. */
export class ReaderPool {
  readonly disk: Disk
  readonly #openFiles: number
  readonly #rowBytes: number
  /** In order of last use. */
  readonly #open = new Set<FileReader>()
  readonly #rows = new Map<string, SliceRows>()
  #rowTotal = 0

  constructor(disk: Disk, limits: { openFiles: number; indexCacheBytes: number }) {
    this.disk = disk
    this.#openFiles = limits.openFiles
    this.#rowBytes = limits.indexCacheBytes
  }

  /** The reader was used: it is the last to be closed. */
  touch(reader: FileReader): void {
    this.#open.delete(reader)
    this.#open.add(reader)
    if (this.#open.size <= this.#openFiles) return
    for (const oldest of this.#open) {
      if (this.#open.size <= this.#openFiles) break
      if (oldest.closeIfIdle()) this.#open.delete(oldest)
    }
  }

  forget(reader: FileReader): void {
    this.#open.delete(reader)
    for (const [key, rows] of this.#rows) {
      if (!key.startsWith(`${reader.id}/`)) continue
      this.#rows.delete(key)
      this.#rowTotal -= rows.bytes
    }
  }

  cached(key: string): SliceRows | undefined {
    const rows = this.#rows.get(key)
    if (rows === undefined) return undefined
    this.#rows.delete(key)
    this.#rows.set(key, rows)
    return rows
  }

  keep(key: string, rows: SliceRows): void {
    if (this.#rows.has(key)) return
    this.#rows.set(key, rows)
    this.#rowTotal += rows.bytes
    for (const [oldest, old] of this.#rows) {
      if (this.#rowTotal <= this.#rowBytes || oldest === key) break
      this.#rows.delete(oldest)
      this.#rowTotal -= old.bytes
    }
  }
}

/** The index file is damaged: its rows do not have their checksum. */
export class DamagedIndexError extends Error {}

export class FileReader {
  readonly id: number
  readonly #pool: ReaderPool
  readonly #paths: { readonly log: string; readonly index: string }
  #log: Promise<DiskFile> | undefined
  #index: Promise<DiskFile> | undefined
  #users = 0
  #retired = false
  /** The handle is also the log writer's. */
  #pinned: boolean

  static #lastId = 0

  constructor(pool: ReaderPool, paths: { log: string; index: string }, handle?: DiskFile) {
    FileReader.#lastId += 1
    this.id = FileReader.#lastId
    this.#pool = pool
    this.#paths = paths
    this.#log = handle === undefined ? undefined : Promise.resolve(handle)
    this.#pinned = handle !== undefined
  }

  acquire(): void {
    assert(!this.#retired, 'nobody begins to read a retired file')
    this.#users += 1
  }

  release(): void {
    this.#users -= 1
    assert(this.#users >= 0, 'a reader is released once for each acquire')
    if (this.#retired && this.#users === 0) this.#close()
  }

  /** The log writer is done with the handle: it may be closed when others need the room. */
  unpin(): void {
    this.#pinned = false
  }

  /** No new readers; closes when the last one is done. */
  retire(): void {
    if (this.#retired) return
    this.#retired = true
    this.#pinned = false
    this.#pool.forget(this)
    if (this.#users === 0) this.#close()
  }

  /** Resolves once a retired reader's handles are closed. */
  async closed(): Promise<void> {
    await this.#closing
  }

  #closing: Promise<unknown> = Promise.resolve()

  log(): Promise<DiskFile> {
    if (!this.#retired) this.#pool.touch(this)
    return (this.#log ??= this.#pool.disk.open(this.#paths.log, 'read').catch((error: unknown) => {
      this.#log = undefined
      throw error
    }))
  }

  /** Throws DamagedIndexError. */
  async rows(slice: Slice): Promise<SliceRows> {
    const key = `${this.id}/${slice.offset}`
    const known = this.#pool.cached(key)
    if (known !== undefined) return known
    if (!this.#retired) this.#pool.touch(this)
    this.#index ??= this.#pool.disk.open(this.#paths.index, 'read').catch((error: unknown) => {
      this.#index = undefined
      throw error
    })
    const bytes = Buffer.allocUnsafeSlow(slice.count * rowBytesOf(slice.slot))
    const count = await (await this.#index).read(bytes, slice.offset)
    if (count !== bytes.length || crc32(bytes) !== slice.rowsCrc)
      throw new DamagedIndexError(this.#paths.index)
    const rows = new SliceRows(bytes, slice.slot)
    if (!this.#retired) this.#pool.keep(key, rows)
    return rows
  }

  /** True when it is closed now. */
  closeIfIdle(): boolean {
    if (this.#users > 0 || this.#pinned) return false
    this.#close()
    return true
  }

  #close(): void {
    const handles = [this.#log, this.#index]
    this.#log = undefined
    this.#index = undefined
    this.#closing = Promise.all([
      this.#closing,
      ...handles.map((handle) => handle?.then((file) => file.close()).catch(() => undefined)),
    ])
  }
}
