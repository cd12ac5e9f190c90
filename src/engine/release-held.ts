/** What an exchange of type `x-delayed-message` held back is due: it is routed now. See held-entry.ts. */
import type { Entry } from '../model/entry.ts'
import type { HeaderChange } from '../model/header-change.ts'
import type { Message } from '../model/message.ts'
import { deadLetterRefused } from './dead-letter.ts'
import { enterQueues } from './enter.ts'
import type { Exchange } from './exchange.ts'
import { refuses } from './fullness.ts'
import { delayOf, heldLane } from './held-entry.ts'
import type { Kernel } from './kernel.ts'
import type { Queue } from './queue.ts'
import { routingKeysOf } from './routing-keys.ts'

/** Routes an entry that was taken out of what is held back; one record, were it for many queues. */
export function releaseHeld(
  kernel: Kernel,
  holding: Queue,
  exchange: Exchange,
  held: Entry,
  nowMs: number,
): void {
  const { exchange: name, routingKey } = held.message
  const message = held.message.changed(name, routingKey, negated(held.message, []))
  const persistent = held.lane === heldLane.persistent
  // The number may take more bytes now, and its publisher may have left no room for that. (Without BCC there always is.)
  const stored = held.message.changedIfFits(name, routingKey, negated(held.message, ['BCC'])) ?? held.message
  // A copy: what a queue refuses is dead-lettered on the way, and that routes too.
  const found = [...exchange.vhost.route(exchange, message, routingKeysOf(message))]
  const targets: Queue[] = []
  for (const queue of found) {
    if (!refuses(queue, held.bodyBytes)) {
      targets.push(queue)
      queue.counters.published += 1
      continue
    }
    queue.counters.rejected += 1
    kernel.counters.rejected += 1
    if (queue.settings.overflow === 'reject-publish-dlx') {
      const { bodyBytes, key } = held
      deadLetterRefused(kernel, queue, { message: stored, bodyBytes, persistent, key, nowMs })
    }
  }
  if (found.length === 0) kernel.counters.unroutable += 1
  if (targets.length === 0) {
    if (held.stored) kernel.journal.settled(held.seq)
  } else {
    enterQueues(kernel, targets, {
      message: stored,
      bodyBytes: held.bodyBytes,
      publishedAtMs: held.publishedAtMs,
      persistent,
      priority: message.properties.priority ?? 0,
      key: held.key,
      // The time to live begins with the queue.
      ttlMs: held.expiresAtMs === Infinity ? Infinity : held.expiresAtMs - held.dueAtMs,
      delayMs: 0,
      supersedes: held,
      nowMs,
    })
  }
  if (held.key !== '') holding.freeKey(held)
}

/** Its delay is negated: it is not held back again, and whoever gets it sees that it was. */
function negated(message: Message, remove: readonly string[]): HeaderChange {
  return { set: { 'x-delay': -delayOf(message) }, remove, dropsExpiration: false }
}
