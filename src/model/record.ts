/**
 * The durable facts: what the engine tells its journal and the store keeps.
 *
 * Facts about entries are method calls, not objects, because there are millions of them; facts about definitions are
 * the union below.
 *
 * Each call is kept or lost as a whole, and so are all calls made one after another before anybody asks whether they are
 * stored: a commit, a purge, or a settlement with what it publishes may rely on that. A whole turn of the event loop
 * may not: it may be written in several batches.
 */
import type { Entry, QueueId } from './entry.ts'
import type { FieldTable } from './field-table.ts'
import type { Setting, SettingRemoval } from './setting.ts'

/** The types of exchange that every engine has. */
export type ExchangeKind = 'direct' | 'fanout' | 'topic' | 'headers'

/** The ways in which an exchange finds its destinations. */
export type RoutingKind = ExchangeKind | 'x-consistent-hash'

/** The types that the broker has: a way to route, or one that holds back first and routes as its arguments say. */
export type BrokerExchangeKind = RoutingKind | 'x-delayed-message'

/** Its end ends connections. */
export type Removed = Extract<Definition, { readonly type: 'vhost.deleted' | 'user.deleted' }>

/** A change of what is declared. Also, one after another, the whole state of what is declared. */
export type Definition =
  | { readonly type: 'vhost.declared'; readonly vhost: string }
  | { readonly type: 'vhost.deleted'; readonly vhost: string }
  | {
      readonly type: 'exchange.declared'
      readonly vhost: string
      readonly name: string
      readonly kind: BrokerExchangeKind
      readonly autoDelete: boolean
      readonly internal: boolean
      readonly arguments: FieldTable
    }
  | { readonly type: 'exchange.deleted'; readonly vhost: string; readonly name: string }
  | {
      readonly type: 'queue.declared'
      readonly id: QueueId
      readonly vhost: string
      /** '' for one that holds back for an exchange. */
      readonly name: string
      /** The exchange of type `x-delayed-message` whose messages it holds back. */
      readonly holdsFor?: string
      readonly autoDelete: boolean
      readonly arguments: FieldTable
    }
  | { readonly type: 'queue.deleted'; readonly id: QueueId }
  | { readonly type: 'queue.paused'; readonly id: QueueId; readonly paused: boolean }
  | ({ readonly type: 'bound' } & BindingFacts)
  | ({ readonly type: 'unbound' } & BindingFacts)
  | {
      readonly type: 'deduplicated'
      readonly queueId: QueueId
      readonly key: string
      readonly messageId: string
      readonly untilMs: number
    }
  | Setting
  | SettingRemoval

export interface BindingFacts {
  readonly vhost: string
  readonly source: string
  readonly destination: string
  readonly destinationType: 'queue' | 'exchange'
  readonly routingKey: string
  readonly arguments: FieldTable
}

export interface Journal {
  /**
   * One message entered queues. The entries share their message and have consecutive sequence numbers. One that has a key
   * and a due time and supersedes another owns its key.
   * @param supersedes the entry that this one replaces (settled in the same record), or 0
   */
  published(entries: readonly Entry[], supersedes: number): void
  /** The entry has left its queue: acknowledged, expired, dropped. */
  settled(seq: number): void
  /** The entry was handed to a consumer; after a crash that counts as an attempt. */
  delivered(seq: number): void
  /** It came back and that delivery does not count (released, or a consumer's cancel). */
  released(seq: number): void
  /** Every entry of the queue (of these lanes; all lanes and delayed ones if absent) up to `throughSeq` has left, save the survivors. */
  purged(purge: Purge): void
  defined(definition: Definition): void
}

export interface Purge {
  readonly queueId: QueueId
  readonly throughSeq: number
  /** Which entries: those on record as ready (no due time), or as held back (a due time, be it past). */
  readonly state: 'ready' | 'delayed' | 'all'
  /** Sequence numbers, ascending, of entries that stay: those in a consumer's hands, or ready though on record as held back. */
  readonly survivors: readonly number[]
}

/** What recovery found in one lane of a queue. */
export interface RecoveredLane {
  readonly lane: number
  readonly count: number
  readonly bodyBytes: number
}

/** What recovery found of one queue's entries. */
export interface RecoveredQueue {
  readonly queueId: QueueId
  readonly lanes: readonly RecoveredLane[]
  /** Entries held back: `seqs[i]` is due at `dueAtMs[i]`; in no order. */
  readonly delayed: {
    readonly seqs: Float64Array
    readonly dueAtMs: Float64Array
    readonly bodyBytes: number
  }
  /** Those of the delayed ones that own their key: it stays taken until they are done, be they due already. */
  readonly heldKeys: ReadonlyArray<{ readonly seq: number; readonly key: string }>
}

/** The state of the engine that a store writes at the head of each log file. */
export interface Snapshot {
  readonly definitions: readonly Definition[]
  /** Entries with a delivery count above 0, or in a consumer's hands (counted as one more): pairs of seq and count. */
  readonly deliveryCounts: ReadonlyArray<readonly [seq: number, count: number]>
  readonly nextSeq: number
  readonly nextQueueId: QueueId
}

/** What a store hands to the engine when it is opened. */
export interface Recovered {
  readonly definitions: readonly Definition[]
  readonly queues: readonly RecoveredQueue[]
  readonly nextSeq: number
  readonly nextQueueId: QueueId
  /** The last owner did not close: it was killed, or the machine stopped. */
  readonly unclean: boolean
}
