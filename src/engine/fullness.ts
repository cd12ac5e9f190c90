/**
 * Is a queue full? Deliveries are made after publishing, so what consumers have credit for is as good as gone: only what stays behind
 * it counts against the limits.
 */
import type { Entry } from '../model/entry.ts'
import type { Queue } from './queue.ts'

/** Whether a queue that refuses what is too much refuses this. */
export function refuses(queue: Queue, bodyBytes: number): boolean {
  if (!queue.limited || queue.settings.overflow === 'drop-head') return false
  if (!exceeds(queue, queue.readyMessages + 1, queue.readyBytes + bodyBytes)) return false
  // RabbitMQ asks before it hands over: what alone is too much is refused though a consumer waits for it.
  const awaited = Math.min(pendingCredit(queue), queue.readyMessages)
  const messages = queue.readyMessages - awaited
  return exceeds(queue, messages + 1, queue.readyBytes - bytesOfNext(queue, awaited) + bodyBytes)
}

/** Whether a queue that drops from its head has to; where consumers wait for its head, not before they have got it. */
export function overflows(queue: Queue): boolean {
  return queue.isOverLimit && queue.settings.overflow === 'drop-head' && pendingCredit(queue) === 0
}

function exceeds(queue: Queue, messages: number, bytes: number): boolean {
  return messages > queue.maxLength || bytes > queue.maxLengthBytes
}

/** Bytes of the entries that are delivered next, as far as they are in memory. */
function bytesOfNext(queue: Queue, count: number): number {
  if (count === queue.readyMessages) return queue.readyBytes
  const next: Entry[] = []
  for (const lane of queue.lanes.descending()) lane.collect(0, count - next.length, next)
  return next.reduce((bytes, entry) => bytes + entry.bodyBytes, 0)
}

/**
 * Deliveries that the coming dispatch will make from this queue. A queue that stands clean has delivered all it could, except
 * that one without ready messages has not been asked.
 */
function pendingCredit(queue: Queue): number {
  if (queue.paused || queue.consumers.size === 0) return 0
  if (!queue.dirty && queue.readyMessages > 0) return 0
  return queue.consumers.credit(queue.readyMessages + 1)
}
