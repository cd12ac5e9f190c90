/**
 * Is a queue full? Deliveries are made after publishing, so what consumers have credit for is as good as gone: it does not
 * count against the limit until they had their chance.
 */
import type { Queue } from './queue.ts'

/** Whether a queue that refuses what is too much refuses this. */
export function refuses(queue: Queue, bodyBytes: number): boolean {
  if (!queue.limited || queue.settings.overflow === 'drop-head') return false
  const excess = queue.readyMessages + 1 - queue.maxLength
  const excessBytes = queue.readyBytes + bodyBytes - queue.maxLengthBytes
  if (excess <= 0 && excessBytes <= 0) return false
  const credit = pendingCredit(queue)
  // RabbitMQ asks before it hands over: what alone is too much is refused though a consumer waits for it.
  if (credit >= queue.readyMessages) return queue.maxLength === 0 || bodyBytes > queue.maxLengthBytes
  return excessBytes > 0 || excess > credit
}

/** Whether a queue that drops from its head has to. */
export function overflows(queue: Queue): boolean {
  if (!queue.isOverLimit || queue.settings.overflow !== 'drop-head') return false
  const credit = pendingCredit(queue)
  if (credit >= queue.readyMessages) return false
  return queue.readyBytes > queue.maxLengthBytes || queue.readyMessages - credit > queue.maxLength
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
