/** Brokers that several connections of this process share; each closes with the last of them, or when it fails. */
import type { Broker } from '../broker/broker.ts'
import { ConflictError } from '../model/errors.ts'
import type { Lease } from './in-process.ts'

interface Shared {
  readonly opening: Promise<Broker>
  readonly terms: string
  users: number
}

export class SharedBrokers {
  readonly #byKey = new Map<string, Shared>()
  readonly #closing = new Map<string, Promise<void>>()

  /**
   * The broker under this key; opened for the first who asks, once the one before it is closed.
   * @param terms what all who share it must agree on, for people
   * @throws ConflictError
   */
  async acquire(key: string, open: () => Promise<Broker>, terms = ''): Promise<Lease> {
    for (let closing = this.#closing.get(key); closing !== undefined; closing = this.#closing.get(key)) {
      await closing
    }
    const shared = this.#byKey.get(key) ?? this.#begin(key, open, terms)
    if (shared.terms !== terms) {
      throw new ConflictError(
        `${key} is open in this process with ${shared.terms}, and not with ${terms}; use the same for all connections to it`,
      )
    }
    shared.users += 1
    const broker = await shared.opening
    let released: Promise<void> | undefined
    return { broker, release: () => (released ??= this.#release(key, shared, broker)) }
  }

  #begin(key: string, open: () => Promise<Broker>, terms: string): Shared {
    const shared: Shared = { opening: open(), terms, users: 0 }
    this.#byKey.set(key, shared)
    shared.opening.then(
      (broker) =>
        // It serves nobody any more, and lets go of what it holds: who comes next opens it anew.
        broker.events.on('failed', () => {
          this.#close(key, shared, broker).catch(() => undefined)
        }),
      () => this.#forget(key, shared),
    )
    return shared
  }

  async #release(key: string, shared: Shared, broker: Broker): Promise<void> {
    shared.users -= 1
    if (shared.users === 0) await this.#close(key, shared, broker)
    // On a full disk that would be until somebody makes room.
    else if (broker.state === 'open' && !broker.gate.shut) await broker.whenDurable().catch(() => undefined)
  }

  async #close(key: string, shared: Shared, broker: Broker): Promise<void> {
    this.#forget(key, shared)
    const closing = broker.close()
    const settled = closing.then(
      () => undefined,
      () => undefined,
    )
    // A failed one may be closed once more, long after its successor was.
    if (broker.state === 'closing') this.#closing.set(key, settled)
    try {
      await closing
    } finally {
      if (this.#closing.get(key) === settled) this.#closing.delete(key)
    }
  }

  #forget(key: string, shared: Shared): void {
    if (this.#byKey.get(key) === shared) this.#byKey.delete(key)
  }
}
