/**
 * What operators allow a virtual host (connections, queues) or a user (connections, channels). The engine minds those of
 * queues; connections and channels are the server's to count.
 */
import { MillraceError } from '../model/errors.ts'
import type { LimitFacts, Setting } from '../model/setting.ts'
import type { Kernel } from './kernel.ts'
import { unknownUser, unknownVhost } from './refusals.ts'

type Limited = Pick<LimitFacts, 'scope' | 'name' | 'limit'>

const known: Readonly<Record<LimitFacts['scope'], readonly string[]>> = {
  vhost: ['max-connections', 'max-queues'],
  user: ['max-connections', 'max-channels'],
}

export class OperatorLimits {
  readonly #kernel: Kernel
  readonly #byScope = {
    vhost: new Map<string, Map<LimitFacts['limit'], number>>(),
    user: new Map<string, Map<LimitFacts['limit'], number>>(),
  }

  constructor(kernel: Kernel) {
    this.#kernel = kernel
  }

  /** Infinity where there is no limit; 0 allows none. */
  value(scope: LimitFacts['scope'], name: string, limit: LimitFacts['limit']): number {
    const value = this.#byScope[scope].get(name)?.get(limit) ?? -1
    return value < 0 ? Infinity : value
  }

  /** A value below 0 stands for no limit. Throws NOT_FOUND (user, virtual host), INVALID_ARGUMENT. */
  set(facts: LimitFacts): void {
    const kernel = this.#kernel
    kernel.enter()
    const { scope, name, limit, value } = facts
    if (!known[scope].includes(limit))
      throw invalid(`Unrecognised terms [{<<"${limit}">>,${value}}] in limits`)
    if (!Number.isSafeInteger(value))
      throw invalid(`<<"${limit}">> should be an integer, actually was ${value}`)
    if (scope === 'vhost' && !kernel.vhosts.has(name)) throw unknownVhost(name)
    if (scope === 'user' && !kernel.access.users.has(name)) throw unknownUser(name)
    this.restore(facts)
    kernel.journal.defined({ type: 'limit.set', scope, name, limit, value })
  }

  /** False if there was none. */
  clear({ scope, name, limit }: Limited): boolean {
    this.#kernel.enter()
    const limits = this.#byScope[scope].get(name)
    if (limits?.delete(limit) !== true) return false
    if (limits.size === 0) this.#byScope[scope].delete(name)
    this.#kernel.journal.defined({ type: 'limit.cleared', scope, name, limit })
    return true
  }

  *values(): IterableIterator<LimitFacts> {
    for (const scope of ['vhost', 'user'] as const) {
      for (const [name, limits] of this.#byScope[scope]) {
        for (const [limit, value] of limits) yield { scope, name, limit, value }
      }
    }
  }

  /** Applies what is on record. */
  restore({ scope, name, limit, value }: LimitFacts): void {
    const limits = this.#byScope[scope].get(name)
    if (limits === undefined) this.#byScope[scope].set(name, new Map([[limit, value]]))
    else limits.set(limit, value)
  }

  forgetVhost(name: string): void {
    this.#byScope.vhost.delete(name)
  }

  forgetUser(name: string): void {
    this.#byScope.user.delete(name)
  }

  /** Everything, as facts. */
  *settings(): IterableIterator<Setting> {
    for (const facts of this.values()) yield { type: 'limit.set', ...facts }
  }
}

function invalid(message: string): MillraceError {
  return new MillraceError('INVALID_ARGUMENT', message)
}
