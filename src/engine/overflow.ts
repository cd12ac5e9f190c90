/** Overflow: a queue that holds more than its maximum drops from its head. What it drops may overflow the next one. */
import { deadLetter } from './dead-letter.ts'
import { overflows } from './fullness.ts'
import { takeOldest } from './head.ts'
import type { Kernel } from './kernel.ts'
import type { Queue } from './queue.ts'

/**
 * An entry came back: what is too much goes before anything is handed over again, though consumers wait, as in RabbitMQ's classic
 * queues. In its quorum queues they come first, as for what is new.
 */
export function dropReturned(kernel: Kernel, queue: Queue, nowMs: number): void {
  if (!queue.limited || queue.settings.overflow !== 'drop-head' || queue.settings.type === 'quorum') return
  for (let left = kernel.limits.dropsPerPublish; left > 0 && queue.isOverLimit; left -= 1) {
    const entry = takeOldest(queue)
    if (entry === undefined) return
    deadLetter(kernel, queue, entry, { reason: 'maxlen', nowMs })
  }
}

/** Drops what is too much in the queues that were marked, as far as the work allows. True when there is more. */
export function dropOverflow(kernel: Kernel, nowMs: number): boolean {
  for (let queue = kernel.overflowing.shift(); queue !== undefined; queue = kernel.overflowing.shift()) {
    queue.overflowing = false
    while (!queue.deleted && overflows(queue, kernel.limits)) {
      if (kernel.work <= 0) {
        kernel.markOverflowing(queue)
        return true
      }
      kernel.work -= 1
      const entry = takeOldest(queue)
      if (entry === undefined) break
      deadLetter(kernel, queue, entry, { reason: 'maxlen', nowMs })
    }
  }
  return false
}
