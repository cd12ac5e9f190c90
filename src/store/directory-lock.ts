/**
 * One owner per data folder. LOCK says who: process, machine boot, process namespace and start time.
 *
 * An owner on this boot and in this namespace is looked up exactly, so that the restart of a killed process need not
 * wait. One that cannot be looked up (another container or machine on a shared disk) is alive while it touches the
 * file. LOCK is made by linking a finished file, so that it is never seen half-written, and a dead owner's is removed under
 * a guard, LOCK.takeover, by one contender at a time.
 */
import { randomUUID } from 'node:crypto'
import fs from 'node:fs/promises'
import os from 'node:os'
import path from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { StoreError } from '../model/errors.ts'
import type { FolderLock } from './disk.ts'
import { errorCode } from './disk.ts'

/** How often an owner touches its LOCK. */
const heartbeatMs = 2000
/** An owner that cannot be looked up and has not touched its LOCK for this long is dead. */
const staleMs = 10000
/** Contenders for a dead owner's LOCK: how often one of them tries before it gives up. */
const maximumAttempts = 50
/** How long a contender waits for another one that is removing a dead owner's LOCK. */
const takeoverMs = 20

interface Owner {
  readonly pid: number
  readonly bootId: string
  readonly pidNamespace: string
  /** In clock ticks since boot, from /proc; '' where there is none. */
  readonly startTime: string
  readonly host: string
  readonly nonce: string
}

/** Throws StoreError DIRECTORY_LOCKED while another process that is alive has it. */
export async function acquireLock(folder: string, name: string): Promise<FolderLock> {
  const lockPath = path.join(folder, name)
  const owner = await ownFacts()
  for (let attempt = 0; attempt < maximumAttempts; attempt += 1) {
    if (await createExclusive(folder, lockPath, owner)) return hold(lockPath, owner)
    const holder = await readOwner(lockPath)
    if (holder === 'missing') continue
    if (!(await isDead(holder, lockPath)))
      throw lockedBy(holder === 'unreadable' ? undefined : holder, folder)
    await removeDead(folder, lockPath, owner)
  }
  throw lockedBy(undefined, folder)
}

/** Who holds the folder, for a message; undefined when nobody who is alive does. */
export async function describeHolder(folder: string, name: string): Promise<string | undefined> {
  const lockPath = path.join(folder, name)
  const holder = await readOwner(lockPath)
  if (holder === 'missing' || (await isDead(holder, lockPath))) return undefined
  return holder === 'unreadable' ? 'another process' : `process ${holder.pid} on ${holder.host}`
}

async function createExclusive(folder: string, lockPath: string, owner: Owner): Promise<boolean> {
  const temporary = path.join(folder, `LOCK.${owner.nonce}.${randomUUID()}`)
  await fs.writeFile(temporary, `${JSON.stringify(owner)}\n`, { mode: 0o600 })
  try {
    await fs.link(temporary, lockPath)
    return true
  } catch (error) {
    const code = errorCode(error)
    if (code === 'EEXIST') return false
    // A file system without hard links: an exclusive create is the next best.
    if (code === 'EPERM' || code === 'ENOSYS' || code === 'ENOTSUP' || code === 'EOPNOTSUPP') {
      return await createWithoutLink(lockPath, owner)
    }
    throw error
  } finally {
    await fs.rm(temporary, { force: true })
  }
}

async function createWithoutLink(lockPath: string, owner: Owner): Promise<boolean> {
  try {
    await fs.writeFile(lockPath, `${JSON.stringify(owner)}\n`, { flag: 'wx', mode: 0o600 })
    return true
  } catch (error) {
    if (errorCode(error) === 'EEXIST') return false
    throw error
  }
}

/**
 * Removes a dead owner's LOCK. Only who holds the guard does that, and looks again first: so a LOCK that a living contender
 * has made in between is never taken for the dead one.
 */
async function removeDead(folder: string, lockPath: string, owner: Owner): Promise<void> {
  const guardPath = `${lockPath}.takeover`
  if (!(await createExclusive(folder, guardPath, owner))) {
    const other = await readOwner(guardPath)
    if (await isDead(other, guardPath)) await fs.rm(guardPath, { force: true })
    else await delay(takeoverMs)
    return
  }
  try {
    if (await isDead(await readOwner(lockPath), lockPath)) await fs.rm(lockPath, { force: true })
  } finally {
    await fs.rm(guardPath, { force: true })
  }
}

