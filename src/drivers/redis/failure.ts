/** What Redis and its client say of a failure, as Millrace's own errors, and what is to be done about it. */
import { MillraceError } from '../../model/errors.ts'
import { ServerError } from './node-redis.ts'
import { untrusted } from '../untrusted.ts'

/**
 * - `again`: the server is not ready yet, or no more the one it was; trying again helps
 * - `full`: it takes no writes for want of memory, disk or replicas, until an operator or a consumer makes room
 * - `refused`: it does not let us
 * - `lost`: the connection, not what was asked for
 * - `failed`: anything else; trying again does not help
 */
export type Remedy = 'again' | 'full' | 'refused' | 'lost' | 'failed'

/** One node of a cluster went, and what was asked of it may have been done; the others are there. */
export class NodeLost extends Error {}

const remedies: Readonly<Record<string, Remedy>> = {
  LOADING: 'again',
  BUSY: 'again',
  TRYAGAIN: 'again',
  CLUSTERDOWN: 'again',
  MASTERDOWN: 'again',
  OOM: 'full',
  MISCONF: 'full',
  NOREPLICAS: 'full',
  NOPERM: 'refused',
  NOAUTH: 'refused',
  WRONGPASS: 'refused',
  // After a fail-over: who was the master is a replica now; a new connection finds the new one.
  READONLY: 'lost',
  UNBLOCKED: 'lost',
}

export function remedyOf(error: unknown): Remedy {
  if (error instanceof MillraceError) return error.code === 'ACCESS_REFUSED' ? 'refused' : 'failed'
  if (error instanceof NodeLost) return 'again'
  if (!(error instanceof ServerError)) return 'lost'
  const remedy = remedies[error.kind]
  if (remedy !== undefined) return remedy
  // Before 7.0 scripts put words of their own in front: 'ERR Error running script (…): -OOM command …'.
  const kind = /\b(OOM|MISCONF|NOREPLICAS|READONLY) /.exec(error.message)?.[1]
  return (kind !== undefined && remedies[kind]) || 'failed'
}

/** @param doing what failed, for messages: 'declare the queue emails' */
export function asMillraceError(error: unknown, doing: string): MillraceError {
  if (error instanceof MillraceError) return error
  const said = error instanceof Error ? error.message : String(error)
  switch (remedyOf(error)) {
    case 'refused':
      return new MillraceError(
        'ACCESS_REFUSED',
        `Redis does not let this user ${doing} (${said}); docs/redis.md says what its ACL must allow`,
        { cause: error },
      )
    case 'full':
      return new MillraceError('BLOCKED', `Redis takes no writes: ${said}`, { cause: error })
    case 'lost':
      return new MillraceError('CONNECTION_LOST', `The connection to Redis was lost (${said})`, {
        cause: error,
      })
    case 'again':
    case 'failed':
      return new MillraceError('INTERNAL', `Could not ${doing}: ${said}`, { cause: error })
  }
}

/** What became of a connection. */
export function connectionFailure(cause: Error): MillraceError {
  if (cause instanceof MillraceError) return cause
  switch (remedyOf(cause)) {
    case 'refused':
    case 'failed':
      return asMillraceError(cause, 'make ready what the server needs')
    case 'again':
      return new MillraceError(
        'UNREACHABLE',
        `Redis is not ready yet (${cause.message}); try again in a while`,
        { cause },
      )
    case 'full':
    case 'lost':
      return new MillraceError('CONNECTION_LOST', `The connection to Redis was lost (${cause.message})`, {
        cause,
      })
  }
}

/** Of several the one that somebody can do something about, before those who did not answer. */
export function mostTelling(failures: readonly MillraceError[]): MillraceError {
  return failures.find(({ code }) => code !== 'UNREACHABLE') ?? (failures[0] as MillraceError)
}

/** Why no connection was made. */
export function dialFailure(error: unknown, where: string): MillraceError {
  if (error instanceof MillraceError) return error
  const said = error instanceof Error && error.message !== '' ? error.message : String(error)
  if (/^(?:WRONGPASS|NOAUTH|NOPERM)\b/.test(said)) {
    return new MillraceError(
      'ACCESS_REFUSED',
      `${where} refused the user or its password; check both, and what its ACL allows (${said})`,
      { cause: error },
    )
  }
  if (said.includes('DB index is out of range')) {
    return new MillraceError(
      'NOT_ALLOWED',
      `${where} does not have the database of the URL's path (${said}); 'databases' in redis.conf says how many there are`,
      { cause: error },
    )
  }
  const distrust = untrusted(error, where)
  if (distrust !== undefined) return distrust
  const isThere = !/ECONNREFUSED|ENOTFOUND|EAI_AGAIN|EHOSTUNREACH|ENETUNREACH/.test(said)
  const speaks = where.startsWith('rediss') ? 'does it speak TLS?' : 'is what listens there a Redis?'
  const doubt = isThere ? `is it running, and ${speaks}` : 'is it running?'
  return new MillraceError('UNREACHABLE', `No Redis answers at ${where} (${said}); ${doubt}`, {
    cause: error,
  })
}
