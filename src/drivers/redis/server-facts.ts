/** What a server says of itself, and whether a queue is safe on it. */
import { MillraceError } from '../../model/errors.ts'
import { asMap } from './routes.ts'
import type { ServerFacts } from './capabilities.ts'
import { ServerError } from './node-redis.ts'
import type { Connection, Reply } from './node-redis.ts'

export interface CheckedFacts extends ServerFacts {
  readonly warnings: readonly string[]
}

/** LPOP with a count, SMISMEMBER, ZADD GT: nothing older will do. */
const oldestVersion = [6, 2] as const

/** @throws MillraceError UNSUPPORTED version, PRECONDITION_FAILED for a server that throws away what it was given */
export async function factsOf(connection: Connection): Promise<CheckedFacts> {
  const info = String(await connection.send('', ['INFO']))
  const figure = (name: string): string => new RegExp(`^${name}:(.*)$`, 'm').exec(info)?.[1]?.trim() ?? ''
  const version = figure('valkey_version') === '' ? figure('redis_version') : figure('redis_version')
  assertVersion(version)
  assertKeeps(figure('maxmemory_policy'), figure('maxmemory'))
  const sync = figure('aof_enabled') === '1' ? await syncOf(connection) : 'none'
  const warnings =
    sync === 'none'
      ? [
          'Redis keeps no append-only file: what was sent since its last snapshot is lost with the server; set appendonly yes',
        ]
      : []
  return { version, sync, warnings }
}

function assertVersion(version: string): void {
  const [major = 0, minor = 0] = version.split('.').map(Number)
  if (major > oldestVersion[0] || (major === oldestVersion[0] && minor >= oldestVersion[1])) return
  throw new MillraceError('PRECONDITION_FAILED', `This Redis is ${version}; Millrace needs 6.2 or later`)
}

function assertKeeps(policy: string, maximum: string): void {
  if (policy === '' || policy === 'noeviction') return
  throw new MillraceError(
    'PRECONDITION_FAILED',
    `This Redis drops keys when its memory is full (maxmemory-policy ${policy}, maxmemory ${maximum}), and a queue's messages ` +
      'with them; set maxmemory-policy noeviction, or use a server of its own for queues',
  )
}

/** Where we may not ask, the usual. */
async function syncOf(connection: Connection): Promise<'always' | 'everysec'> {
  let reply: Reply
  try {
    reply = await connection.send('', ['CONFIG', 'GET', 'appendfsync'])
  } catch (error) {
    if (error instanceof ServerError) return 'everysec'
    throw error
  }
  return asMap(reply).get('appendfsync') === 'always' ? 'always' : 'everysec'
}
