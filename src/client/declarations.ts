/**
 * Declares each queue and exchange once a client, on its first use, and shares the wait between all who use it at the
 * same time. What failed is tried again by the next use.
 */
import { isDeepStrictEqual } from 'node:util'
import { ConflictError } from '../model/errors.ts'
import type { Driver, Topology } from './driver.ts'

export class Declarations {
  readonly #driver: Driver
  readonly #known = new Map<string, { topology: Topology; done: Promise<void> }>()

  constructor(driver: Driver) {
    this.#driver = driver
  }

  /**
   * @param key what is declared, e.g. 'queue emails'
   * @throws ConflictError where this client declared it differently before
   */
  declare(key: string, topology: Topology): Promise<void> {
    const known = this.#known.get(key)
    if (known !== undefined) {
      if (isDeepStrictEqual(known.topology, topology)) return known.done
      return Promise.reject(
        new ConflictError(
          `The ${key} was declared with other options before in this program; ` +
            'keep one handle, or give both the same durability, priorities, lengths and ttl',
        ),
      )
    }
    const done = this.#driver.declare(topology)
    const entry = { topology, done }
    this.#known.set(key, entry)
    done.catch(() => {
      if (this.#known.get(key) === entry) this.#known.delete(key)
    })
    return done
  }

  /** It is gone; the next use declares it anew. */
  forget(key: string): void {
    this.#known.delete(key)
  }
}
