/**
 * The connection to the server, which comes back by itself: see link-state.ts for its life. Before anybody is let at a new
 * one, the hook restores what is to be there.
 *
 * A server that does not answer for the time of a heartbeat is given up, whatever its socket says.
 */
import { Deferred } from '../../std/deferred.ts'
import { ClosedError, MillraceError } from '../../model/errors.ts'
import { firstLinkState, nextLinkState, reconnectDelayMs } from '../link-state.ts'
import type { LinkEvent, LinkState } from '../link-state.ts'
import { asMillraceError, isRefusal, remedyOf } from './failure.ts'
import type { Connection } from './node-redis.ts'

export interface LinkHooks {
  readonly heartbeatMs: number
  /** Connects; rejects with a MillraceError. */
  readonly dial: () => Promise<Connection>
  readonly restore: (connection: Connection) => Promise<void>
  readonly onUp: () => void
  /** It was up, or came up no more. */
  readonly onDown: (cause: Error) => void
}

/** After so long without a failure the next one counts as the first. */
const steadyMs = 5_000
/** A server that does not answer a goodbye is left to itself. */
const closeTimeoutMs = 2_000

export class Link {
  readonly #hooks: LinkHooks
  #state: LinkState = firstLinkState
  #connection: Connection | undefined
  /** Who waits for it to be up. */
  #waiting: Deferred<Connection>[] = []
  /** Why nobody is let in; kept until somebody is. */
  #refusal: Error | undefined
  #timer: NodeJS.Timeout | undefined
  #heart: NodeJS.Timeout | undefined
  #busy: Promise<void> = Promise.resolve()

  constructor(hooks: LinkHooks) {
    this.#hooks = hooks
  }

  /** The connection while it is up. */
  get connection(): Connection | undefined {
    return this.#state.type === 'up' ? this.#connection : undefined
  }

  get isClosed(): boolean {
    return this.#state.type === 'closed'
  }

  /**
   * The first connection, now or never.
   * @throws MillraceError UNREACHABLE, ACCESS_REFUSED
   */
  async open(): Promise<Connection> {
    await this.#connect()
    const { connection } = this
    if (connection !== undefined) return connection
    const cause = this.#state.type === 'waiting' ? this.#state.cause : closed()
    await this.close()
    throw cause
  }

  /**
   * The connection, as soon as it is up.
   * @throws ClosedError; MillraceError ACCESS_REFUSED while the server refuses us
   */
  whenUp(): Promise<Connection> {
    if (this.#state.type === 'up') return Promise.resolve(this.#connection as Connection)
    if (this.#state.type === 'closed') return Promise.reject(closed())
    if (this.#refusal !== undefined) return Promise.reject(this.#refusal)
    const waiting = new Deferred<Connection>()
    this.#waiting.push(waiting)
    return waiting.promise
  }

  /** Gives a connection up, if it is still the one; the next one is made after a wait. */
  fail(connection: Connection, cause: Error): void {
    this.#lost(connection, cause)
  }

  /** Idempotent. */
  async close(): Promise<void> {
    const connection = this.#connection
    this.#connection = undefined
    this.#apply({ type: 'close' })
    clearTimeout(this.#timer)
    clearTimeout(this.#heart)
    this.#settleWaiting((waiting) => waiting.reject(closed()))
    if (connection !== undefined) await hangUp(connection)
    await this.#busy.catch(() => undefined)
  }

  async #connect(): Promise<void> {
    let connection: Connection
    try {
      connection = await this.#hooks.dial()
    } catch (error) {
      return this.#failed(error as Error)
    }
    if (this.#state.type !== 'connecting') return connection.destroy()
    this.#connection = connection
    connection.onLost((cause) => this.#lost(connection, cause))
    this.#apply({ type: 'connected' })
    try {
      await this.#hooks.restore(connection)
    } catch (error) {
      return this.#lost(connection, error as Error)
    }
    if (this.#connection !== connection) return
    this.#apply({ type: 'restored' })
    this.#refusal = undefined
    this.#timer = setTimeout(() => this.#apply({ type: 'steady' }), steadyMs).unref()
    this.#beat(connection)
    this.#hooks.onUp()
    this.#settleWaiting((waiting) => waiting.resolve(connection))
  }

  /** Asks now and then whether the server is still there. */
  #beat(connection: Connection): void {
    const { heartbeatMs } = this.#hooks
    clearTimeout(this.#heart)
    this.#heart = setTimeout(() => {
      if (this.#connection !== connection) return
      const late = setTimeout(() => {
        this.#lost(connection, new Error(`it did not answer for ${heartbeatMs} ms`))
      }, heartbeatMs)
      connection
        .send('', ['PING'])
        .catch((error: unknown) => {
          if (remedyOf(error) === 'refused') this.#lost(connection, error as Error)
        })
        .finally(() => {
          clearTimeout(late)
          if (this.#connection === connection) this.#beat(connection)
        })
    }, heartbeatMs)
  }

  #lost(connection: Connection, cause: Error): void {
    if (this.#connection !== connection) return
    this.#connection = undefined
    clearTimeout(this.#heart)
    connection.destroy()
    this.#failed(asConnectionError(cause))
  }

  #failed(cause: Error): void {
    if (this.#state.type === 'closed') return
    this.#apply({ type: 'failed', cause })
    if (this.#state.type !== 'waiting') return
    clearTimeout(this.#timer)
    this.#timer = setTimeout(() => {
      this.#apply({ type: 'due' })
      this.#busy = this.#connect()
    }, reconnectDelayMs(this.#state.failures))
    if (isRefusal(cause)) {
      this.#refusal = cause
      this.#settleWaiting((waiting) => waiting.reject(cause))
    }
    this.#hooks.onDown(cause)
  }

  #apply(event: LinkEvent): void {
    this.#state = nextLinkState(this.#state, event)
  }

  #settleWaiting(settle: (waiting: Deferred<Connection>) => void): void {
    const waiting = this.#waiting
    this.#waiting = []
    for (const one of waiting) settle(one)
  }
}

/** Waits for what is under way, but not for long. */
async function hangUp(connection: Connection): Promise<void> {
  let timer: NodeJS.Timeout | undefined
  const late = new Promise<void>((resolve) => (timer = setTimeout(resolve, closeTimeoutMs)))
  await Promise.race([connection.close().catch(() => undefined), late])
  clearTimeout(timer)
  connection.destroy()
}

function asConnectionError(cause: Error): MillraceError {
  if (cause instanceof MillraceError) return cause
  const remedy = remedyOf(cause)
  return remedy === 'refused' || remedy === 'failed'
    ? asMillraceError(cause, 'make ready what the server needs')
    : new MillraceError('CONNECTION_LOST', `The connection to Redis was lost (${cause.message})`, { cause })
}

function closed(): ClosedError {
  return new ClosedError('The connection is closed; call connect() for a new one')
}
