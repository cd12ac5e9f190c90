/** A message enters queues: one entry each, one record for all that are durable. */
import { Entry } from '../model/entry.ts'
import type { Message } from '../model/message.ts'
import type { Kernel } from './kernel.ts'
import type { Queue } from './queue.ts'

export interface Entering {
  readonly message: Message
  readonly bodyBytes: number
  readonly publishedAtMs: number
  /** It is to survive a restart, in queues that do. */
  readonly persistent: boolean
  readonly priority: number
  readonly key: string
  /** Infinity for none; counted from when it is due. */
  readonly ttlMs: number
  readonly delayMs: number
  /** The entry that it replaces, in the same record. */
  readonly supersedes: Entry | undefined
  readonly nowMs: number
}

/** Puts the message into each of the queues. */
export function enterQueues(kernel: Kernel, targets: readonly Queue[], entering: Entering): void {
  const old = entering.supersedes
  const supersedes = old !== undefined && old.stored ? old.seq : 0
  const stored: Entry[] = []
  const queues: Queue[] = []
  for (const queue of targets) {
    if (!entering.persistent || !queue.persistent) continue
    stored.push(newEntry(kernel, queue, entering))
    queues.push(queue)
  }
  if (stored.length > 0) kernel.journal.published(stored, supersedes)
  else if (supersedes !== 0) kernel.journal.settled(supersedes)
  stored.forEach((entry, index) => place(queues[index]!, entry))
  if (stored.length === targets.length) return
  for (const queue of targets) {
    if (!entering.persistent || !queue.persistent) place(queue, newEntry(kernel, queue, entering))
  }
}

/** Where an entry that is on record goes first. */
export function place(queue: Queue, entry: Entry): void {
  if (entry.dueAtMs > 0) queue.hold(entry)
  else queue.enqueue(entry)
}

/** The entry, with the next seq. */
export function newEntry(kernel: Kernel, queue: Queue, entering: Entering): Entry {
  const ttlMs = entering.ttlMs < queue.messageTtlMs ? entering.ttlMs : queue.messageTtlMs
  const seq = kernel.nextSeq
  kernel.nextSeq = seq + 1
  return new Entry({
    seq,
    queueId: queue.id,
    lane: entering.priority < queue.maxPriority ? entering.priority : queue.maxPriority,
    message: entering.message,
    bodyBytes: entering.bodyBytes,
    publishedAtMs: entering.publishedAtMs,
    expiresAtMs: ttlMs === Infinity ? Infinity : entering.nowMs + entering.delayMs + ttlMs,
    dueAtMs: entering.delayMs > 0 ? entering.nowMs + entering.delayMs : 0,
    key: entering.key,
    transient: !entering.persistent || !queue.persistent,
    deliveryCount: 0,
    // Whoever dies of it must not do so for ever: the caution with what a crash left goes with it from queue to queue.
    recovered: entering.supersedes !== undefined && entering.supersedes.recovered,
  })
}
