/** Dispatch: hands the ready entries of one queue to the consumers with credit, in turn. */
import type { Entry } from '../model/entry.ts'
import type { Consumer } from './consumer.ts'
import { EngineDelivery } from './delivery.ts'
import { takeDeliverable } from './head.ts'
import type { Kernel } from './kernel.ts'
import type { Queue } from './queue.ts'
import type { Session } from './session.ts'

/** Delivers up to `budget` entries of the queue and says how many; it is dirty again if there is more to do. */
export function dispatchQueue(kernel: Kernel, queue: Queue, nowMs: number, budget: number): number {
  const consumers = queue.consumers
  let delivered = 0
  while (queue.readyMessages > 0 && !queue.paused) {
    const consumer = consumers.next()
    if (consumer === undefined) break
    if (delivered >= budget) {
      kernel.markDirty(queue)
      break
    }
    const entry = takeDeliverable(kernel, queue, nowMs, true)
    if (entry === undefined) break
    const delivery = handOver(kernel, queue, entry, consumer.session, consumer)
    consumer.session.sink.deliver(delivery)
    consumers.served(consumer)
    delivered += 1
  }
  if (!queue.dirty) {
    if (queue.graceFromSeq !== 0) {
      queue.graceFromSeq = 0
      kernel.schedule(queue, nowMs)
    }
    if (queue.limited && queue.isOverLimit) kernel.markOverflowing(queue)
  }
  return delivered
}

/** Puts an entry that was taken into a session's hands, under its next delivery tag. */
export function handOver(
  kernel: Kernel,
  queue: Queue,
  entry: Entry,
  session: Session,
  consumer: Consumer | undefined,
  noAck: boolean = consumer !== undefined && consumer.noAck,
): EngineDelivery {
  const delivery = new EngineDelivery(session, consumer, queue, entry, session.nextDeliveryTag)
  session.nextDeliveryTag += 1
  queue.counters.delivered += 1
  kernel.counters.delivered += 1
  if (entry.deliveryCount > 0) {
    queue.counters.redelivered += 1
    kernel.counters.redelivered += 1
  }
  if (noAck) {
    queue.counters.acked += 1
    kernel.counters.acked += 1
    queue.leave(entry)
    return delivery
  }
  session.unacked.add(delivery)
  queue.unackedMessages += 1
  queue.unackedBytes += entry.bodyBytes
  if (consumer !== undefined) {
    consumer.unacked += 1
    session.consumerUnacked += 1
  }
  if (entry.stored) kernel.journal.delivered(entry.seq)
  return delivery
}
