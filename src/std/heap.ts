/** A binary min-heap of objects, ordered by a compare function. Equal items come out in no particular order. */
import { assert } from './assert.ts'

export class Heap<T> {
  #items: T[]
  readonly #compare: (a: T, b: T) => number

  /** @param compare negative when `a` comes out before `b` */
  constructor(compare: (a: T, b: T) => number) {
    this.#items = []
    this.#compare = compare
  }

  get length(): number {
    return this.#items.length
  }

  push(item: T): void {
    this.#items.push(item)
    this.#rise(this.#items.length - 1)
  }

  /** Takes the smallest; undefined when empty. */
  pop(): T | undefined {
    const top = this.#items[0]
    const last = this.#items.pop()
    if (last !== undefined && this.#items.length > 0) {
      this.#items[0] = last
      this.#sink(0)
    }
    return top
  }

  /** The smallest; undefined when empty. */
  peek(): T | undefined {
    return this.#items[0]
  }

  clear(): void {
    this.#items = []
  }

  /** Holds these items instead, in linear time. */
  replaceAll(items: Iterable<T>): void {
    this.#items = [...items]
    for (let index = (this.#items.length >>> 1) - 1; index >= 0; index -= 1) this.#sink(index)
  }

  /** Every item, in no particular order. The heap must not change meanwhile. */
  values(): IterableIterator<T> {
    return this.#items.values()
  }

  invariants(): void {
    for (let index = 1; index < this.#items.length; index += 1) {
      const parent = this.#items[(index - 1) >>> 1]!
      assert(this.#compare(parent, this.#items[index]!) <= 0, 'no item of a heap is less than its parent')
    }
  }

  #rise(start: number): void {
    const items = this.#items
    const item = items[start]!
    let index = start
    while (index > 0) {
      const parentIndex = (index - 1) >>> 1
      const parent = items[parentIndex]!
      if (this.#compare(item, parent) >= 0) break
      items[index] = parent
      index = parentIndex
    }
    items[index] = item
  }

  #sink(start: number): void {
    const items = this.#items
    const item = items[start]!
    const firstLeaf = items.length >>> 1
    let index = start
    while (index < firstLeaf) {
      let childIndex = index * 2 + 1
      let child: T = items[childIndex]!
      const right = items[childIndex + 1]
      if (right !== undefined && this.#compare(right, child) < 0) {
        childIndex += 1
        child = right
      }
      if (this.#compare(item, child) <= 0) break
      items[index] = child
      index = childIndex
    }
    items[index] = item
  }
}
