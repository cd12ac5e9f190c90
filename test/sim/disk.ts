/**
 * A disk in memory that fails the way disks do. It keeps for each file what is synced and every write since, and for each
 * folder what names are durable; `crash` makes of it the disk that a machine finds after a power cut: each write that was
 * not synced is there, not there or torn, in any combination that the seed picks.
 *
 * Stepped, an operation completes only when `step` picks it, in any order between files; otherwise each completes in a
 * microtask. After `haltAt` operations nothing completes any more: the process is dead.
 */
import type { Disk, DiskFile, FolderLock } from '../../src/store/disk.ts'
import { StoreError } from '../../src/model/errors.ts'
import type { Random } from '../std/random.ts'
import { Inode } from './inode.ts'

/** A change of names that is not durable until its folder is synced. */
interface NameChange {
  readonly folder: string
  apply(names: Map<string, Inode>): void
}

interface Operation {
  readonly what: string
  readonly path: string
  run(): void
}

export type Fault = {
  readonly operation: 'write' | 'sync' | 'read' | 'open'
  readonly path: RegExp
  readonly code: string
  times: number
}

export interface SimulatedDiskOptions {
  readonly random: Random
  readonly stepped?: boolean
  /** Bytes that fit on it. */
  readonly capacityBytes?: number
  /** Operations that complete before the process is dead. */
  readonly haltAt?: number
}

/** What a crash leaves of writes that were not synced: all (a killed process), none, or whatever chance decides. */
export type CrashKind = 'process' | 'nothing' | 'chance'

export class SimulatedDisk implements Disk {
  readonly path = 'a simulated disk'
  capacityBytes: number
  haltAt: number
  operations = 0
  /** Bytes written by `writeSync`. */
  syncWrittenBytes = 0
  isHalted = false
  readonly whenHalted: Promise<void>
  readonly faults: Fault[] = []
  /** What was done, for a failure's report. */
  readonly history: string[] = []
  readonly #random: Random
  readonly #stepped: boolean
  #names = new Map<string, Inode>()
  #durable = new Map<string, Inode>()
  #changes: NameChange[] = []
  #pending: Operation[] = []
  #locked = false
  #halt!: () => void

  constructor(options: SimulatedDiskOptions) {
    this.#random = options.random
    this.#stepped = options.stepped ?? false
    this.capacityBytes = options.capacityBytes ?? Infinity
    this.haltAt = options.haltAt ?? Infinity
    this.whenHalted = new Promise<void>((resolve) => {
      this.#halt = resolve
    })
  }

  // --- What a test does -----------------------------------------------------------------------------------------------

  /** Operations that wait to be stepped. */
  get waiting(): number {
    return this.#pending.length
  }

  /** Those of them that do this to a path like that. */
  waitingFor(what: string, path: RegExp): number {
    return this.#pending.filter((operation) => operation.what === what && path.test(operation.path)).length
  }

  /**
   * Completes one operation: the first of some file, or the second where that may overtake it. Those that do what is held
   * wait on. False when none is left.
   */
  step(held?: string): boolean {
    const ready = this.#pending.filter((operation) => operation.what !== held)
    if (ready.length === 0 || this.isHalted) return false
    const paths = [...new Set(ready.map((operation) => operation.path))]
    const path = this.#random.pick(paths)
    const ofFile = ready.filter((operation) => operation.path === path)
    const [first, second] = ofFile
    const overtakes = mayOvertake.has(`${first!.what} ${second?.what ?? ''}`) && this.#random.below(2) === 0
    const operation = overtakes ? second! : first!
    this.#pending.splice(this.#pending.indexOf(operation), 1)
    operation.run()
    return true
  }

