/**
 * The consumers of one queue: whose turn is it?
 *
 * The highest priority with credit goes first; within one priority they take turns. Each priority has a ring of the
 * consumers that may have credit; one found without is left out of the ring until it is woken, so that a thousand idle
 * but full consumers cost nothing. With a single active consumer, only that one is asked.
 *
 * When a full one leaves is seen by clients, and as in RabbitMQ: from a classic queue's ring when it would be its turn, so that it
 * keeps its place if it has credit again by then; from a quorum queue's at once, and it comes back last.
 */
import { assert } from '../std/assert.ts'
import { Deque } from '../std/deque.ts'
import type { Consumer } from './consumer.ts'

interface Group {
  readonly priority: number
  readonly ring: Deque<Consumer>
  size: number
}

export class Consumers {
  readonly #all: Set<Consumer>
  /** Highest priority first. */
  #groups: Group[]
  readonly #single: boolean
  readonly #leavesWhenFull: boolean
  #active: Consumer | undefined

  /** @param single one consumer at a time is served; the others stand by @param leavesWhenFull as those of a quorum queue do */
  constructor(single: boolean, leavesWhenFull: boolean) {
    this.#all = new Set()
    this.#groups = []
    this.#single = single
    this.#leavesWhenFull = leavesWhenFull
    this.#active = undefined
  }

  get size(): number {
    return this.#all.size
  }

  get exclusive(): boolean {
    for (const consumer of this.#all) return consumer.exclusive
    return false
  }

  values(): IterableIterator<Consumer> {
    return this.#all.values()
  }

  add(consumer: Consumer): void {
    this.#all.add(consumer)
    this.#group(consumer.priority).size += 1
    this.wake(consumer)
    if (this.#single) this.#active ??= consumer
  }

  remove(consumer: Consumer): void {
    if (!this.#all.delete(consumer)) return
    const group = this.#group(consumer.priority)
    group.size -= 1
    if (group.size === 0) {
      this.#groups = this.#groups.filter((other) => other !== group)
    } else if (consumer.listed) {
      removeFromRing(group.ring, consumer)
    }
    consumer.listed = false
    if (this.#active === consumer) this.#active = this.#firstOfHighest()
  }

  /** It may have credit (again). */
  wake(consumer: Consumer): void {
    if (consumer.listed || consumer.cancelled) return
    consumer.listed = true
    this.#group(consumer.priority).ring.push(consumer)
  }

  /** Whose turn it is, or undefined if nobody has credit. Follow with `served`. */
  next(): Consumer | undefined {
    if (this.#single) {
      const active = this.#active
      return active !== undefined && active.hasCredit() ? active : undefined
    }
    const groups = this.#groups
    for (let index = 0; index < groups.length; index += 1) {
      const ring = groups[index]!.ring
      for (let consumer = ring.peekFirst(); consumer !== undefined; consumer = ring.peekFirst()) {
        if (consumer.hasCredit()) return consumer
        ring.shift()
        consumer.listed = false
      }
    }
    return undefined
  }

  /** The consumer that `next` gave has had its turn. */
  served(consumer: Consumer): void {
    const groups = this.#groups
    const leaves = this.#leavesWhenFull && !consumer.hasCredit()
    if (this.#single || (!leaves && groups.length === 1 && groups[0]!.ring.length === 1)) return
    const ring = this.#group(consumer.priority).ring
    const first = ring.shift()
    assert(first === consumer, 'the consumer served stands first')
    if (leaves) consumer.listed = false
    else ring.push(consumer)
  }

  /** Deliveries that would be taken now, counted no further than `enough`: who has credit stands in a ring. */
  credit(enough: number): number {
    if (this.#single) return this.#active?.credit() ?? 0
    let credit = 0
    for (const { ring } of this.#groups) {
      for (let index = 0; index < ring.length && credit < enough; index += 1)
        credit += ring.at(index)!.credit()
    }
    return credit
  }

  invariants(): void {
    let size = 0
    let previous = Infinity
    for (const group of this.#groups) {
      assert(group.priority < previous, 'priorities descend')
      previous = group.priority
      assert(group.size > 0 && group.ring.length <= group.size, 'a ring holds consumers of its group')
      size += group.size
      for (let index = 0; index < group.ring.length; index += 1) {
        const consumer = group.ring.at(index)!
        assert(consumer.listed && this.#all.has(consumer), 'who stands in a ring is listed')
      }
    }
    assert(size === this.#all.size, 'every consumer is in one group')
    if (this.#single)
      assert(this.#active === undefined || this.#all.has(this.#active), 'the active one is there')
    if (this.#single) assert(this.#all.size === 0 || this.#active !== undefined, 'somebody is active')
    for (const consumer of this.#all) {
      consumer.invariants()
      assert(this.#single || consumer.listed || !consumer.hasCredit(), 'nobody with credit is forgotten')
    }
  }

  #group(priority: number): Group {
    const groups = this.#groups
    for (let index = 0; index < groups.length; index += 1) {
      const group = groups[index]!
      if (group.priority === priority) return group
    }
    const group: Group = { priority, ring: new Deque(), size: 0 }
    this.#groups = [...groups, group].sort((a, b) => b.priority - a.priority)
    return group
  }

  #firstOfHighest(): Consumer | undefined {
    let first: Consumer | undefined
    for (const consumer of this.#all) {
      if (first === undefined || consumer.priority > first.priority) first = consumer
    }
    return first
  }
}

function removeFromRing(ring: Deque<Consumer>, consumer: Consumer): void {
  for (let count = ring.length; count > 0; count -= 1) {
    const other = ring.shift()!
    if (other !== consumer) ring.push(other)
  }
}
