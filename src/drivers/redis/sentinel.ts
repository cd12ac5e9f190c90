/**
 * Who the primary is, as the sentinels know it (https://redis.io/docs/latest/develop/reference/sentinel-clients/). They are asked
 * anew for each connection, so that after a fail-over the next one finds the new primary.
 */
import { MillraceError } from '../../model/errors.ts'
import { dialFailure, mostTelling } from './failure.ts'
import { Server, ServerError } from './node-redis.ts'
import type { Address, Library, Reply } from './node-redis.ts'
import type { RedisSettings, SentinelSettings } from './url.ts'

/** The first that answers is believed. @throws MillraceError UNREACHABLE, ACCESS_REFUSED, NOT_FOUND, PRECONDITION_FAILED */
export async function primaryBySentinel(
  library: Library,
  settings: RedisSettings,
  { primary, username, password }: SentinelSettings,
): Promise<Address> {
  const failures: MillraceError[] = []
  let knows = true
  for (const address of settings.addresses) {
    let sentinel: Server | undefined
    try {
      sentinel = await Server.dial(library, address, { ...settings, username, password, database: 0 })
      const reply = await sentinel.send(['SENTINEL', 'GET-MASTER-ADDR-BY-NAME', primary])
      if (reply !== null) {
        const [host, port] = (reply as readonly Reply[]).map(String)
        return { host: host ?? '', port: Number(port) }
      }
      knows = false
    } catch (error) {
      failures.push(
        isUnknownCommand(error)
          ? notSentinel(address, settings)
          : dialFailure(error, `the sentinel ${address.host}:${address.port}`),
      )
    } finally {
      sentinel?.destroy()
    }
  }
  if (!knows) {
    throw new MillraceError(
      'NOT_FOUND',
      `The sentinels know no primary named ${primary}; 'redis-cli -p 26379 SENTINEL MASTERS' lists those they do`,
    )
  }
  throw mostTelling(failures)
}

/** Only sentinels know the command. */
function isUnknownCommand(error: unknown): boolean {
  return error instanceof ServerError && /unknown command/i.test(error.message)
}

function notSentinel({ host, port }: Address, { tls, database }: RedisSettings): MillraceError {
  const url = `${tls === undefined ? 'redis' : 'rediss'}://${host}:${port}/${database}`
  return new MillraceError(
    'PRECONDITION_FAILED',
    `${host}:${port} is a Redis, but not a sentinel; to use this server write ${url}, or give the addresses of sentinels ` +
      '(their port is 26379 by default)',
  )
}
