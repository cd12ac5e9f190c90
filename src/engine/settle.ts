/**
 * Settling: how an entry in a session's hands ends there. The delivery has been taken out of the session's unacked ones.
 */
import { Entry } from '../model/entry.ts'
import { deadLetter } from './dead-letter.ts'
import type { EngineDelivery } from './delivery.ts'
import type { Kernel } from './kernel.ts'
import type { Queue } from './queue.ts'
import type { BufferedSettlement } from './transaction.ts'

/** It was handled: it leaves. */
export function acknowledge(kernel: Kernel, delivery: EngineDelivery): void {
  const queue = delivery.queue
  release(kernel, delivery)
  queue.counters.acked += 1
  kernel.counters.acked += 1
  queue.leave(delivery.entry)
}

/** Back to its original position. @param counts whether this delivery counts as an attempt */
export function requeue(kernel: Kernel, delivery: EngineDelivery, nowMs: number, counts: boolean): void {
  const { queue, entry } = delivery
  release(kernel, delivery)
  if (queue.deleted) return queue.vanish(entry)
  if (counts) {
    entry.deliveryCount += 1
    if (entry.deliveryCount > queue.deliveryLimit) {
      deadLetter(kernel, queue, entry, { reason: 'delivery_limit', nowMs })
      return
    }
  } else if (entry.stored) {
    kernel.journal.released(entry.seq)
  }
  queue.putBack(entry)
}

/** To the tail, after a delay or at once, as a new entry. @param counts whether this delivery counts as an attempt */
export function retry(
  kernel: Kernel,
  delivery: EngineDelivery,
  when: { delayMs: number; nowMs: number },
  counts: boolean,
): void {
  const { queue, entry } = delivery
  release(kernel, delivery)
  if (queue.deleted) return queue.vanish(entry)
  if (counts) {
    queue.counters.retried += 1
    kernel.counters.retried += 1
    if (entry.deliveryCount + 1 > queue.deliveryLimit) {
      deadLetter(kernel, queue, entry, { reason: 'delivery_limit', nowMs: when.nowMs })
      return
    }
  }
  const dueAtMs = when.delayMs > 0 ? when.nowMs + when.delayMs : 0
  supersede(kernel, queue, entry, { dueAtMs, deliveryCount: entry.deliveryCount + (counts ? 1 : 0) })
}

/** To the dead-letter exchange, or away where there is none. */
export function reject(
  kernel: Kernel,
  delivery: EngineDelivery,
  nowMs: number,
  account?: { reason: string; error: string | undefined },
): void {
  const { queue, entry } = delivery
  release(kernel, delivery)
  if (queue.deleted) return queue.vanish(entry)
  deadLetter(kernel, queue, entry, { reason: 'rejected', nowMs, account })
}

/** Does what a session said, or said in a transaction. */
export function settle(kernel: Kernel, settlement: BufferedSettlement, nowMs: number): void {
  const { delivery, type } = settlement
  switch (type) {
    case 'ack':
      return acknowledge(kernel, delivery)
    case 'requeue':
      return requeue(kernel, delivery, nowMs, true)
    case 'reject':
      return reject(kernel, delivery, nowMs)
  }
}

/** A delayed entry is due: to the tail, or to the front if others wait for its key. */
export function becomeDue(kernel: Kernel, queue: Queue, entry: Entry): void {
  kernel.residentBytes += entry.bodyBytes
  supersede(kernel, queue, entry, { dueAtMs: 0, deliveryCount: entry.deliveryCount })
}

function supersede(
  kernel: Kernel,
  queue: Queue,
  old: Entry,
  change: { dueAtMs: number; deliveryCount: number },
): void {
  const fresh = new Entry({
    seq: kernel.nextSeq,
    queueId: queue.id,
    lane: old.lane,
    message: old.message,
    bodyBytes: old.bodyBytes,
    publishedAtMs: old.publishedAtMs,
    expiresAtMs: old.expiresAtMs,
    dueAtMs: change.dueAtMs,
    key: old.key,
    transient: old.transient,
    deliveryCount: change.deliveryCount,
    recovered: false,
  })
  kernel.nextSeq += 1
  kernel.journalSuperseding(fresh, old)
  kernel.residentBytes -= old.bodyBytes
  const ownsKey = old.key !== '' && queue.keys?.owns(old) === true
  if (ownsKey) queue.keys?.inherit(old, fresh)
  if (fresh.dueAtMs > 0) queue.hold(fresh)
  else if (ownsKey) queue.putAhead(fresh)
  else queue.enqueue(fresh)
}

/** The session and its consumer do not hold it any more. */
function release(kernel: Kernel, delivery: EngineDelivery): void {
  const { queue, consumer } = delivery
  queue.unackedMessages -= 1
  queue.unackedBytes -= delivery.entry.bodyBytes
  if (consumer !== undefined) {
    const session = delivery.session
    consumer.unacked -= 1
    session.consumerUnacked -= 1
    if (!consumer.listed) queue.consumers.wake(consumer)
    if (session.outOfCredit) session.wakeConsumers()
  }
  if (queue.readyMessages > 0) kernel.markDirty(queue)
}
