/** The lanes of one queue, one per priority level. A level costs nothing until something enters it. */
import { assert } from '../std/assert.ts'
import type { Entry, QueueId } from '../model/entry.ts'
import type { Kernel } from './kernel.ts'
import { Lane } from './lane.ts'

export class Lanes {
  readonly #kernel: Kernel
  readonly #queueId: QueueId
  readonly #maxPriority: number
  readonly #lanes: (Lane | undefined)[]
  /** No lane above it holds an entry. */
  #top: number

  constructor(kernel: Kernel, queueId: QueueId, maxPriority: number) {
    this.#kernel = kernel
    this.#queueId = queueId
    this.#maxPriority = maxPriority
    this.#lanes = [new Lane(kernel, queueId, 0)]
    for (let level = 1; level <= maxPriority; level += 1) this.#lanes.push(undefined)
    this.#top = 0
  }

  /** The highest lane that holds an entry. */
  top(): Lane | undefined {
    for (let level = this.#top; level >= 0; level -= 1) {
      const lane = this.#lanes[level]
      if (lane !== undefined && lane.length > 0) {
        this.#top = level
        return lane
      }
    }
    this.#top = 0
    return undefined
  }

  at(level: number): Lane {
    assert(level >= 0 && level <= this.#maxPriority, 'a lane is one of the levels declared')
    if (level > this.#top) this.#top = level
    return (this.#lanes[level] ??= new Lane(this.#kernel, this.#queueId, level))
  }

  /** Those there are, highest first. */
  descending(): Lane[] {
    const lanes: Lane[] = []
    for (let level = this.#maxPriority; level >= 0; level -= 1) {
      const lane = this.#lanes[level]
      if (lane !== undefined) lanes.push(lane)
    }
    return lanes
  }

  /** Visits every entry in memory, in no particular order. */
  forEach(visit: (entry: Entry) => void): void {
    for (const lane of this.#lanes) lane?.forEach(visit)
  }

  /** Visits the entries that own their key and became due. */
  forEachDue(visit: (entry: Entry) => void): void {
    for (const lane of this.#lanes) lane?.forEachDue(visit)
  }

  /** Forgets every entry; what a load brings later is ignored. */
  clear(): void {
    for (const lane of this.#lanes) lane?.clear()
    this.#top = 0
  }

  /** The entries and the bytes of their bodies that the lanes hold, in memory or not; added up anew. */
  sums(): { messages: number; bytes: number } {
    let messages = 0
    let bytes = 0
    for (const lane of this.#lanes) {
      messages += lane?.length ?? 0
      lane?.forEach((entry) => (bytes += entry.bodyBytes))
      bytes += lane?.pagedBytes ?? 0
    }
    return { messages, bytes }
  }

  invariants(): void {
    this.#lanes.forEach((lane, level) => {
      if (lane === undefined) return
      lane.invariants()
      assert(lane.length === 0 || level <= this.#top, 'no lane above the top holds an entry')
    })
  }
}
