/** Holding messages back by what this driver makes of the server's queues. */
import { ValidationError } from '../../model/errors.ts'
import type { WireTable } from './field-values.ts'
import type { RpcChannel } from './rpc.ts'

/** Where a delayed message is to go. */
export interface Destination {
  readonly type: 'queue' | 'exchange'
  readonly name: string
}

/** Whoever makes calls on the server. */
export type Caller = Pick<RpcChannel, 'run'>

export interface Delays {
  readonly maximumMs: number
  /**
   * Sees to the way of a message and says where it begins and what it must carry.
   * @throws MillraceError NOT_FOUND where the destination is not there
   */
  prepare(delayMs: number, destination: Destination): Promise<{ exchange: string; headers: WireTable }>
  /** The queue or exchange was deleted, and its binding with it. */
  forget(name: string): void
  /** Another connection, perhaps another server: nothing is known to be there. */
  reset(): void
}

/** @throws ValidationError INVALID_ARGUMENT */
export function assertDelay(delayMs: number, maximumMs: number): void {
  if (delayMs >= 0 && delayMs <= maximumMs) return
  throw new ValidationError('INVALID_ARGUMENT', `delayMs must be from 0 to ${maximumMs}, not ${delayMs}`)
}

/**
 * A binding is made again after so long: somebody else may have deleted its queue and declared it anew, and what is
 * held back for it would get lost.
 */
const bindingMs = 1_000

/** Bindings that were made a moment ago. */
export class FreshBindings {
  readonly #made = new Map<string, { untilMs: number; done: Promise<void> }>()

  /** Makes the binding unless it is fresh. */
  ensure(destination: Destination, bind: () => Promise<void>): Promise<void> {
    const key = keyOf(destination)
    const nowMs = performance.now()
    const known = this.#made.get(key)
    if (known !== undefined && known.untilMs > nowMs) return known.done
    const done = bind()
    this.#made.set(key, { untilMs: nowMs + bindingMs, done })
    done.catch(() => this.#made.delete(key))
    return done
  }

  forget(name: string): void {
    for (const type of ['queue', 'exchange'] as const) this.#made.delete(keyOf({ type, name }))
  }

  clear(): void {
    this.#made.clear()
  }
}

function keyOf({ type, name }: Destination): string {
  return `${type} ${name}`
}
