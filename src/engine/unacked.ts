/**
 * A session's deliveries by delivery tag: a ring indexed by tag - base, so that settling in any order takes no search.
 *
 * Tags ascend and are never used again. Where one old delivery keeps the ring from moving on while a great many pass by, the
 * old ones move to a map, so that the ring stays in proportion to what is outstanding.
 */
import { assert } from '../std/assert.ts'
import { MillraceError } from '../model/errors.ts'
import type { EngineDelivery } from './delivery.ts'

const minimumSlots = 16

export class Unacked {
  #slots: (EngineDelivery | undefined)[]
  #mask: number
  /** The tag of the first slot in use. */
  #base: number
  /** The tag that comes after the last slot in use. */
  #end: number
  #count: number
  #stragglers: Map<number, EngineDelivery> | undefined

  constructor() {
    this.#slots = Array.from({ length: minimumSlots }, () => undefined)
    this.#mask = minimumSlots - 1
    this.#base = 1
    this.#end = 1
    this.#count = 0
    this.#stragglers = undefined
  }

  /** Deliveries outstanding. */
  get length(): number {
    return this.#count
  }

  /** The lowest tag outstanding; 0 for none. */
  get oldestTag(): number {
    let oldest = this.#base === this.#end ? Infinity : this.#base
    if (this.#stragglers !== undefined)
      for (const tag of this.#stragglers.keys()) oldest = Math.min(oldest, tag)
    return oldest === Infinity ? 0 : oldest
  }

  /** Adds a delivery; its tag is above all that were added. */
  add(delivery: EngineDelivery): void {
    const tag = delivery.deliveryTag
    if (this.#base === this.#end) {
      this.#base = tag
    } else if (tag - this.#base > this.#mask) {
      this.#makeRoom(tag)
    }
    this.#slots[tag & this.#mask] = delivery
    this.#end = tag + 1
    this.#count += 1
  }

  get(tag: number): EngineDelivery | undefined {
    if (tag >= this.#base) return tag < this.#end ? this.#slots[tag & this.#mask] : undefined
    return this.#stragglers?.get(tag)
  }

  /** Removes and gives the delivery with that tag; undefined if it is not outstanding. */
  take(tag: number): EngineDelivery | undefined {
    if (tag < this.#base) return this.#takeStraggler(tag)
    if (tag >= this.#end) return undefined
    const index = tag & this.#mask
    const delivery = this.#slots[index]
    if (delivery === undefined) return undefined
    this.#slots[index] = undefined
    this.#count -= 1
    if (tag === this.#base) this.#advance()
    return delivery
  }

  /** Removes and gives all up to and with that tag, oldest first; all there are for 0. */
  takeThrough(tag: number): EngineDelivery[] {
    const taken: EngineDelivery[] = []
    if (this.#stragglers !== undefined) {
      for (const [oldTag, delivery] of this.#stragglers) if (tag === 0 || oldTag <= tag) taken.push(delivery)
      taken.sort(byTag)
      for (const delivery of taken) this.#takeStraggler(delivery.deliveryTag)
    }
    const last = tag === 0 ? this.#end - 1 : Math.min(tag, this.#end - 1)
    for (let current = this.#base; current <= last; current += 1) {
      const index = current & this.#mask
      const delivery = this.#slots[index]
      if (delivery === undefined) continue
      this.#slots[index] = undefined
      this.#count -= 1
      taken.push(delivery)
    }
    this.#advance()
    return taken
  }

  /** Puts back what was taken: a transaction was rolled back. */
  restore(delivery: EngineDelivery): void {
    const tag = delivery.deliveryTag
    this.#count += 1
    if (tag >= this.#base && tag < this.#end) {
      this.#slots[tag & this.#mask] = delivery
    } else {
      this.#stragglers ??= new Map()
      this.#stragglers.set(tag, delivery)
    }
  }

  forEach(visit: (delivery: EngineDelivery) => void): void {
    if (this.#stragglers !== undefined) for (const delivery of this.#stragglers.values()) visit(delivery)
    for (let tag = this.#base; tag < this.#end; tag += 1) {
      const delivery = this.#slots[tag & this.#mask]
      if (delivery !== undefined) visit(delivery)
    }
  }

  invariants(): void {
    let count = this.#stragglers?.size ?? 0
    if (this.#stragglers !== undefined) {
      for (const tag of this.#stragglers.keys()) assert(tag < this.#base, 'a straggler is before the ring')
    }
    for (let tag = this.#base; tag < this.#end; tag += 1) {
      const delivery = this.#slots[tag & this.#mask]
      if (delivery === undefined) continue
      assert(delivery.deliveryTag === tag, 'a delivery stands at its tag')
      count += 1
    }
    assert(count === this.#count, 'deliveries outstanding are counted')
    assert(this.#end - this.#base <= this.#slots.length, 'the ring holds its tags')
    const first = this.#slots[this.#base & this.#mask]
    assert(this.#base === this.#end || first !== undefined, 'the ring begins with a delivery')
  }

  #takeStraggler(tag: number): EngineDelivery | undefined {
    const delivery = this.#stragglers?.get(tag)
    if (delivery === undefined) return undefined
    this.#stragglers?.delete(tag)
    this.#count -= 1
    return delivery
  }

  #advance(): void {
    const mask = this.#mask
    while (this.#base < this.#end && this.#slots[this.#base & mask] === undefined) this.#base += 1
  }

  #evictFirst(): void {
    const index = this.#base & this.#mask
    const delivery = this.#slots[index]
    if (delivery !== undefined) {
      this.#stragglers ??= new Map()
      this.#stragglers.set(this.#base, delivery)
      this.#slots[index] = undefined
    }
    this.#base += 1
  }

  #makeRoom(tag: number): void {
    const inRing = this.#count - (this.#stragglers?.size ?? 0)
    if (this.#mask > 1023 && inRing * 8 < this.#mask) {
      const half = this.#base + ((this.#mask + 1) >>> 1)
      while (this.#base < this.#end && this.#base < half) this.#evictFirst()
      this.#advance()
      if (this.#base === this.#end) this.#base = this.#end = tag
    }
    while (tag - this.#base > this.#mask) this.#grow()
  }

  #grow(): void {
    const size = (this.#mask + 1) * 2
    const slots: (EngineDelivery | undefined)[] = []
    for (let index = 0; index < size; index += 1) slots.push(undefined)
    for (let tag = this.#base; tag < this.#end; tag += 1) {
      slots[tag & (size - 1)] = this.#slots[tag & this.#mask]
    }
    this.#slots = slots
    this.#mask = size - 1
  }
}

/** Takes what AMQP's peers must know to be there. Throws PRECONDITION_FAILED. */
export function takeKnown(unacked: Unacked, tag: number): EngineDelivery {
  const delivery = unacked.take(tag)
  if (delivery === undefined) throw unknownTag(tag)
  return delivery
}

/** As `takeKnown`, with all before it; all there are for 0, were it none. */
export function takeKnownThrough(unacked: Unacked, tag: number): EngineDelivery[] {
  if (tag !== 0 && unacked.get(tag) === undefined) throw unknownTag(tag)
  return unacked.takeThrough(tag)
}

function unknownTag(tag: number): MillraceError {
  return new MillraceError('PRECONDITION_FAILED', `unknown delivery tag ${tag}`)
}

function byTag(a: EngineDelivery, b: EngineDelivery): number {
  return a.deliveryTag - b.deliveryTag
}
