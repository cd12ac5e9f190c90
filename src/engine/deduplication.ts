/**
 * The de-duplication keys that one queue has seen, each until its window ends. A key is remembered when its message is
 * stored, so that a refused first try is no duplicate.
 */
import { assert } from '../std/assert.ts'
import { Heap } from '../std/heap.ts'

export interface SeenKey {
  readonly key: string
  /** The id of the message that was stored under it. */
  readonly messageId: string
  readonly untilMs: number
}

export class DeduplicationTable {
  readonly #seen: Map<string, SeenKey>
  /** In the order of their end; those replaced meanwhile are skipped. */
  readonly #ends: Heap<SeenKey>
  readonly #limit: number

  /** @param limit keys at most; beyond it, the one that would end first is forgotten */
  constructor(limit: number) {
    this.#seen = new Map()
    this.#ends = new Heap(byEnd)
    this.#limit = limit
  }

  get size(): number {
    return this.#seen.size
  }

  /** The key as it was seen, unless its window has ended. */
  find(key: string, nowMs: number): SeenKey | undefined {
    const seen = this.#seen.get(key)
    return seen !== undefined && seen.untilMs > nowMs ? seen : undefined
  }

  remember(seen: SeenKey): void {
    this.#seen.set(seen.key, seen)
    this.#ends.push(seen)
    while (this.#seen.size > this.#limit) this.#forgetFirst()
  }

  /** When the next window ends; Infinity for never. */
  nextEndMs(): number {
    return this.#ends.peek()?.untilMs ?? Infinity
  }

  /** Forgets up to `limit` keys whose window has ended and says how many. */
  forgetEnded(nowMs: number, limit: number): number {
    let forgotten = 0
    while (forgotten < limit && this.nextEndMs() <= nowMs) {
      this.#forgetFirst()
      forgotten += 1
    }
    return forgotten
  }

  values(): IterableIterator<SeenKey> {
    return this.#seen.values()
  }

  invariants(): void {
    this.#ends.invariants()
    assert(this.#seen.size <= this.#limit, 'keys seen stay within their limit')
    assert(this.#ends.length >= this.#seen.size, 'every key seen has an end')
  }

  #forgetFirst(): void {
    const first = this.#ends.pop()
    if (first !== undefined && this.#seen.get(first.key) === first) this.#seen.delete(first.key)
  }
}

function byEnd(a: SeenKey, b: SeenKey): number {
  return a.untilMs - b.untilMs
}
