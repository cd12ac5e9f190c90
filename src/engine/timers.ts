/** What happens to a queue as time goes by: delayed entries become due, heads expire, keys are forgotten, it expires itself. */
import { expireHeads, nextExpiryMs } from './head.ts'
import type { Kernel } from './kernel.ts'
import type { Queue } from './queue.ts'
import { releaseHeld } from './release-held.ts'
import { becomeDue } from './settle.ts'
import { removeQueue, touch } from './topology.ts'

/** Does what is due in the queues whose timer rang, as far as the work allows. True when there is more. */
export function advanceQueues(kernel: Kernel, nowMs: number): boolean {
  const again: Queue[] = []
  const timers = kernel.timers
  while (timers.peekKey() <= nowMs && kernel.work > 0) {
    const atMs = timers.peekKey()
    const queue = kernel.queues.get(timers.pop()!)
    if (queue === undefined || queue.timerAtMs !== atMs) continue
    queue.timerAtMs = Infinity
    if (advanceQueue(kernel, queue, nowMs)) again.push(queue)
    else if (!queue.deleted) kernel.schedule(queue, laterThan(nowMs, nextTimeMs(queue)))
  }
  for (const queue of again) kernel.schedule(queue, Math.min(nowMs, queue.delayed.nextDueMs()))
  return timers.peekKey() <= nowMs
}

/** What could not be done now, because it has to be dispatched first, is not tried again at the same time. */
function laterThan(nowMs: number, atMs: number): number {
  return atMs > nowMs ? atMs : nowMs + 1
}

function advanceQueue(kernel: Kernel, queue: Queue, nowMs: number): boolean {
  if (queue.lastUsedMs < 0) touch(kernel, queue, nowMs)
  if (hasExpired(queue, nowMs)) {
    removeQueue(kernel, queue)
    return false
  }
  const more = moveDue(kernel, queue, nowMs)
  if (queue.expiring && expireHeads(kernel, queue, nowMs)) return true
  if (queue.deduplication !== undefined) {
    kernel.work -= queue.deduplication.forgetEnded(nowMs, Math.max(1, kernel.work))
    if (queue.deduplication.nextEndMs() <= nowMs) return true
  }
  return more
}

function moveDue(kernel: Kernel, queue: Queue, nowMs: number): boolean {
  const delayed = queue.delayed
  if (delayed.length === 0) return false
  while (kernel.work > 0) {
    const entry = delayed.takeDue(nowMs)
    if (entry === undefined) break
    kernel.work -= 1
    if (queue.holdsFor === undefined) becomeDue(kernel, queue, entry)
    else releaseHeld(kernel, queue, queue.holdsFor, entry, nowMs)
  }
  // After it: what left made room.
  delayed.loadSoon(nowMs)
  return kernel.work <= 0 && delayed.nextDueMs() <= nowMs
}

function hasExpired(queue: Queue, nowMs: number): boolean {
  return queue.consumers.size === 0 && nowMs >= queue.lastUsedMs + queue.settings.expiresMs
}

function nextTimeMs(queue: Queue): number {
  let atMs = queue.delayed.nextDueMs()
  if (queue.expiring) atMs = Math.min(atMs, nextExpiryMs(queue))
  if (queue.deduplication !== undefined) atMs = Math.min(atMs, queue.deduplication.nextEndMs())
  if (queue.consumers.size === 0) atMs = Math.min(atMs, queue.lastUsedMs + queue.settings.expiresMs)
  return atMs
}
