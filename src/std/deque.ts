/**
 * A double-ended queue on a ring buffer: push, pop, unshift and shift in constant amortised time, where an array's
 * `shift` and `splice` cost the whole length.
 *
 * The buffer's size is a power of two, so that an index wraps with a mask. It doubles when full and, above a
 * size that is kept, halves when no more than an eighth is used. A slot that is left holds `undefined`: nothing removed is kept alive.
 */
import { assert } from './assert.ts'

const minimumSlots = 16
/** A buffer of up to so many slots is kept when it empties: one that fills and empties each turn must not be made anew. */
const keptSlots = 1024

export class Deque<T> {
  #slots: (T | undefined)[]
  #mask: number
  #head: number
  #length: number

  constructor() {
    this.#slots = emptySlots(minimumSlots)
    this.#mask = minimumSlots - 1
    this.#head = 0
    this.#length = 0
  }

  get length(): number {
    return this.#length
  }

  /** Adds at the tail. */
  push(item: T): void {
    if (this.#length > this.#mask) this.#resize((this.#mask + 1) * 2)
    this.#slots[(this.#head + this.#length) & this.#mask] = item
    this.#length += 1
  }

  /** Adds at the head. */
  unshift(item: T): void {
    if (this.#length > this.#mask) this.#resize((this.#mask + 1) * 2)
    this.#head = (this.#head - 1) & this.#mask
    this.#slots[this.#head] = item
    this.#length += 1
  }

  /** Takes from the head; undefined when empty. */
  shift(): T | undefined {
    if (this.#length === 0) return undefined
    const item = this.#slots[this.#head]
    this.#slots[this.#head] = undefined
    this.#head = (this.#head + 1) & this.#mask
    this.#length -= 1
    this.#shrink()
    return item
  }

  /** Takes from the tail; undefined when empty. */
  pop(): T | undefined {
    if (this.#length === 0) return undefined
    this.#length -= 1
    const index = (this.#head + this.#length) & this.#mask
    const item = this.#slots[index]
    this.#slots[index] = undefined
    this.#shrink()
    return item
  }

  peekFirst(): T | undefined {
    return this.#slots[this.#head]
  }

  peekLast(): T | undefined {
    return this.#slots[(this.#head + this.#length - 1) & this.#mask]
  }

  /** The item `index` places behind the head, or undefined when there is none. */
  at(index: number): T | undefined {
    if (index < 0 || index >= this.#length) return undefined
    return this.#slots[(this.#head + index) & this.#mask]
  }

  clear(): void {
    this.#slots = emptySlots(minimumSlots)
    this.#mask = minimumSlots - 1
    this.#head = 0
    this.#length = 0
  }

  invariants(): void {
    const size = this.#slots.length
    assert(size >= minimumSlots && (size & (size - 1)) === 0, 'a deque has a power of two of slots')
    assert(this.#mask === size - 1, "a deque's mask fits its slots")
    assert(this.#head >= 0 && this.#head < size, "a deque's head is one of its slots")
    assert(this.#length >= 0 && this.#length <= size, "a deque's items fit its slots")
    assert(size <= keptSlots || this.#length > size >>> 3, 'a deque that is mostly empty shrinks')
    for (let index = this.#length; index < size; index += 1) {
      assert(
        this.#slots[(this.#head + index) & this.#mask] === undefined,
        'a deque keeps nothing that was removed',
      )
    }
  }

  #shrink(): void {
    const size = this.#mask + 1
    if (size > keptSlots && this.#length <= size >>> 3) this.#resize(size >>> 1)
  }

  #resize(size: number): void {
    const slots = emptySlots<T>(size)
    for (let index = 0; index < this.#length; index += 1) {
      slots[index] = this.#slots[(this.#head + index) & this.#mask]
    }
    this.#slots = slots
    this.#mask = size - 1
    this.#head = 0
  }
}

/** Filled one by one: an array made by its length alone is sparse and slower for good. */
function emptySlots<T>(size: number): (T | undefined)[] {
  const slots: (T | undefined)[] = []
  for (let index = 0; index < size; index += 1) slots.push(undefined)
  return slots
}
