/**
 * The seam to `redis` (node-redis), the client that this driver speaks through: an optional peer, loaded when the first
 * connection is opened. Nothing else here imports it.
 *
 * Of it only the connection to one server is used. What it knows of clusters and sentinels repeats commands by itself and
 * sends some of them to every node; for a call that must not be done twice we have to know (cluster.ts, sentinel.ts).
 */
import type { ConnectionOptions } from 'node:tls'
import { MillraceError } from '../../model/errors.ts'
import { Gathering } from './gathering.ts'

export type Library = typeof import('redis')

/** What a server answers: bulk strings as bytes. */
export type Reply = Buffer | string | number | null | readonly Reply[]

export type Argument = string | Buffer

export interface Address {
  readonly host: string
  readonly port: number
}

export interface ServerOptions {
  readonly username: string | undefined
  readonly password: string | undefined
  readonly database: number
  readonly tls: ConnectionOptions | undefined
  readonly connectionName: string
  readonly connectTimeoutMs: number
  /** A server that is silent for so long is given up, whatever its socket says. */
  readonly heartbeatMs: number
  /** So many replicas have what `confirm` is called for. */
  readonly replicas: number
}

/** What the server refused, in its own words: 'OOM command not allowed …'. */
export class ServerError extends Error {
  /** The first word. */
  get kind(): string {
    return this.message.split(' ', 1)[0] ?? ''
  }
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

type Client = ReturnType<typeof createClient>

/** A replica that has not said within this time that it has a write is asked again. */
const longestWaitMs = 500

/**
 * One connection to one server; what is sent is answered in order, and RESP3 lets what is published come between the
 * replies.
 */
export class Server {
  readonly address: Address
  readonly #client: Client
  readonly #library: Library
  readonly #options: ServerOptions
  #heart: NodeJS.Timeout | undefined
  #cause: Error | undefined
  #isClosed = false
  readonly #onLost: ((cause: Error) => void)[] = []
  readonly #confirmations = new Gathering(() => this.#wait())

  private constructor(library: Library, address: Address, options: ServerOptions) {
    const client = createClient(library, address, options)
    this.#library = library
    this.#client = client
    this.#options = options
    this.address = address
    client.on('error', (error: Error) => this.#lost(error))
    client.on('end', () => this.#lost(new Error('the connection ended')))
  }

  /** Rejects where it is refused or nobody answers. */
  static async dial(library: Library, address: Address, options: ServerOptions): Promise<Server> {
    const server = new Server(library, address, options)
    let timer: NodeJS.Timeout | undefined
    const { connectTimeoutMs } = options
    // Some listen, and never say a word.
    const late = new Promise<never>((_, reject) => {
      timer = setTimeout(() => reject(new Error(`no answer within ${connectTimeoutMs} ms`)), connectTimeoutMs)
    })
    try {
      await Promise.race([server.#client.connect(), late])
    } catch (error) {
      server.destroy()
      throw error
    } finally {
      clearTimeout(timer)
    }
    server.#beat()
    return server
  }

  /** Rejects with ServerError; with anything else the connection is lost. */
  send(words: readonly Argument[]): Promise<Reply> {
    return this.#client.sendCommand(words as Argument[]).catch(this.#refused) as unknown as Promise<Reply>
  }

  /** Of a key that is on its way here from another node. */
  sendAsking(words: readonly Argument[]): Promise<Reply> {
    this.send(['ASKING']).catch(() => undefined)
    return this.send(words)
  }

  /**
   * Resolves when as many replicas as were asked for have all that was answered before.
   * Rejects with ServerError NOREPLICAS where they are too slow, or too few.
   */
  confirm(): Promise<void> {
    return this.#options.replicas === 0 ? Promise.resolve() : this.#confirmations.join()
  }

  async subscribe(channel: string, listener: (message: string) => void): Promise<void> {
    await this.#client.subscribe(channel, listener).catch(this.#refused)
  }

  /** Told once, also who listens after it; not where it was closed by us. */
  onLost(listener: (cause: Error) => void): void {
    this.#onLost.push(listener)
    if (this.#cause !== undefined) listener(this.#cause)
  }

  /** Resolves when what was sent is answered. */
  async close(): Promise<void> {
    this.#end()
    if (this.#client.isOpen) await this.#client.close()
  }

  destroy(): void {
    this.#end()
    this.#client.destroy()
  }

  /** What the server said is one thing, a connection that went another. */
  readonly #refused = (error: unknown): never => {
    if (error instanceof this.#library.ErrorReply) throw new ServerError(error.message, { cause: error })
    throw this.#cause ?? error
  }

  #end(): void {
    this.#isClosed = true
    clearTimeout(this.#heart)
  }

  #lost(cause: Error): void {
    if (this.#isClosed || this.#cause !== undefined) return
    this.#cause = cause
    this.destroy()
    for (const listener of this.#onLost) listener(cause)
  }

  async #wait(): Promise<void> {
    const { replicas, heartbeatMs } = this.#options
    const timeoutMs = Math.min(longestWaitMs, heartbeatMs)
    const count = await this.send(['WAIT', String(replicas), String(timeoutMs)])
    if (Number(count) >= replicas) return
    throw new ServerError(`NOREPLICAS ${String(count)} of ${replicas} replicas have what was sent`)
  }

  /** Asks now and then whether the server is still there. */
  #beat(): void {
    const { heartbeatMs } = this.#options
    this.#heart = setTimeout(() => {
      let isAnswered = false
      const judge = (): void => {
        if (!isAnswered) this.#lost(new Error(`it did not answer for ${heartbeatMs} ms`))
      }
      // Where it is this process that was busy, the answer is read before the judgement.
      const late = setTimeout(() => setImmediate(judge), heartbeatMs)
      this.send(['PING'])
        .catch((error: unknown) => {
          if (isRefused(error)) this.#lost(error)
        })
        .finally(() => {
          isAnswered = true
          clearTimeout(late)
          if (!this.#isClosed) this.#beat()
        })
    }, heartbeatMs)
  }
}

function createClient(library: Library, { host, port }: Address, options: ServerOptions) {
  const { username, password, database, tls, connectTimeoutMs, connectionName } = options
  return library.createClient({
    RESP: 3 as const,
    name: connectionName,
    database,
    disableOfflineQueue: true,
    disableClientInfo: true,
    maintNotifications: 'disabled' as const,
    // The heartbeat notices a server that does not answer; a timer for each command cost more than the command (benchmark P7).
    commandOptions: { typeMapping: { [library.RESP_TYPES.BLOB_STRING]: Buffer }, timeout: 0 },
    ...(username !== undefined && { username }),
    ...(password !== undefined && { password }),
    socket: {
      host,
      port,
      connectTimeout: connectTimeoutMs,
      // The link knows when to come back.
      reconnectStrategy: false as const,
      ...(tls !== undefined && { ...tls, tls: true as const }),
    },
  })
}

/** The user has gone, or its password; a server that is loading or full is there all the same. */
function isRefused(error: unknown): error is ServerError {
  return error instanceof ServerError && ['NOAUTH', 'NOPERM', 'WRONGPASS'].includes(error.kind)
}

function isMissing(error: unknown): boolean {
  if (!(error instanceof Error) || !('code' in error)) return false
  return (
    (error.code === 'ERR_MODULE_NOT_FOUND' || error.code === 'MODULE_NOT_FOUND') &&
    error.message.includes('redis')
  )
}
