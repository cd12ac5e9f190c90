/**
 * Taking the head of a queue: what expired, was tried too often or has to wait for its key does not get past here.
 */
import type { Entry } from '../model/entry.ts'
import { deadLetter } from './dead-letter.ts'
import type { Kernel } from './kernel.ts'
import type { Queue } from './queue.ts'

/**
 * Takes the next entry to be delivered; undefined when there is none, when it is still being read from disk, or when the
 * work allowed for this call is done (then the queue stays dirty).
 *
 * @param grace a time to live of 0 that began in this turn has not run out yet
 */
export function takeDeliverable(
  kernel: Kernel,
  queue: Queue,
  nowMs: number,
  grace: boolean,
): Entry | undefined {
  for (;;) {
    const lane = queue.lanes.top()
    if (lane === undefined) return undefined
    const entry = lane.peek()
    if (entry === undefined) return undefined
    if (entry.expiresAtMs <= nowMs && !(grace && hasGrace(queue, entry))) {
      queue.take(lane, entry)
      expire(kernel, queue, entry, nowMs)
    } else if (entry.deliveryCount > queue.deliveryLimit) {
      queue.take(lane, entry)
      deadLetter(kernel, queue, entry, { reason: 'delivery_limit', nowMs })
    } else if (entry.key !== '' && !queue.admit(entry)) {
      if (!queue.park(lane, entry)) return undefined
    } else {
      queue.take(lane, entry)
      return entry
    }
    kernel.work -= 1
    if (kernel.work <= 0) {
      kernel.markDirty(queue)
      return undefined
    }
  }
}

/** Takes the entry nearest the head whatever its key; undefined if there is none in memory. */
export function takeOldest(queue: Queue): Entry | undefined {
  const lane = queue.lanes.top()
  if (lane === undefined) return queue.takeParked()
  const entry = lane.peek()
  if (entry !== undefined) queue.take(lane, entry)
  return entry
}

/** Expires what stands at the head of each lane, as far as the work allows. True when it may have more to do. */
export function expireHeads(kernel: Kernel, queue: Queue, nowMs: number): boolean {
  for (const lane of queue.lanes.descending()) {
    for (let entry = lane.peek(); entry !== undefined; entry = lane.peek()) {
      if (entry.expiresAtMs > nowMs) break
      if (queue.dirty && hasGrace(queue, entry)) break
      if (kernel.work <= 0) return true
      kernel.work -= 1
      queue.take(lane, entry)
      expire(kernel, queue, entry, nowMs)
    }
  }
  return false
}

/** A time to live of 0 has run out where no consumer waits, before the next message asks for room. */
export function expireUnclaimed(kernel: Kernel, queue: Queue, nowMs: number): void {
  if (queue.graceFromSeq === 0 || queue.consumers.credit(1) > 0) return
  queue.graceFromSeq = 0
  kernel.work = kernel.limits.dropsPerPublish
  expireHeads(kernel, queue, nowMs)
}

/** When the first head expires; Infinity for never. */
export function nextExpiryMs(queue: Queue): number {
  let atMs = Infinity
  for (const lane of queue.lanes.descending()) {
    const head = lane.peek()
    if (head !== undefined && head.expiresAtMs < atMs) atMs = head.expiresAtMs
  }
  return atMs
}

function expire(kernel: Kernel, queue: Queue, entry: Entry, nowMs: number): void {
  queue.counters.expired += 1
  kernel.counters.expired += 1
  deadLetter(kernel, queue, entry, { reason: 'expired', nowMs })
}

function hasGrace(queue: Queue, entry: Entry): boolean {
  return (
    queue.graceFromSeq !== 0 && entry.seq >= queue.graceFromSeq && entry.expiresAtMs === entry.publishedAtMs
  )
}