async function isDead(owner: Owner | 'missing' | 'unreadable', lockPath: string): Promise<boolean> {
  if (owner === 'missing') return false
  return owner === 'unreadable' ? await isStale(lockPath) : !(await isAlive(owner, lockPath))
}

async function hold(lockPath: string, owner: Owner): Promise<FolderLock> {
  const now = await readOwner(lockPath)
  if (typeof now !== 'object' || now.nonce !== owner.nonce) throw lockedBy(undefined, path.dirname(lockPath))
  const heartbeat = setInterval(() => {
    const seconds = Date.now() / 1000
    fs.utimes(lockPath, seconds, seconds).catch(() => undefined)
  }, heartbeatMs)
  heartbeat.unref()
  return {
    release: async () => {
      clearInterval(heartbeat)
      const holder = await readOwner(lockPath)
      if (typeof holder === 'object' && holder.nonce === owner.nonce) await fs.rm(lockPath, { force: true })
    },
  }
}

async function readOwner(lockPath: string): Promise<Owner | 'missing' | 'unreadable'> {
  let text: string
  try {
    text = await fs.readFile(lockPath, 'utf8')
  } catch (error) {
    if (errorCode(error) === 'ENOENT') return 'missing'
    throw error
  }
  try {
    const value: unknown = JSON.parse(text)
    return isOwner(value) ? value : 'unreadable'
  } catch {
    return 'unreadable'
  }
}

function isOwner(value: unknown): value is Owner {
  if (typeof value !== 'object' || value === null) return false
  const texts = ['bootId', 'pidNamespace', 'startTime', 'host', 'nonce']
  const facts = new Map<string, unknown>(Object.entries(value))
  return typeof facts.get('pid') === 'number' && texts.every((name) => typeof facts.get(name) === 'string')
}

async function isAlive(owner: Owner, lockPath: string): Promise<boolean> {
  const own = await ownFacts()
  const isComparable =
    owner.bootId === own.bootId && owner.pidNamespace === own.pidNamespace && own.bootId !== ''
  if (!isComparable) return !(await isStale(lockPath))
  if (owner.startTime !== '') return (await startTimeOf(owner.pid)) === owner.startTime
  try {
    process.kill(owner.pid, 0)
    return true
  } catch (error) {
    return errorCode(error) === 'EPERM'
  }
}

async function isStale(lockPath: string): Promise<boolean> {
  try {
    const { mtimeMs } = await fs.stat(lockPath)
    return Math.abs(Date.now() - mtimeMs) > staleMs
  } catch (error) {
    if (errorCode(error) === 'ENOENT') return true
    throw error
  }
}

async function ownFacts(): Promise<Owner> {
  return {
    pid: process.pid,
    bootId: await bootId(),
    pidNamespace: await fs.readlink('/proc/self/ns/pid').catch(() => ''),
    startTime: await startTimeOf(process.pid),
    host: os.hostname(),
    nonce: randomUUID(),
  }
}

/** Which start of the machine this is; where the system does not say, the host and the minute it started. */
async function bootId(): Promise<string> {
  const known = await fs.readFile('/proc/sys/kernel/random/boot_id', 'utf8').catch(() => '')
  if (known !== '') return known.trim()
  return `${os.hostname()}-${Math.round((Date.now() / 1000 - os.uptime()) / 60)}`
}

/** Field 22 of /proc/<pid>/stat: when the process started; '' when it is gone or there is no /proc. */
async function startTimeOf(pid: number): Promise<string> {
  const text = await fs.readFile(`/proc/${pid}/stat`, 'utf8').catch(() => '')
  const afterName = text.slice(text.lastIndexOf(')') + 2).split(' ')
  const state = afterName[0] ?? ''
  if (state === 'Z' || state === 'X') return ''
  return afterName[19] ?? ''
}

function lockedBy(holder: Owner | undefined, folder: string): StoreError {
  const who = holder === undefined ? 'another process' : `process ${holder.pid} on ${holder.host}`
  return new StoreError(
    'DIRECTORY_LOCKED',
    `the data folder ${folder} is in use by ${who}: stop that process, use another folder, or let both talk to one broker`,
  )
}
