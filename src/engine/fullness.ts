/**
 * Is a queue full? Deliveries are made after publishing, so what consumers have credit for is as good as gone: only what stays behind
 * it counts against the limits.
 */
import type { EngineLimits } from './limits.ts'
import type { Queue } from './queue.ts'

/** What a dispatch hands over of one queue in its turn: beyond it, bytes are not added up anew for each message of a burst. */
const addedUp = 250

/** Whether a queue that refuses what is too much refuses this. */
export function refuses(queue: Queue, bodyBytes: number): boolean {
  if (!queue.limited || queue.settings.overflow === 'drop-head') return false
  const coming = { messages: 1, bytes: bodyBytes }
  if (!exceeds(queue, coming, 0)) return false
  // RabbitMQ asks before it hands over: what alone is too much is refused though a consumer waits for it.
  return exceeds(queue, coming, Math.min(pendingCredit(queue), queue.readyMessages))
}

/**
 * Whether a queue that drops from its head has to; where consumers wait for its head, not before they have got it. A queue may be long
 * in coming to its turn: so only so much is put off.
 */
export function overflows(queue: Queue, limits: EngineLimits): boolean {
  if (!queue.isOverLimit || queue.settings.overflow !== 'drop-head') return false
  const credit = pendingCredit(queue)
  if (credit === 0) return true
  const putOff = { messages: -limits.dropsPutOff, bytes: -limits.bytesPutOff }
  return credit < queue.readyMessages && exceeds(queue, putOff, credit)
}

/** Whether its limits are exceeded with so much more, and without the first ones, which are awaited. */
function exceeds(queue: Queue, more: { messages: number; bytes: number }, awaited: number): boolean {
  if (queue.readyMessages - awaited + more.messages > queue.maxLength) return true
  const bytes = queue.readyBytes + more.bytes
  return bytes > queue.maxLengthBytes && bytes - bytesOfNext(queue, awaited) > queue.maxLengthBytes
}

/** Bytes of the entries that are delivered next, as far as they are in memory and not too many. */
function bytesOfNext(queue: Queue, count: number): number {
  if (count === queue.readyMessages) return queue.readyBytes
  let left = Math.min(count, addedUp)
  let bytes = 0
  for (const lane of queue.lanes.descending()) {
    if (left <= 0 || lane.returnedLength > addedUp) break
    bytes += lane.bytesOfFirst(left)
    left -= lane.length
  }
  return bytes
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
