/**
 * A small typed event emitter. Listeners are called in the order they were added, synchronously, and never break each
 * other or the one who emits: what a listener throws is thrown again in a microtask of its own, where the process's
 * handler for uncaught errors sees it.
 *
 * The list of listeners is replaced when it changes, never changed in place, so that one being called may add and remove:
 * that counts from the next event on. A listener added twice is called once.
 */
type Listener<Facts extends unknown[]> = (...facts: Facts) => void

interface Registration<Facts extends unknown[]> {
  readonly listener: Listener<Facts>
  readonly once: boolean
}

type Registrations<Events extends { [Name in keyof Events]: unknown[] }> = {
  [Name in keyof Events]?: readonly Registration<Events[Name]>[]
}

/** @typeParam Events the facts that come with each event, by its name: `{ closed: [reason: string] }` */
export class Emitter<Events extends { [Name in keyof Events]: unknown[] }> {
  #registrations: Registrations<Events> = {}

  /** Calls the listener at each event of that name. */
  on<Name extends keyof Events>(name: Name, listener: Listener<Events[Name]>): this {
    return this.#add(name, listener, false)
  }

  /** Calls the listener at the next event of that name only. */
  once<Name extends keyof Events>(name: Name, listener: Listener<Events[Name]>): this {
    return this.#add(name, listener, true)
  }

  /** Does nothing when the listener is not there. */
  off<Name extends keyof Events>(name: Name, listener: Listener<Events[Name]>): this {
    const left = this.#of(name).filter((registration) => registration.listener !== listener)
    this.#registrations[name] = left
    return this
  }

  /** Tells every listener of that name; true when there was one. */
  emit<Name extends keyof Events>(name: Name, ...facts: Events[Name]): boolean {
    const registrations = this.#of(name)
    for (const registration of registrations) {
      if (registration.once) this.off(name, registration.listener)
      try {
        registration.listener(...facts)
      } catch (error) {
        queueMicrotask(() => {
          throw error
        })
      }
    }
    return registrations.length > 0
  }

  listenerCount(name: keyof Events): number {
    return this.#of(name).length
  }

  /** Forgets every listener. */
  clear(): void {
    this.#registrations = {}
  }

  #of<Name extends keyof Events>(name: Name): readonly Registration<Events[Name]>[] {
    return Object.hasOwn(this.#registrations, name) ? (this.#registrations[name] ?? []) : []
  }

  #add<Name extends keyof Events>(name: Name, listener: Listener<Events[Name]>, once: boolean): this {
    const registrations = this.#of(name)
    if (registrations.some((registration) => registration.listener === listener)) return this
    this.#registrations[name] = [...registrations, { listener, once }]
    return this
  }
}
