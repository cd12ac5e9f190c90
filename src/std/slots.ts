/**
 * Things that come and go, each in a numbered slot while it is there.
 *
 * A Map would do, but for one thing: V8's Map makes a new table again and again while entries come and go, each old table
 * points to its successor, and once one of these has grown old, everything that passed through those after it lives until
 * the next full collection (benchmark P1: twice the messages a second without).
 */
import { assert } from './assert.ts'

export class Slots<T> {
  readonly #items: (T | undefined)[] = []
  /** Empty slots, the one to be used next at the end. */
  readonly #free: number[] = []

  get size(): number {
    return this.#items.length - this.#free.length
  }

  /** Puts it into a slot and says which. */
  add(item: T): number {
    const slot = this.#free.pop() ?? this.#items.length
    this.#items[slot] = item
    return slot
  }

  /** What is in the slot, or undefined. */
  at(slot: number): T | undefined {
    return this.#items[slot]
  }

  /** Puts something else into a slot that is taken. */
  replace(slot: number, item: T): void {
    assert(this.#items[slot] !== undefined, 'only what is there is replaced')
    this.#items[slot] = item
  }

  /** Empties the slot; one that is empty is ok. */
  remove(slot: number): void {
    if (this.#items[slot] === undefined) return
    this.#items[slot] = undefined
    this.#free.push(slot)
  }

  /** What is there, with its slot. */
  *entries(): IterableIterator<readonly [slot: number, item: T]> {
    for (const [slot, item] of this.#items.entries()) if (item !== undefined) yield [slot, item]
  }

  invariants(): void {
    const empty = this.#items.filter((item) => item === undefined).length
    assert(empty === this.#free.length, 'every empty slot is free once')
    assert(new Set(this.#free).size === this.#free.length, 'no slot is free twice')
  }
}
