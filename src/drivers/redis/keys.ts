/** Names of keys: all of a queue's share a hash tag, and so a cluster's slot. See docs/redis-protocol.md. */

export class Keys {
  readonly #prefix: string
  readonly topology: string
  readonly expiring: string

  constructor(prefix: string) {
    this.#prefix = prefix
    this.topology = `${prefix}:topology`
    this.expiring = `${prefix}:expiring`
  }

  /** Braces would end the hash tag before its time. */
  queue(name: string): string {
    return `${this.#prefix}:{${name.replaceAll(/[%{}]/g, (sign) => `%${sign.charCodeAt(0).toString(16).toUpperCase()}`)}}`
  }

  /** Where a driver hears that one of its consumers should come and take. */
  wake(driver: string): string {
    return `${this.#prefix}:wake:${driver}`
  }
}