  /** The disk that is found after a crash of this moment. This one completes nothing any more. */
  crash(kind: CrashKind = 'chance', options: Partial<SimulatedDiskOptions> = {}): SimulatedDisk {
    this.isHalted = true
    this.#halt()
    const random = options.random ?? this.#random
    const next = new SimulatedDisk({
      random,
      stepped: this.#stepped,
      capacityBytes: this.capacityBytes,
      ...options,
    })
    const names = new Map(kind === 'process' ? this.#names : this.#durable)
    if (kind === 'chance') for (const change of this.#changes) if (random.below(2) === 0) change.apply(names)
    for (const [path, inode] of names) {
      const survivor = new Inode()
      survivor.live = kind === 'process' ? Buffer.from(inode.live) : inode.remains(kind, random)
      survivor.synced = Buffer.from(survivor.live)
      next.#names.set(path, survivor)
      next.#durable.set(path, survivor)
    }
    return next
  }

  /** The disk as it is, for somebody else. */
  clone(options: Partial<SimulatedDiskOptions> = {}): SimulatedDisk {
    const next = new SimulatedDisk({
      random: this.#random,
      stepped: this.#stepped,
      capacityBytes: this.capacityBytes,
      ...options,
    })
    for (const [path, inode] of this.#names) next.setFile(path, inode.live)
    return next
  }

  paths(): string[] {
    return [...this.#names.keys()].sort()
  }

  file(path: string): Buffer {
    const inode = this.#names.get(path)
    if (inode === undefined) throw new Error(`there is no ${path}`)
    return inode.live
  }

  /** Puts a durable file there, with this content. */
  setFile(path: string, content: Uint8Array): void {
    const inode = new Inode()
    inode.live = Buffer.from(content)
    inode.synced = Buffer.from(content)
    this.#names.set(path, inode)
    this.#durable.set(path, inode)
  }

  removeFile(path: string): void {
    this.#names.delete(path)
    this.#durable.delete(path)
  }

  flipBit(path: string, byte: number, bit = 0): void {
    const content = Buffer.from(this.file(path))
    content[byte] = content[byte]! ^ (1 << bit)
    this.setFile(path, content)
  }

  // --- Disk -----------------------------------------------------------------------------------------------------------

  async prepare(): Promise<void> {
    await this.#perform('prepare', '', () => undefined)
  }

  async lock(): Promise<FolderLock> {
    return await this.#perform('lock', 'LOCK', () => {
      if (this.#locked) throw new StoreError('DIRECTORY_LOCKED', `${this.path} is in use`)
      this.#locked = true
      return {
        release: async () => {
          this.#locked = false
          await Promise.resolve()
        },
      }
    })
  }

  async lockHolder(): Promise<string | undefined> {
    return await Promise.resolve(this.#locked ? 'the simulation' : undefined)
  }

  list(folder: string): Promise<string[]> {
    return this.#perform('list', folder, () => {
      const prefix = folder === '' ? '' : `${folder}/`
      const names = new Set<string>()
      for (const path of this.#names.keys()) {
        if (path.startsWith(prefix)) names.add(path.slice(prefix.length).split('/')[0]!)
      }
      return [...names]
    })
  }

  open(path: string, mode: 'read' | 'write' | 'create'): Promise<DiskFile> {
    return this.#perform('open', path, () => {
      this.#fault('open', path)
      let inode = this.#names.get(path)
      if (mode === 'create' && inode !== undefined) inode.apply({ type: 'truncate', size: 0 })
      if (mode === 'create' && inode === undefined) {
        const created = new Inode()
        inode = created
        this.#rename(folderOf(path), (names) => names.set(path, created))
      }
      if (inode === undefined) throw failure('ENOENT', path)
      return this.#handle(path, inode)
    })
  }

