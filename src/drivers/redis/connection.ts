/** What the driver speaks through: one server, the primary of several, or all nodes of a cluster. */
import { MillraceError } from '../../model/errors.ts'
import { Cluster } from './cluster.ts'
import { dialFailure, mostTelling } from './failure.ts'
import { Server } from './node-redis.ts'
import type { Address, Argument, Library, Reply } from './node-redis.ts'
import { primaryBySentinel } from './sentinel.ts'
import type { RedisSettings } from './url.ts'

export interface Connection {
  /** Keys are shared out among several servers. */
  readonly isCluster: boolean
  /** Of a cluster, as it tells them now. */
  readonly nodes: readonly Address[]
  /**
   * @param key by which a cluster finds the node
   * @param confirm wait until the replicas that were asked for have it too
   * Rejects with ServerError, or NodeLost of one node of several; with anything else the connection is lost.
   */
  send(key: string, words: readonly Argument[], confirm?: boolean): Promise<Reply>
  /** Each server that takes writes once; those that do not answer are left out. */
  everywhere(words: readonly Argument[]): Promise<readonly Reply[]>
  subscribe(channel: string, listener: (message: string) => void): Promise<void>
  /** Told once, unless it was closed by us. */
  onLost(listener: (cause: Error) => void): void
  /** Resolves when what was sent is answered. */
  close(): Promise<void>
  destroy(): void
}

/**
 * Rejects with a MillraceError.
 * @param known nodes of the cluster that were there the last time
 */
export async function dial(
  library: Library,
  settings: RedisSettings,
  known: readonly Address[],
): Promise<Connection> {
  if (settings.cluster) return Cluster.dial(library, settings, [...settings.addresses, ...known])
  const { sentinel } = settings
  if (sentinel === undefined) {
    return new Single(await dialPrimary(library, settings, settings.addresses.map(settings.addressMap)))
  }
  const address = await primaryBySentinel(library, settings, sentinel)
  return new Single(await dialPrimary(library, settings, [settings.addressMap(address)]))
}

/** The first of them that takes writes. */
async function dialPrimary(
  library: Library,
  settings: RedisSettings,
  addresses: readonly Address[],
): Promise<Server> {
  const failures: MillraceError[] = []
  for (const address of addresses) {
    const where = `${settings.tls === undefined ? 'redis' : 'rediss'}://${address.host}:${address.port}`
    let server: Server | undefined
    try {
      server = await Server.dial(library, address, settings)
      const replication = String(await server.send(['INFO', 'replication']))
      const isServer = /^role:/m.test(replication) || !(await isSentinel(server))
      if (isServer && !/^role:slave/m.test(replication)) return server
      failures.push(isServer ? isReplica(where, replication) : namesSentinel(where))
    } catch (error) {
      failures.push(dialFailure(error, where))
    }
    server?.destroy()
  }
  // Who is refused, or asked a replica, can do something about it.
  throw mostTelling(failures)
}

/** It takes connections and commands as a server does, and keeps nothing. */
async function isSentinel(server: Server): Promise<boolean> {
  return /^redis_mode:sentinel/m.test(String(await server.send(['INFO', 'server'])))
}

function namesSentinel(where: string): MillraceError {
  return new MillraceError(
    'PRECONDITION_FAILED',
    `${where} is a sentinel, and keeps no messages; write ${where.replace('://', '+sentinel://')}/NAME with the primary's name ` +
      "('redis-cli -p 26379 SENTINEL MASTERS' lists them), or the address of a server",
  )
}

function isReplica(where: string, replication: string): MillraceError {
  const figure = (name: string): string =>
    new RegExp(`^${name}:(.*)$`, 'm').exec(replication)?.[1]?.trim() ?? '?'
  return new MillraceError(
    'PRECONDITION_FAILED',
    `${where} is a replica of ${figure('master_host')}:${figure('master_port')}, and takes no writes; give the primary, or all ` +
      'of them (redis://a,b), or the sentinels that know which it is (redis+sentinel://…)',
  )
}

class Single implements Connection {
  readonly isCluster = false
  readonly nodes = []
  readonly #server: Server

  constructor(server: Server) {
    this.#server = server
  }

  async send(_key: string, words: readonly Argument[], confirm = false): Promise<Reply> {
    if (!confirm) return this.#server.send(words)
    const reply = await this.#server.send(words)
    await this.#server.confirm()
    return reply
  }

  async everywhere(words: readonly Argument[]): Promise<readonly Reply[]> {
    return [await this.#server.send(words)]
  }

  subscribe(channel: string, listener: (message: string) => void): Promise<void> {
    return this.#server.subscribe(channel, listener)
  }

  onLost(listener: (cause: Error) => void): void {
    this.#server.onLost(listener)
  }

  close(): Promise<void> {
    return this.#server.close()
  }

  destroy(): void {
    this.#server.destroy()
  }
}
