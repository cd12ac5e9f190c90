/**
 * Calls that the server answers: declare, bind, purge, …. They have a channel of their own, since a refusal closes the
 * channel it happens on, and take turns on it, since it would take every other call under way along.
 */
import { ClosedError, MillraceError } from '../../model/errors.ts'
import { openChannel } from './amqplib.ts'
import type { Channel, Connection } from './amqplib.ts'
import { asMillraceError, isConnectionLoss } from './failure.ts'
import type { Link } from './link.ts'

export type Call<T> = (channel: Channel) => Promise<T>

/** The calls of one connection. */
export class RpcChannel {
  readonly #connection: Connection
  #channel: Channel | undefined
  #turn: Promise<unknown> = Promise.resolve()

  constructor(connection: Connection) {
    this.#connection = connection
  }

  /** @throws what `asMillraceError` makes of the server's refusal, CONNECTION_LOST */
  run<T>(doing: string, call: Call<T>): Promise<T> {
    const result = this.#turn.then(() => this.#run(doing, call))
    this.#turn = result.catch(() => undefined)
    return result
  }

  async close(): Promise<void> {
    await this.#turn
    await this.#channel?.close().catch(() => undefined)
  }

  async #run<T>(doing: string, call: Call<T>): Promise<T> {
    try {
      this.#channel ??= await openChannel(this.#connection, () => (this.#channel = undefined))
      return await call(this.#channel)
    } catch (error) {
      throw asMillraceError(error, doing)
    }
  }
}

/** The calls of a link: they wait until it is up, and are made again where the connection was lost under them. */
export class Rpc {
  readonly #link: Link
  #current: { connection: Connection; rpc: RpcChannel } | undefined

  constructor(link: Link) {
    this.#link = link
  }

  /** The call must be one that may be made twice. */
  async run<T>(doing: string, call: Call<T>): Promise<T> {
    for (;;) {
      const rpc = this.#on(await this.#link.whenUp())
      try {
        return await rpc.run(doing, call)
      } catch (error) {
        if (!isConnectionLoss(error)) throw error
        // The channel is told before the link that the connection is gone.
        await new Promise((resolve) => setImmediate(resolve))
        if (this.#link.connection === this.#current?.connection) throw error
      }
    }
  }

  /** Whether the server has it: a call that it answers with NOT_FOUND where not. */
  async exists(doing: string, call: Call<unknown>): Promise<boolean> {
    return found(this.run(doing, call))
  }

  #on(connection: Connection): RpcChannel {
    if (this.#current?.connection !== connection) {
      this.#current = { connection, rpc: new RpcChannel(connection) }
    }
    return this.#current.rpc
  }
}

export async function found(call: Promise<unknown>): Promise<boolean> {
  try {
    await call
    return true
  } catch (error) {
    if (error instanceof MillraceError && error.code === 'NOT_FOUND') return false
    // Somebody else's exclusive queue is there, too.
    if (error instanceof MillraceError && error.code === 'RESOURCE_LOCKED') return true
    throw error
  }
}

export function isClosed(error: unknown): boolean {
  return error instanceof ClosedError
}
