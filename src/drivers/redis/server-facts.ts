/** What a server says of itself, and whether a queue is safe on it. */
import { MillraceError } from '../../model/errors.ts'
import type { ServerFacts } from './capabilities.ts'
import type { Connection } from './connection.ts'
import { ServerError } from './node-redis.ts'
import type { Reply } from './node-redis.ts'
import { asMap } from './routes.ts'

export interface CheckedFacts extends ServerFacts {
  readonly warnings: readonly string[]
}

/** LPOP with a count, SMISMEMBER, ZADD GT: nothing older will do. */
const oldestVersion = [6, 2] as const

/** @throws MillraceError PRECONDITION_FAILED for a server that is too old, or throws away what it was given */
export async function factsOf(connection: Connection): Promise<CheckedFacts> {
  const infos = (await connection.everywhere(['INFO'])).map(String)
  const versions = infos.map((info) => {
    const version = figure(info, 'redis_version')
    assertVersion(version)
    assertKeeps(figure(info, 'maxmemory_policy'), figure(info, 'maxmemory'))
    assertCluster(connection, figure(info, 'cluster_enabled') === '1')
    return version
  })
  const hasLog = infos.every((info) => figure(info, 'aof_enabled') === '1')
  const sync = hasLog ? await syncOf(connection) : 'none'
  const warnings =
    sync === 'none'
      ? [
          'Redis keeps no append-only file: what was sent since its last snapshot is lost with the server; set appendonly yes',
        ]
      : []
  return { version: versions.sort(byNumber)[0] ?? '', sync, warnings }
}

function figure(info: string, name: string): string {
  return new RegExp(`^${name}:(.*)$`, 'm').exec(info)?.[1]?.trim() ?? ''
}

function byNumber(a: string, b: string): number {
  return a.localeCompare(b, 'en', { numeric: true })
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

function assertCluster(connection: Connection, isCluster: boolean): void {
  if (connection.isCluster || !isCluster) return
  throw new MillraceError(
    'PRECONDITION_FAILED',
    'This Redis is a node of a cluster; write ?cluster=yes behind the URL',
  )
}

/** Where we may not ask, the usual. */
async function syncOf(connection: Connection): Promise<'always' | 'everysec'> {
  let replies: readonly Reply[]
  try {
    replies = await connection.everywhere(['CONFIG', 'GET', 'appendfsync'])
  } catch (error) {
    if (error instanceof ServerError) return 'everysec'
    throw error
  }
  return replies.every((reply) => asMap(reply).get('appendfsync') === 'always') ? 'always' : 'everysec'
}
