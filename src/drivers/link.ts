/**
 * One connection to a server that comes back by itself: see link-state.ts for its life. What the connection carried (topology,
 * consumers) is restored by the hook before anybody else is let at it.
 */
import { Deferred } from '../std/deferred.ts'
import { ClosedError, MillraceError } from '../model/errors.ts'
import { firstLinkState, nextLinkState, reconnectDelayMs } from './link-state.ts'
import type { LinkEvent, LinkState } from './link-state.ts'

export interface LinkHooks<Connection> {
  /** Connects; rejects with a MillraceError. */
  readonly dial: () => Promise<Connection>
  /** Tells of the connection's loss, with a MillraceError. */
  readonly listen: (connection: Connection, onLost: (cause: Error) => void) => void
  /** Brings back what the last connection carried; rejects with a MillraceError. */
  readonly restore: (connection: Connection) => Promise<void>
  /** Says goodbye; see `hangUp`. */
  readonly close: (connection: Connection) => Promise<void>
  /** It is given up: nobody waits for its end. */
  readonly drop: (connection: Connection) => void
  readonly onUp: () => void
  /** It was up, or came up no more. */
  readonly onDown: (cause: Error) => void
}

/** After so long without a failure the next one counts as the first. */
const steadyMs = 5_000
/** A peer that does not answer a close is left to itself. */
const closeTimeoutMs = 2_000

export class Link<Connection extends object> {
  readonly #hooks: LinkHooks<Connection>
  #state: LinkState = firstLinkState
  #connection: Connection | undefined
  /** Who waits for it to be up. */
  #waiting: Deferred<Connection>[] = []
  /** Why nobody is let in; kept until somebody is. */
  #refusal: Error | undefined
  #timer: NodeJS.Timeout | undefined
  #started = false
  #busy: Promise<void> = Promise.resolve()

  constructor(hooks: LinkHooks<Connection>) {
    this.#hooks = hooks
  }

  /** The connection while it is up. */
  get connection(): Connection | undefined {
    return this.#state.type === 'up' ? this.#connection : undefined
  }

  /**
   * The first connection, now or never.
   * @throws MillraceError UNREACHABLE, ACCESS_REFUSED, NOT_ALLOWED
   */
  async open(): Promise<Connection> {
    this.#started = true
    await this.#connect()
    const { connection } = this
    if (connection !== undefined) return connection
    const cause = this.#state.type === 'waiting' ? this.#state.cause : closed()
    await this.close()
    throw cause
  }

  /**
   * The connection, as soon as it is up. Connects where nobody did before.
   * @throws ClosedError; MillraceError ACCESS_REFUSED, NOT_ALLOWED while the server refuses us
   */
  whenUp(): Promise<Connection> {
    if (this.#state.type === 'up') return Promise.resolve(this.#connection as Connection)
    if (this.#state.type === 'closed') return Promise.reject(closed())
    if (this.#refusal !== undefined) return Promise.reject(this.#refusal)
    if (!this.#started) {
      this.#started = true
      this.#busy = this.#connect()
    }
    const waiting = new Deferred<Connection>()
    this.#waiting.push(waiting)
    return waiting.promise
  }

  /** Gives the connection up, if it is still this one; the next one is made after a wait. */
  fail(connection: Connection, cause: Error): void {
    this.#lost(connection, cause)
  }

  /** Says goodbye where there is somebody to say it to. Idempotent. */
  async close(): Promise<void> {
    const connection = this.#connection
    this.#connection = undefined
    this.#apply({ type: 'close' })
    clearTimeout(this.#timer)
    this.#settleWaiting((waiting) => waiting.reject(closed()))
    if (connection !== undefined) await this.#hooks.close(connection)
    await this.#busy.catch(() => undefined)
  }

  async #connect(): Promise<void> {
    let connection: Connection
    try {
      connection = await this.#hooks.dial()
    } catch (error) {
      return this.#failed(error as Error)
    }
    if (this.#state.type !== 'connecting') return this.#hooks.close(connection)
    this.#connection = connection
    this.#hooks.listen(connection, (cause) => this.#lost(connection, cause))
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
    this.#hooks.onUp()
    this.#settleWaiting((waiting) => waiting.resolve(connection))
  }

  #lost(connection: Connection, cause: Error): void {
    if (this.#connection !== connection) return
    this.#connection = undefined
    this.#hooks.drop(connection)
    this.#failed(cause)
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

/** Closes as the protocol asks, but not for long. */
export async function hangUp(goodbye: () => Promise<unknown>, destroy: () => void): Promise<void> {
  let timer: NodeJS.Timeout | undefined
  const late = new Promise<void>((resolve) => (timer = setTimeout(resolve, closeTimeoutMs)))
  // Closing what is closed already may throw.
  const closing = Promise.resolve()
    .then(goodbye)
    .catch(() => undefined)
  await Promise.race([closing, late])
  clearTimeout(timer)
  destroy()
}

/** The server lets nobody in with these credentials: waiting for it is no use. */
function isRefusal(error: Error): boolean {
  return error instanceof MillraceError && (error.code === 'ACCESS_REFUSED' || error.code === 'NOT_ALLOWED')
}

function closed(): ClosedError {
  return new ClosedError('The connection is closed; call connect() for a new one')
}
