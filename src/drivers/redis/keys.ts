/** Names of keys: all of a queue's share a hash tag, and so a cluster's slot. See docs/redis-protocol.md. */

export class Keys {
  readonly #prefix: string
  readonly topology: string
  readonly expiring: string
  /** Of the queue that was asked for last: a trip to the server asks for one, and mostly the same (benchmark P7). */
  #lastName: string | undefined
  #lastKey = ''

  constructor(prefix: string) {
    this.#prefix = prefix
    this.topology = `${prefix}:topology`
    this.expiring = `${prefix}:expiring`
  }

  /** Braces would end the hash tag before its time. */
  queue(name: string): string {
    if (name === this.#lastName) return this.#lastKey
    const safe = name.replaceAll(/[%{}]/g, (sign) => `%${sign.charCodeAt(0).toString(16).toUpperCase()}`)
    this.#lastName = name
    return (this.#lastKey = `${this.#prefix}:{${safe}}`)
  }

  /**
   * A key of the same queue that is never there. While a slot moves to another node, a node refuses calls of several keys
   * of which it lacks one, before they have begun. A function that found out in its middle would stop there.
   */
  static absent(queueKey: string): string {
    return `${queueKey}:none`
  }

  /** Where a driver hears that one of its consumers should come and take. */
  wake(driver: string): string {
    return `${this.#prefix}:wake:${driver}`
  }
}
