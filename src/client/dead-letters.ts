/** The dead-letter queue of a queue: what is in it, and the way back. */
import { MillraceError, UnsupportedError } from '../model/errors.ts'
import { BrowsedJob, browse, browseChecks } from './browse.ts'
import type { BrowseSettings } from './browse.ts'
import type { Link } from './link.ts'
import { checkOptions, isInteger } from './options.ts'
import { unlessAborted, waitChecks, waitOf } from './wait.ts'
import type { WaitOptions } from './wait.ts'

/** The queue it belongs to. */
interface Owner {
  readonly name: string
  declare(options: WaitOptions): Promise<void>
}

export class DeadLetters<_Data = unknown> {
  /** The dead-letter queue's name, or undefined where the queue has none. */
  readonly name: string | undefined
  readonly #link: Link
  readonly #owner: Owner

  /** @internal */
  constructor(link: Link, owner: Owner, name: string | undefined) {
    this.#link = link
    this.#owner = owner
    this.name = name
  }

  /** Messages in it; 0 where the queue has none. */
  async count(options: WaitOptions = {}): Promise<number> {
    checkOptions(`queue ${this.#owner.name}: dead.count`, options, waitChecks)
    const { name } = this
    if (name === undefined) return 0
    await this.#owner.declare(options)
    const stats = unlessAborted(options.signal, () => this.#link.driver.stats(name))
    return orWhereMissing(async () => (await stats).ready, 0)
  }

  /** Looks without touching. Headers say why each is there: `x-millrace-reason`, `x-millrace-error`, `x-death`. */
  async browse(settings: Omit<BrowseSettings, 'state'> = {}): Promise<BrowsedJob[]> {
    checkOptions(`queue ${this.#owner.name}: browse`, settings, browseChecks)
    const { name } = this
    if (name === undefined) return []
    await this.#owner.declare(waitOf(settings))
    return orWhereMissing(() => browse(this.#link.driver, name, 'ready', settings), [])
  }

  /**
   * Back into the queue, the oldest first, attempts reset; says how many. At any crash each message is in exactly one of
   * the two queues, where the engine can (see its capabilities).
   */
  async redrive(options: { limit?: number } & WaitOptions = {}): Promise<number> {
    checkOptions(`queue ${this.#owner.name}: redrive`, options, {
      limit: isInteger(1, Number.MAX_SAFE_INTEGER),
      ...waitChecks,
    })
    const name = this.#required()
    await this.#owner.declare(waitOf(options))
    return unlessAborted(options.signal, () => this.#link.driver.move(name, this.#owner.name, options))
  }

  /** Drops the dead and says how many. */
  async purge(options: WaitOptions = {}): Promise<number> {
    checkOptions(`queue ${this.#owner.name}: dead.purge`, options, waitChecks)
    const name = this.#required()
    await this.#owner.declare(options)
    return unlessAborted(options.signal, () => this.#link.driver.purge(name))
  }

  #required(): string {
    if (this.name !== undefined) return this.name
    throw new UnsupportedError({
      feature: 'a dead-letter queue',
      driver: `The queue ${this.#owner.name}`,
      hint: "it was declared with deadLetter: false; give it a dead-letter queue, or leave the option out for the default '.dead'",
    })
  }
}

/** A queue that was declared elsewhere may have no dead-letter queue of the name we expect, or it was deleted. */
async function orWhereMissing<T>(look: () => Promise<T>, none: T): Promise<T> {
  try {
    return await look()
  } catch (error) {
    if (error instanceof MillraceError && error.code === 'NOT_FOUND') return none
    throw error
  }
}
