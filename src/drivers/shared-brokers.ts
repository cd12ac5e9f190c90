/** Brokers that several connections of this process share; each closes with the last of them. */
import type { Broker } from '../broker/broker.ts'
import type { Lease } from './in-process.ts'

interface Shared {
  readonly opening: Promise<Broker>
  users: number
}

export class SharedBrokers {
  readonly #byKey = new Map<string, Shared>()
  readonly #closing = new Map<string, Promise<void>>()

  /** The broker under this key; opened for the first who asks. */
  async acquire(key: string, open: () => Promise<Broker>): Promise<Lease> {
    await this.#closing.get(key)
    let shared = this.#byKey.get(key)
    if (shared === undefined) {
      shared = { opening: open(), users: 0 }
      this.#byKey.set(key, shared)
    }
    const mine = shared
    mine.users += 1
    let broker: Broker
    try {
      broker = await mine.opening
    } catch (error) {
      if (this.#byKey.get(key) === mine) this.#byKey.delete(key)
      throw error
    }
    // A failed one serves nobody any more; who comes next opens it anew.
    broker.events.on('failed', () => this.#byKey.get(key) === mine && this.#byKey.delete(key))
    let released: Promise<void> | undefined
    return { broker, release: () => (released ??= this.#release(key, mine, broker)) }
  }

  async #release(key: string, shared: Shared, broker: Broker): Promise<void> {
    shared.users -= 1
    if (shared.users > 0) return
    if (this.#byKey.get(key) === shared) this.#byKey.delete(key)
    const closing = broker.close()
    const settled = closing.catch(() => undefined)
    this.#closing.set(key, settled)
    await closing.finally(() => this.#closing.get(key) === settled && this.#closing.delete(key))
  }
}
