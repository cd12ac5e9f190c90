/** Moving ready entries from one queue to the tail of another: each is in exactly one of the two at any crash. */
import { enterQueues } from './enter.ts'
import { refuses } from './fullness.ts'
import { takeOldest } from './head.ts'
import type { Kernel } from './kernel.ts'
import type { Queue } from './queue.ts'

export interface Moved {
  readonly messages: number
  /** Call again: the slice is done, or the rest is being read from disk. False too when the target is full. */
  readonly more: boolean
}

/** Moves up to `limit` entries, in one slice of at most `entriesPerMove`; their delivery counts begin anew. */
export function moveEntries(
  kernel: Kernel,
  route: { from: Queue; to: Queue },
  limit: number,
  nowMs: number,
): Moved {
  const { from, to } = route
  if (from === to) return { messages: 0, more: false }
  const slice = Math.min(limit, kernel.limits.entriesPerMove)
  let messages = 0
  from.unpark()
  while (messages < slice && from.readyMessages > 0) {
    const entry = takeOldest(from)
    if (entry === undefined) return { messages, more: true }
    if (refuses(to, entry.bodyBytes)) {
      from.putBack(entry)
      return { messages, more: false }
    }
    enterQueues(kernel, [to], {
      message: entry.message,
      bodyBytes: entry.bodyBytes,
      publishedAtMs: entry.publishedAtMs,
      persistent: !entry.transient || entry.message.properties.deliveryMode === 2,
      priority: Math.max(entry.lane, entry.message.properties.priority ?? 0),
      key: entry.key,
      ttlMs: entry.expiresAtMs === Infinity ? Infinity : Math.max(0, entry.expiresAtMs - nowMs),
      delayMs: 0,
      supersedes: entry,
      nowMs,
    })
    from.vanish(entry)
    messages += 1
  }
  return { messages, more: messages < limit && from.readyMessages > 0 }
}
