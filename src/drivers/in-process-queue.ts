/** What is done to a queue as a whole: its figures, moving its messages, calling delayed ones off. */
import type { Broker, Queue } from '../broker/broker.ts'
import type { QueueStats } from '../client/driver.ts'
import { aborted } from './in-process-abort.ts'

/** Entries looked at in one go. */
const pageSize = 1_000

/** The figures of one moment; where a head is not in memory, its age is read from disk. */
export async function statsOf(broker: Broker, queue: Queue, nowMs: number): Promise<QueueStats> {
  const stats = figures(queue, nowMs)
  const ages = await Promise.all(unreadHeads(broker, queue))
  for (const publishedAtMs of ages) stats.oldestMs = Math.max(stats.oldestMs, nowMs - publishedAtMs)
  return stats
}

/** When the heads that are on disk alone were published; a head that is lost is as if published in the future. */
function unreadHeads(broker: Broker, queue: Queue): Promise<number>[] {
  const { store } = broker
  if (store === undefined) return []
  const unread = queue.lanes.descending().filter((lane) => lane.length > 0 && lane.residentLength === 0)
  return unread.map(async ({ level, frontier }) => {
    const place = { queueId: queue.id, lane: level, afterSeq: frontier, limit: 1, limitBytes: 1 }
    const [head] = await store.readLane(place)
    return head?.publishedAtMs ?? Infinity
  })
}

function figures(queue: Queue, nowMs: number) {
  const { published, delivered, acked, retried, deadLettered, expired, dropped } = queue.counters
  return {
    ready: queue.readyMessages,
    unacked: queue.unackedMessages,
    delayed: queue.delayed.length,
    consumers: queue.consumers.size,
    oldestMs: queue.oldestMs(nowMs),
    paused: queue.paused,
    published,
    delivered,
    acked,
    retried,
    deadLettered,
    expired,
    dropped,
  }
}

/** Drops the delayed messages of this id, in memory and on disk, and says how many there were. */
export async function cancelDelayed(broker: Broker, queue: Queue, messageId: string): Promise<number> {
  let count = broker.engine.cancelDelayed(queue, messageId)
  let afterSeq = 0
  while (queue.delayed.pagedLength > 0 && broker.store !== undefined) {
    const entries = await broker.store.readQueue({
      queueId: queue.id,
      state: 'delayed',
      afterSeq,
      limit: pageSize,
    })
    for (const entry of entries) {
      const named = entry.message.properties.messageId === messageId
      if (named && broker.engine.cancelDelayedEntry(queue, entry)) count += 1
    }
    const last = entries.at(-1)
    if (last === undefined) break
    afterSeq = last.seq
  }
  broker.wake()
  await broker.whenDurable()
  return count
}

/**
 * Moves ready messages, a slice at a time, and says how many.
 * @param route looked up for each slice; throws when a queue is gone or the connection was closed
 */
export async function moveMessages(
  broker: Broker,
  route: () => { from: Queue; to: Queue },
  options: { limit?: number; signal?: AbortSignal },
): Promise<number> {
  let left = Math.min(options.limit ?? Infinity, route().from.readyMessages)
  let total = 0
  for (;;) {
    // Closed or called off meanwhile: what is moved is moved, each message is in one of the two.
    const ends = route()
    if (options.signal?.aborted === true) throw aborted(options.signal)
    const { messages, more } = broker.engine.move(ends, left, broker.nowMs())
    total += messages
    left -= messages
    broker.wake()
    await broker.whenDurable()
    if (!more || left === 0) return total
    // The rest is being read from disk: that takes turns of the event loop.
    if (messages === 0) await broker.nextTurn()
  }
}
