/** `redis://` and `rediss://`: Redis, Valkey, and what speaks like them. */
import type { ConnectionOptions } from 'node:tls'
import type { Driver } from '../../client/driver.ts'
import { RedisDriver } from './driver.ts'
import type { Address } from './node-redis.ts'
import { parseRedisUrl } from './url.ts'

export interface RedisOptions {
  /** Keeps applications apart: it becomes part of every key. */
  readonly namespace?: string
  /** For `rediss://`, beside what the URL says: certificates, a key, a server name. */
  readonly tls?: ConnectionOptions
  /**
   * For networks where the nodes of a cluster, or a primary that sentinels name, are reached by other addresses than they tell
   * each other: containers, tunnels.
   */
  readonly addressMap?: (address: Address) => Address
}

/**
 * @param url `redis://user:password@host:port/database`, `rediss://…` with TLS, `redis+sentinel://host:port/primary/database`;
 *   several hosts are separated by commas. Settings: `?cluster=yes`, `wait` (replicas), `prefix` (of all keys, default 'mq'),
 *   `lease` and `heartbeat` (ms), `connection_timeout` (ms), `max_message_size` (bytes), `name`, `sentinel_username`,
 *   `sentinel_password`; with TLS `cacertfile`, `certfile`, `keyfile`, `verify`, `server_name_indication`
 * @throws ValidationError INVALID_URL, INVALID_NAME
 */
export function redisDriver(url: string, options: RedisOptions = {}): Driver {
  return new RedisDriver(parseRedisUrl(url, options))
}
