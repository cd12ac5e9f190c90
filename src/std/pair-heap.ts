/**
 * A binary min-heap of pairs of numbers, (key, value), for millions of them: 16 bytes a pair and nothing for the garbage
 * collector to walk. Ordered by key, and pairs of one key by value, so that the order is the same on every run.
 */
import { assert } from './assert.ts'

const minimumSlots = 16

export class PairHeap {
  #keys: Float64Array
  #values: Float64Array
  #length: number

  constructor() {
    this.#keys = new Float64Array(minimumSlots)
    this.#values = new Float64Array(minimumSlots)
    this.#length = 0
  }

  get length(): number {
    return this.#length
  }

  push(key: number, value: number): void {
    if (this.#length === this.#keys.length) this.#resize(this.#length * 2)
    const index = this.#length
    this.#length += 1
    this.#rise(index, key, value)
  }

  /** The smallest key; Infinity when empty. */
  peekKey(): number {
    return this.#length === 0 ? Infinity : this.#keys[0]!
  }

  /** The value of the smallest pair; undefined when empty. */
  peekValue(): number | undefined {
    return this.#length === 0 ? undefined : this.#values[0]
  }

  /** Takes the smallest pair and gives its value; undefined when empty. Its key is what `peekKey` said before. */
  pop(): number | undefined {
    if (this.#length === 0) return undefined
    const top = this.#values[0]!
    this.#length -= 1
    const last = this.#length
    if (last > 0) this.#sink(0, this.#keys[last]!, this.#values[last]!)
    const size = this.#keys.length
    if (size > minimumSlots && last <= size >>> 3) this.#resize(size >>> 1)
    return top
  }

  clear(): void {
    this.#keys = new Float64Array(minimumSlots)
    this.#values = new Float64Array(minimumSlots)
    this.#length = 0
  }

  /** Holds the pairs (`keys[i]`, `values[i]`) instead, in linear time. The arrays are copied. */
  load(keys: ArrayLike<number>, values: ArrayLike<number>): void {
    assert(keys.length === values.length, 'every key has a value')
    const length = keys.length
    const size = Math.max(length, minimumSlots)
    this.#keys = new Float64Array(size)
    this.#keys.set(keys)
    this.#values = new Float64Array(size)
    this.#values.set(values)
    this.#length = length
    for (let index = (length >>> 1) - 1; index >= 0; index -= 1) {
      this.#sink(index, this.#keys[index]!, this.#values[index]!)
    }
  }

  /** Visits every pair, in no particular order. The heap must not change meanwhile. */
  forEach(visit: (key: number, value: number) => void): void {
    for (let index = 0; index < this.#length; index += 1) {
      visit(this.#keys[index]!, this.#values[index]!)
    }
  }

  invariants(): void {
    const size = this.#keys.length
    assert(this.#values.length === size, 'every slot of a pair heap has a key and a value')
    assert(size >= minimumSlots && this.#length <= size, 'the pairs of a heap fit its slots')
    for (let index = 1; index < this.#length; index += 1) {
      const parent = (index - 1) >>> 1
      const parentKey = this.#keys[parent]!
      const key = this.#keys[index]!
      const ordered = parentKey < key || (parentKey === key && this.#values[parent]! <= this.#values[index]!)
      assert(ordered, 'no pair of a heap is less than its parent')
    }
  }

  #rise(start: number, key: number, value: number): void {
    const keys = this.#keys
    const values = this.#values
    let index = start
    while (index > 0) {
      const parent = (index - 1) >>> 1
      const parentKey = keys[parent]!
      if (parentKey < key || (parentKey === key && values[parent]! <= value)) break
      keys[index] = parentKey
      values[index] = values[parent]!
      index = parent
    }
    keys[index] = key
    values[index] = value
  }

  #sink(start: number, key: number, value: number): void {
    const keys = this.#keys
    const values = this.#values
    const length = this.#length
    let index = start
    for (;;) {
      let child = index * 2 + 1
      if (child >= length) break
      let childKey = keys[child]!
      if (child + 1 < length) {
        const rightKey = keys[child + 1]!
        if (rightKey < childKey || (rightKey === childKey && values[child + 1]! < values[child]!)) {
          child += 1
          childKey = rightKey
        }
      }
      if (key < childKey || (key === childKey && value <= values[child]!)) break
      keys[index] = childKey
      values[index] = values[child]!
      index = child
    }
    keys[index] = key
    values[index] = value
  }

  #resize(size: number): void {
    const keys = new Float64Array(Math.max(size, minimumSlots))
    keys.set(this.#keys.subarray(0, this.#length))
    const values = new Float64Array(keys.length)
    values.set(this.#values.subarray(0, this.#length))
    this.#keys = keys
    this.#values = values
  }
}
