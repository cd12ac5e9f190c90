/**
 * The seam to `redis` (node-redis), the client that this driver speaks through: an optional peer, loaded when the first
 * connection is opened. Nothing else here imports it.
 *
 * One connection does it all: RESP3 lets what is published come between the replies.
 */
import { MillraceError } from '../../model/errors.ts'
import type { RedisSettings } from './url.ts'

type Library = typeof import('redis')

/** What a server answers: bulk strings as bytes. */
export type Reply = Buffer | string | number | null | readonly Reply[]

export type Argument = string | Buffer

/** What the server refused, in its own words: 'OOM command not allowed …'. */
export class ServerError extends Error {
  /** The first word. */
  get kind(): string {
    return this.message.split(' ', 1)[0] ?? ''
  }
}

/** One connection; what is sent is answered in order. */
export interface Connection {
  /**
   * @param key by which a cluster finds the node
   * Rejects with ServerError; with anything else the connection is lost.
   */
  send(key: string, words: readonly Argument[]): Promise<Reply>
  /** Each node once. */
  everywhere(words: readonly Argument[]): Promise<readonly Reply[]>
  subscribe(channel: string, listener: (message: string) => void): Promise<void>
  /** Told once, unless it was closed by us. */
  onLost(listener: (cause: Error) => void): void
  /** Resolves when what was sent is answered. */
  close(): Promise<void>
  destroy(): void
}

/** @throws MillraceError MISSING_PACKAGE */
export async function loadNodeRedis(load: () => Promise<unknown> = () => import('redis')): Promise<Library> {
  try {
    return (await load()) as Library
  } catch (error) {
    if (!isMissing(error)) throw error
    throw new MillraceError(
      'MISSING_PACKAGE',
      'redis:// speaks through the package redis, which is not installed: npm install redis@^6.0.0',
      { cause: error },
    )
  }
}

/** Rejects where it is refused or nobody answers. */
export async function dial(library: Library, settings: RedisSettings): Promise<Connection> {
  return settings.cluster ? dialCluster(library, settings) : dialServer(library, settings)
}

async function dialServer(library: Library, settings: RedisSettings): Promise<Connection> {
  const client = library.createClient({
    ...clientOptions(library, settings),
    database: settings.database,
    socket: {
      ...socketOptions(settings),
      host: settings.hostname,
      port: settings.port,
    },
  })
  const watch = new LossWatch()
  client.on('error', (error: Error) => watch.lost(error))
  client.on('end', () => watch.lost(new Error('the connection ended')))
  const send = (words: readonly Argument[]): Promise<Reply> =>
    client.sendCommand(words as Argument[]).catch(refused(library)) as unknown as Promise<Reply>
  await client.connect()
  return {
    send: (_key, words) => send(words),
    everywhere: async (words) => [await send(words)],
    subscribe: (channel, listener) => client.subscribe(channel, listener),
    onLost: (listener) => watch.listen(listener),
    close: () => {
      watch.close()
      return client.close()
    },
    destroy: () => {
      watch.close()
      if (client.isOpen) client.destroy()
    },
  }
}

async function dialCluster(library: Library, settings: RedisSettings): Promise<Connection> {
  const { hostname: host, port } = settings
  const cluster = library.createCluster({
    rootNodes: [{ socket: { ...socketOptions(settings), host, port } }],
    defaults: { ...clientOptions(library, settings), socket: socketOptions(settings) },
  })
  const watch = new LossWatch()
  cluster.on('error', (error: Error) => watch.lost(error))
  cluster.on('node-error', (error: Error) => watch.lost(error))
  await cluster.connect()
  return {
    send: (key, words) =>
      cluster
        .sendCommand(key, false, words as Argument[])
        .catch(refused(library)) as unknown as Promise<Reply>,
    everywhere: (words) =>
      Promise.all(
        cluster.masters.map(async (node) => {
          const client = await cluster.nodeClient(node)
          return client.sendCommand(words as Argument[]).catch(refused(library)) as unknown as Promise<Reply>
        }),
      ),
    subscribe: (channel, listener) => cluster.subscribe(channel, listener),
    onLost: (listener) => watch.listen(listener),
    close: () => {
      watch.close()
      return cluster.close()
    },
    destroy: () => {
      watch.close()
      cluster.destroy()
    },
  }
}

/** Tells of a loss once, also who listens after it. */
class LossWatch {
  #cause: Error | undefined
  #closed = false
  #listener: ((cause: Error) => void) | undefined

  listen(listener: (cause: Error) => void): void {
    this.#listener = listener
    if (this.#cause !== undefined) listener(this.#cause)
  }

  lost(cause: Error): void {
    if (this.#closed || this.#cause !== undefined) return
    this.#cause = cause
    this.#listener?.(cause)
  }

  close(): void {
    this.#closed = true
  }
}

function clientOptions(library: Library, settings: RedisSettings) {
  const { username, password } = settings
  return {
    RESP: 3 as const,
    name: settings.connectionName,
    disableOfflineQueue: true,
    disableClientInfo: true,
    maintNotifications: 'disabled' as const,
    commandOptions: { typeMapping: { [library.RESP_TYPES.BLOB_STRING]: Buffer } },
    ...(username !== undefined && { username }),
    ...(password !== undefined && { password }),
  }
}

function socketOptions(settings: RedisSettings) {
  return {
    connectTimeout: settings.connectTimeoutMs,
    // The link knows when to come back.
    reconnectStrategy: false as const,
    ...(settings.tls !== undefined && { ...settings.tls, tls: true as const }),
  }
}

/** What the server said is one thing, a connection that went another. */
function refused(library: Library): (error: unknown) => never {
  return (error) => {
    if (error instanceof library.ErrorReply) throw new ServerError(error.message, { cause: error })
    throw error
  }
}

function isMissing(error: unknown): boolean {
  if (!(error instanceof Error) || !('code' in error)) return false
  return (
    (error.code === 'ERR_MODULE_NOT_FOUND' || error.code === 'MODULE_NOT_FOUND') &&
    error.message.includes('redis')
  )
}
