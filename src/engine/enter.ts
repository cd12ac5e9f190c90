/** A message enters queues: one entry each, one record for all that are durable. */
import { Entry } from '../model/entry.ts'
import type { Message } from '../model/message.ts'
import { heldEntry } from './held-entry.ts'
import type { Kernel } from './kernel.ts'
import type { Queue } from './queue.ts'

/** What a publisher may say about an entry. */
export interface Terms {
  /** It is to survive a restart, in queues that do. */
  readonly persistent: boolean
  readonly priority: number
  readonly key: string
  /** Infinity for none; counted from when it is due. */
  readonly ttlMs: number
  readonly delayMs: number
}

export interface Entering extends Terms {
  readonly message: Message
  readonly bodyBytes: number
  readonly publishedAtMs: number
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
    if (!isRecorded(queue, entering)) continue
    stored.push(entryOf(kernel, queue, entering))
    queues.push(queue)
  }
  if (stored.length > 0) kernel.journal.published(stored, supersedes)
  else if (supersedes !== 0) kernel.journal.settled(supersedes)
  stored.forEach((entry, index) => place(queues[index]!, entry))
  if (stored.length === targets.length) return
  for (const queue of targets) {
    if (!isRecorded(queue, entering)) place(queue, entryOf(kernel, queue, entering))
  }
}

/** Where an entry that is on record goes first. */
export function place(queue: Queue, entry: Entry): void {
  if (entry.dueAtMs > 0) queue.hold(entry)
  else queue.enqueue(entry)
}

/** The entry, with the next seq. Its facts come one by one: no object in between on the hot path (benchmark P1). */
export function newEntry(
  kernel: Kernel,
  queue: Queue,
  message: Message,
  terms: Terms,
  bodyBytes: number,
  publishedAtMs: number,
  nowMs: number,
  recovered: boolean,
): Entry {
  if (queue.holdsFor !== undefined) {
    return heldEntry(kernel, queue, message, terms, { publishedAtMs, nowMs, recovered })
  }
  const ttlMs = terms.ttlMs < queue.messageTtlMs ? terms.ttlMs : queue.messageTtlMs
  const seq = kernel.nextSeq
  kernel.nextSeq = seq + 1
  return new Entry({
    seq,
    queueId: queue.id,
    lane: terms.priority < queue.maxPriority ? terms.priority : queue.maxPriority,
    message,
    bodyBytes,
    publishedAtMs,
    expiresAtMs: expiryOf(ttlMs, terms.delayMs, publishedAtMs, nowMs),
    dueAtMs: terms.delayMs > 0 ? nowMs + terms.delayMs : 0,
    key: terms.key,
    transient: !queue.recordsAll && !(queue.persistent && terms.persistent),
    deliveryCount: 0,
    recovered,
  })
}

/** A time to live of 0 ran out when the message was published: by that it is known, in a dead letter too. */
function expiryOf(ttlMs: number, delayMs: number, publishedAtMs: number, nowMs: number): number {
  if (ttlMs === Infinity) return Infinity
  return ttlMs === 0 && delayMs === 0 ? publishedAtMs : nowMs + delayMs + ttlMs
}

function isRecorded(queue: Queue, entering: Entering): boolean {
  return queue.recordsAll || (queue.persistent && entering.persistent)
}

function entryOf(kernel: Kernel, queue: Queue, entering: Entering): Entry {
  const { message, bodyBytes, publishedAtMs, nowMs, supersedes } = entering
  // Whoever dies of it must not do so for ever: the caution with what a crash left goes with it from queue to queue.
  const recovered = supersedes !== undefined && supersedes.recovered
  return newEntry(kernel, queue, message, entering, bodyBytes, publishedAtMs, nowMs, recovered)
}
