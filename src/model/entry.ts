/**
 * An entry: one message's stay in one queue. A message routed to three queues has three entries that share it.
 *
 * `seq` is the entry's identity for the whole broker and its place in the queue: within a lane, lower is nearer the
 * head. It never changes; what moves to the tail (a due delayed message, a dead letter) becomes a new entry
 * that supersedes the old one in the same record.
 *
 * A message with a key that was handed out owns its key until it has left. When it comes back to be tried again, it becomes
 * a new entry with a due time, and stays that entry once it is due: on record it is held back from then on, so that
 * whoever reads the record knows it as its key's owner.
 */
import type { Message } from './message.ts'

/** The place of a queue among all queues of all virtual hosts; never used twice. From 1. */
export type QueueId = number

/** What an entry takes in memory besides its body and properties, about; measured on Node 20. */
export const entryOverheadBytes = 480

/** Priority level 0 to 255; the entry waits in the lane of its level. */
export type Lane = number

export class Entry {
  readonly seq: number
  readonly queueId: QueueId
  readonly lane: Lane
  readonly message: Message
  /** The body's size, for limits and statistics. */
  readonly bodyBytes: number
  /** Body and properties: what counts where memory is limited. */
  readonly contentBytes: number
  /** When the broker took the message, in ms since the epoch. */
  readonly publishedAtMs: number
  /** Not delivered at or after this time; Infinity for never. */
  readonly expiresAtMs: number
  /** Held back until this time; 0 for ready at once. What is ready and has one owns its key. */
  readonly dueAtMs: number
  /** Messages of one key are handled one at a time and in order; '' for none. */
  readonly key: string
  /** Does not outlive the process: a non-persistent message, or one in a transient queue. */
  readonly transient: boolean
  /** The journal knows it: from the start if it is not transient, else once it left memory. The engine's to set. */
  stored: boolean
  /** How often it was handed out and came back: attempt - 1 of the next delivery. */
  deliveryCount: number
  /** Read back from a store whose last owner died: its delivery is put on record before it is handed over. */
  readonly recovered: boolean

  constructor(fields: EntryFields) {
    this.seq = fields.seq
    this.queueId = fields.queueId
    this.lane = fields.lane
    this.message = fields.message
    this.bodyBytes = fields.bodyBytes
    this.contentBytes = fields.bodyBytes + fields.message.knownPropertyBytes
    this.publishedAtMs = fields.publishedAtMs
    this.expiresAtMs = fields.expiresAtMs
    this.dueAtMs = fields.dueAtMs
    this.key = fields.key
    this.transient = fields.transient
    this.stored = !fields.transient
    this.deliveryCount = fields.deliveryCount
    this.recovered = fields.recovered
  }

  /** What it takes in memory, about. The body of a message in several queues counts in each. */
  get residentBytes(): number {
    return this.contentBytes + entryOverheadBytes
  }
}

export interface EntryFields {
  readonly seq: number
  readonly queueId: QueueId
  readonly lane: Lane
  readonly message: Message
  readonly bodyBytes: number
  readonly publishedAtMs: number
  readonly expiresAtMs: number
  readonly dueAtMs: number
  readonly key: string
  readonly transient: boolean
  readonly deliveryCount: number
  readonly recovered: boolean
}