  rename(from: string, to: string): Promise<void> {
    return this.#perform('rename', to, () => {
      const inode = this.#names.get(from)
      if (inode === undefined) throw failure('ENOENT', from)
      this.#rename(folderOf(to), (names) => {
        names.set(to, inode)
        if (names.get(from) === inode) names.delete(from)
      })
    })
  }

  unlink(path: string): Promise<void> {
    return this.#perform('unlink', path, () => {
      const inode = this.#names.get(path)
      if (inode === undefined) throw failure('ENOENT', path)
      this.#rename(folderOf(path), (names) => {
        if (names.get(path) === inode) names.delete(path)
      })
    })
  }

  makeDirectory(path: string): Promise<void> {
    return this.#perform('makeDirectory', path, () => undefined)
  }

  syncDirectory(path: string): Promise<void> {
    return this.#perform('syncDirectory', path, () => {
      this.#changes = this.#changes.filter((change) => {
        if (change.folder !== path) return true
        change.apply(this.#durable)
        return false
      })
    })
  }

  freeBytes(): Promise<number> {
    return Promise.resolve(this.capacityBytes - this.#usedBytes())
  }

  #usedBytes(): number {
    let used = 0
    for (const inode of new Set(this.#names.values())) used += inode.live.length
    return used
  }

  #rename(folder: string, apply: (names: Map<string, Inode>) => void): void {
    apply(this.#names)
    this.#changes.push({ folder, apply })
  }

  #handle(path: string, inode: Inode): DiskFile {
    let isOpen = true
    const check = (): void => {
      if (!isOpen) throw failure('EBADF', path)
    }
    const write = (buffers: readonly Uint8Array[], position: number): void => {
      check()
      this.#fault('write', path)
      const bytes = Buffer.concat(buffers)
      const grows = Math.max(0, position + bytes.length - inode.live.length)
      const room = this.capacityBytes - this.#usedBytes()
      if (grows > room) {
        // As far as it fits, as a file system does.
        const part = bytes.subarray(0, Math.max(0, bytes.length - (grows - Math.max(0, room))))
        inode.apply({ type: 'write', position, bytes: Buffer.from(part) })
        throw failure('ENOSPC', path)
      }
      inode.apply({ type: 'write', position, bytes })
    }
    const sync = (writes?: number): void => {
      check()
      this.#fault('sync', path)
      inode.sync(writes)
    }
    return {
      size: () => this.#perform('size', path, () => inode.live.length),
      read: (target, position) =>
        this.#perform('read', path, () => {
          check()
          this.#fault('read', path)
          const part = inode.live.subarray(position, position + target.length)
          target.set(part)
          return part.length
        }),
      write: (buffers, position) => this.#perform('write', path, () => write(buffers, position)),
      writeSync: (buffers, position) => {
        if (this.isHalted) throw failure('EIO', path)
        write(buffers, position)
        for (const buffer of buffers) this.syncWrittenBytes += buffer.length
      },
      sync: () => {
        // What is written after it began may miss it.
        const { writes } = inode
        return this.#perform('sync', path, () => sync(writes))
      },
      syncSync: () => {
        if (this.isHalted) throw failure('EIO', path)
        sync()
      },
      truncate: (size) =>
        this.#perform('truncate', path, () => {
          check()
          inode.apply({ type: 'truncate', size })
        }),
      close: () =>
        this.#perform('close', path, () => {
          isOpen = false
        }),
    }
  }

  #fault(operation: Fault['operation'], path: string): void {
    for (const fault of this.faults) {
      if (fault.times <= 0 || fault.operation !== operation || !fault.path.test(path)) continue
      fault.times -= 1
      throw failure(fault.code, path)
    }
  }

  #perform<T>(what: string, path: string, action: () => T): Promise<T> {
    return new Promise<T>((resolve, reject) => {
      const run = (): void => {
        if (this.isHalted) return
        if (this.operations >= this.haltAt) {
          this.isHalted = true
          this.#halt()
          return
        }
        this.operations += 1
        this.history.push(`${this.operations} ${what} ${path}`)
        try {
          resolve(action())
        } catch (error) {
          reject(error instanceof Error ? error : new Error(String(error)))
        }
      }
      if (this.#stepped) this.#pending.push({ what, path, run })
      else queueMicrotask(run)
    })
  }
}

/** Pairs of operations on one file of which the later may end first, for each has a thread of its own. */
const mayOvertake: ReadonlySet<string> = new Set(['sync write', 'write sync', 'write close', 'sync close'])

function folderOf(path: string): string {
  const slash = path.lastIndexOf('/')
  return slash < 0 ? '' : path.slice(0, slash)
}

function failure(code: string, path: string): Error {
  return Object.assign(new Error(`${code}: ${path}`), { code })
}
