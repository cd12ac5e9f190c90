/** `file:` the engine in this process with a crash-safe log on disk. */
import { randomUUID } from 'node:crypto'
import { resolve } from 'node:path'
import { fileURLToPath } from 'node:url'
import { Broker } from '../broker/broker.ts'
import type { BrokerLimits } from '../broker/limits.ts'
import type { Driver } from '../client/driver.ts'
import { StoreError, ValidationError } from '../model/errors.ts'
import { errorCode, isDiskFull } from '../store/disk.ts'
import type { Disk } from '../store/disk.ts'
import { NodeDisk } from '../store/node-disk.ts'
import { Store } from '../store/store.ts'
import type { StoreOptions } from '../store/store.ts'
import { InProcessDriver } from './in-process.ts'
import { SharedBrokers } from './shared-brokers.ts'

const byFolder = new SharedBrokers()

export interface FileOptions {
  readonly namespace?: string
  /** Settings of the store that the URL does not hold. */
  readonly store?: Partial<StoreOptions>
  readonly limits?: Partial<BrokerLimits>
  /** Instead of the machine's disk, for tests. */
  readonly disk?: Disk
}

/**
 * @param url `file:./data`, `file:/var/lib/app/queue`, `file:///…`, with `?sync=group` (default), `?sync=os` or a number of
 *   milliseconds such as `?sync=100ms`
 * @throws ValidationError INVALID_URL; opening it throws ConflictError where this process has the folder with another `sync`
 */
export function fileDriver(url: string, options: FileOptions = {}): Driver {
  const { folder, sync = options.store?.sync ?? 'group' } = parse(url)
  const open = async (): Promise<Broker> => {
    const disk = options.disk ?? new NodeDisk(folder)
    const settings = { ...options.store, sync }
    const storage = await Store.open(disk, settings).catch((error: unknown) => {
      throw typed(folder, error)
    })
    return new Broker({
      storage,
      newName: randomUUID,
      ...(options.limits !== undefined && { limits: options.limits }),
    })
  }
  return new InProcessDriver({
    name: 'file',
    namespace: options.namespace,
    // What one connection is promised by its policy, another one's must not weaken.
    acquire: () => byFolder.acquire(folder, open, termsOf(sync)),
  })
}

/** What the system said, as an error that tells what to do. */
function typed(folder: string, error: unknown): unknown {
  if (error instanceof StoreError || errorCode(error) === '') return error
  const said = (error as Error).message
  return isDiskFull(error)
    ? new StoreError('DISK_FULL', `No room to open the data folder ${folder} (${said}): free some space`, {
        cause: error,
      })
    : new StoreError(
        'DIRECTORY_UNUSABLE',
        `The data folder ${folder} cannot be used (${said}): mend it or name another`,
        { cause: error },
      )
}

function parse(url: string): { folder: string; sync: StoreOptions['sync'] | undefined } {
  const match = /^file:([^?#]*)(?:\?([^#]*))?$/i.exec(url)
  const path = match?.[1] ?? ''
  if (path === '' || path === '//' || path === '///') {
    throw invalid(url, "name the folder: 'file:./data' or 'file:/var/lib/app/queue'")
  }
  const settings = new URLSearchParams(match?.[2] ?? '')
  for (const name of settings.keys()) {
    if (name !== 'sync') throw invalid(url, `it takes the setting 'sync', not '${name}'`)
  }
  if (settings.getAll('sync').length > 1) throw invalid(url, "give 'sync' once")
  return { folder: folderOf(url, path), sync: syncOf(url, settings.get('sync')) }
}

function folderOf(url: string, path: string): string {
  let folder: string
  try {
    folder = path.startsWith('//') ? fileURLToPath(`file:${path}`) : resolve(decodeURIComponent(path))
  } catch (error) {
    throw invalid(url, `${(error as Error).message} (a % is written %25, a # %23 and a ? %3F)`)
  }
  if (folder.includes('\0')) throw invalid(url, 'a path holds no NUL')
  return folder
}

function syncOf(url: string, text: string | null): StoreOptions['sync'] | undefined {
  if (text === null) return undefined
  if (text === 'group' || text === 'os') return text
  const intervalMs = Number(/^(\d+)ms$/.exec(text)?.[1])
  if (intervalMs > 0) return { intervalMs }
  throw invalid(url, "sync is 'group', 'os' or an interval such as '100ms'")
}

function termsOf(sync: NonNullable<StoreOptions['sync']>): string {
  return typeof sync === 'string' ? `sync=${sync}` : `sync=${sync.intervalMs}ms`
}

function invalid(url: string, hint: string): ValidationError {
  return new ValidationError('INVALID_URL', `'${url}' is no data folder: ${hint}`)
}
