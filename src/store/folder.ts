/** The data folder as a whole: is it ours, which version, which files are there. */
import { randomBytes } from 'node:crypto'
import { crc32 } from 'node:zlib'
import { StoreError } from '../model/errors.ts'
import type { Disk } from './disk.ts'
import { readWhole, replaceWhole, unlinkIfPresent } from './disk.ts'
import { formatFile, formatVersion, lockFile, logFolder, parseName, quarantineFolder } from './file-format.ts'

/** What the FORMAT file says. */
export interface FolderIdentity {
  /** Random, made with the folder; the salts of its log files come from it. */
  readonly id: string
}

/** FORMAT is one line: `millrace <version> <id> <crc of what is before, in hex>`. */
export function formatLine(identity: FolderIdentity, version: number = formatVersion): string {
  const facts = `millrace ${version} ${identity.id}`
  return `${facts} ${checksumOf(facts)}\n`
}

function checksumOf(text: string): string {
  return crc32(Buffer.from(text)).toString(16).padStart(8, '0')
}

/** The seed of the batch checksums of one log file: known even when the file's own header is lost. */
export function saltOf(identity: FolderIdentity, number: number): number {
  return crc32(Buffer.from(`${identity.id}/${number}`))
}

type FormatState =
  | { readonly type: 'ours'; readonly identity: FolderIdentity }
  | { readonly type: 'damaged' }
  | { readonly type: 'missing' }

/** Throws StoreError FORMAT_TOO_NEW, or DIRECTORY_UNUSABLE for a folder that is somebody else's. Changes nothing. */
export async function checkFolder(disk: Disk): Promise<FormatState> {
  const bytes = await readWhole(disk, formatFile)
  if (bytes === undefined) {
    const names = await disk.list('')
    const foreign = names.filter((name) => !isOurs(name))
    if (foreign.length > 0) throw notOurs(disk, foreign[0]!)
    return (await logNumbers(disk)).length > 0 ? { type: 'damaged' } : { type: 'missing' }
  }
  const match = /^millrace (\d+) ([0-9a-z-]+) ([0-9a-f]{8})\s*$/.exec(bytes.toString('latin1'))
  const isSound = match !== null && checksumOf(`millrace ${match[1]} ${match[2]}`) === match[3]
  if (isSound && Number(match[1]) > formatVersion) {
    throw new StoreError(
      'FORMAT_TOO_NEW',
      `the data folder ${disk.path} was written by a newer Millrace (format ${match[1]}, this one reads ${formatVersion}): upgrade Millrace or use another folder`,
    )
  }
  if (isSound) return { type: 'ours', identity: { id: match[2]! } }
  if ((await logNumbers(disk)).length > 0) return { type: 'damaged' }
  throw notOurs(disk, formatFile)
}

function isOurs(name: string): boolean {
  return (
    name === logFolder ||
    name === quarantineFolder ||
    name === lockFile ||
    name.startsWith(`${lockFile}.`) ||
    name === `${formatFile}.tmp`
  )
}

function notOurs(disk: Disk, name: string): StoreError {
  return new StoreError(
    'DIRECTORY_UNUSABLE',
    `${disk.path} is not a Millrace folder (it holds '${name}'): name an empty or a new folder`,
  )
}

/** Makes the folder ours. */
export async function createFolder(disk: Disk, id?: string): Promise<FolderIdentity> {
  const identity = { id: id ?? randomBytes(8).toString('hex') }
  await disk.makeDirectory(logFolder)
  await replaceWhole(disk, formatFile, [Buffer.from(formatLine(identity))])
  return identity
}

/** The numbers of the log files, ascending. */
export async function logNumbers(disk: Disk): Promise<number[]> {
  const numbers: number[] = []
  for (const name of await disk.list(logFolder)) {
    const parsed = parseName(name)
    if (parsed?.kind === 'log') numbers.push(parsed.number)
  }
  return numbers.sort((a, b) => a - b)
}

/** What an interrupted rewrite has left. */
export async function removeTemporaries(disk: Disk): Promise<void> {
  for (const name of await disk.list(logFolder)) {
    if (name.endsWith('.tmp')) await unlinkIfPresent(disk, `${logFolder}/${name}`)
  }
}

const copyBytes = 4 * 1024 * 1024

/** Copies a damaged file as it is to quarantine/ and returns the copy's path. */
export async function quarantine(disk: Disk, path: string): Promise<string> {
  await disk.makeDirectory(quarantineFolder)
  const taken = new Set(await disk.list(quarantineFolder))
  const base = path.slice(path.lastIndexOf('/') + 1)
  let name = base
  for (let copy = 2; taken.has(name); copy += 1) name = `${base}.${copy}`
  const target = `${quarantineFolder}/${name}`
  const from = await disk.open(path, 'read')
  try {
    const to = await disk.open(target, 'create')
    try {
      const buffer = Buffer.allocUnsafeSlow(copyBytes)
      for (let position = 0; ;) {
        const count = await from.read(buffer, position)
        if (count === 0) break
        await to.write([buffer.subarray(0, count)], position)
        position += count
      }
      await to.sync()
    } finally {
      await to.close()
    }
  } finally {
    await from.close()
  }
  await disk.syncDirectory(quarantineFolder)
  return target
}
