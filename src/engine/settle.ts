/**
 * Settling: how an entry in a session's hands ends there. The delivery has been taken out of the session's unacked ones.
 */
import { Entry } from '../model/entry.ts'
import { deadLetter } from './dead-letter.ts'
import type { EngineDelivery } from './delivery.ts'
import type { Kernel } from './kernel.ts'
import { dropReturned } from './overflow.ts'
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
  dropReturned(kernel, queue, nowMs)
}

/**
 * To the tail, after a delay or at once, as a new entry; with a key, to the front, so that the key's later messages wait.
 * @param counts whether this delivery counts as an attempt
 */
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
  const deliveryCount = entry.deliveryCount + (counts ? 1 : 0)
  const isHeldBack = when.delayMs > 0
  // The owner of a key has a due time even if that is now: that is what makes it known as the owner after a crash.
  const dueAtMs = isHeldBack || entry.key !== '' ? when.nowMs + when.delayMs : 0
  const fresh = supersede(kernel, entry, { dueAtMs, deliveryCount, recovered: false })
  kernel.residentBytes -= entry.residentBytes
  if (entry.key !== '') queue.keys!.inherit(entry, fresh, isHeldBack)
  if (isHeldBack) queue.hold(fresh)
  else if (entry.key !== '') queue.putAhead(fresh)
  else queue.enqueue(fresh)
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

/** A delayed entry is due: to the tail as a new entry, or to the front as it is if it owns its key. */
export function becomeDue(kernel: Kernel, queue: Queue, entry: Entry): void {
  if (entry.key !== '' && queue.keys?.owns(entry) === true) {
    queue.keys.ownerIsDue(entry)
    queue.putAhead(entry)
    return
  }
  const { deliveryCount, recovered } = entry
  queue.enqueue(supersede(kernel, entry, { dueAtMs: 0, deliveryCount, recovered }))
}

/** A new entry for the same message, on record in the old one's stead. */
function supersede(
  kernel: Kernel,
  old: Entry,
  change: { dueAtMs: number; deliveryCount: number; recovered: boolean },
): Entry {
  const fresh = new Entry({
    seq: kernel.nextSeq,
    queueId: old.queueId,
    lane: old.lane,
    message: old.message,
    bodyBytes: old.bodyBytes,
    publishedAtMs: old.publishedAtMs,
    expiresAtMs: old.expiresAtMs,
    dueAtMs: change.dueAtMs,
    key: old.key,
    transient: old.transient,
    deliveryCount: change.deliveryCount,
    recovered: change.recovered,
  })
  kernel.nextSeq += 1
  kernel.journalSuperseding(fresh, old)
  return fresh
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
