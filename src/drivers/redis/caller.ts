/**
 * Calls the functions on the server until they have answered. A call whose reply was lost with the connection is made
 * again on the next one, marked as repeated: the server remembers by the request's number what it answered, and does
 * nothing twice.
 */
import { setTimeout as delay } from 'node:timers/promises'
import type { Connection } from './connection.ts'
import { asMillraceError, connectionFailure, remedyOf } from './failure.ts'
import type { Library } from './library.ts'
import type { Link } from './link.ts'
import type { Argument, Reply } from './node-redis.ts'

export interface Call {
  /** Of the function; absent: the words are a command. */
  readonly name?: string
  /** Of the queue, or of the topology. */
  readonly key: string
  readonly words: readonly Argument[]
  /** Told before each try. */
  readonly onSent?: () => void
  /** What it is for, in errors: 'declare the queue emails'. */
  readonly doing: string
  /** Calls with a request number carry the mark of a repetition as their third word. */
  readonly numbered?: boolean
  /** Waits while the server takes no writes, instead of failing with BLOCKED. */
  readonly patient?: boolean
  /** What it stores must not be lost in a fail-over, where replicas are to confirm. */
  readonly confirm?: boolean
}

/** Tries after which a server that is not ready is said to block. */
const manyPauses = 6
const firstPauseMs = 25
const longestPauseMs = 1_000

export interface BlockedHooks {
  readonly onBlocked: (reason: string) => void
  readonly onUnblocked: () => void
}

export class Caller {
  readonly #link: Link
  readonly #library: Library
  readonly #hooks: BlockedHooks
  /** Calls that wait for the server to take writes again. */
  #blocked = 0

  constructor(link: Link, library: Library, hooks: BlockedHooks) {
    this.#link = link
    this.#library = library
    this.#hooks = hooks
  }

  async #connectionFor(call: Call): Promise<Connection> {
    const connection = await this.#link.whenUp()
    call.onSent?.()
    return connection
  }

  /**
   * @throws ClosedError, MillraceError ACCESS_REFUSED, BLOCKED, INTERNAL
   */
  async call(call: Call): Promise<Reply> {
    let words = call.words
    let isBlocked = false
    try {
      for (let pauses = 0; ; pauses += 1) {
        const connection = await this.#connectionFor(call)
        try {
          const { name, key, confirm = false } = call
          if (name === undefined) return await connection.send(key, words, confirm)
          return await this.#library.run(connection, { name, key, words, confirm })
        } catch (error) {
          if (!isBlocked && waits(call, error, pauses)) {
            isBlocked = true
            this.#wait(error as Error)
          }
          await this.#recover(call, connection, error, pauses)
        }
        if (call.numbered === true) words = [...words.slice(0, 2), '1', ...words.slice(3)]
      }
    } finally {
      if (isBlocked) this.#goOn()
    }
  }

  /** Resolves when it may be tried again. */
  async #recover(call: Call, connection: Connection, error: unknown, pauses: number): Promise<void> {
    const remedy = remedyOf(error)
    if (remedy === 'lost' || remedy === 'refused')
      this.#link.fail(connection, connectionFailure(error as Error))
    if (remedy === 'lost') return
    if (remedy === 'again' || (remedy === 'full' && call.patient === true)) {
      await delay(Math.min(firstPauseMs * 2 ** Math.min(pauses, 10), longestPauseMs))
      return
    }
    throw asMillraceError(error, call.doing)
  }

  #wait(error: Error): void {
    this.#blocked += 1
    if (this.#blocked === 1) this.#hooks.onBlocked(error.message)
  }

  #goOn(): void {
    this.#blocked -= 1
    if (this.#blocked === 0) this.#hooks.onUnblocked()
  }
}

/** Nothing can be done but wait, and those who listen are told. */
function waits(call: Call, error: unknown, pauses: number): boolean {
  const remedy = remedyOf(error)
  return remedy === 'full' ? call.patient === true : remedy === 'again' && pauses >= manyPauses
}
