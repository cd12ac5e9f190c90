/**
 * The driver port: what an engine must do for the client. It belongs to the client, is written from the semantics and
 * not from one engine, and deals in bytes: codecs, schemas, backoff and request/reply live above it.
 *
 * `millrace/conformance` is this contract as a test suite.
 */
import type { Body } from '../model/message.ts'
import type { FieldTable } from '../model/field-table.ts'
import type { Properties } from '../model/properties.ts'
import type { ExchangeKind } from '../model/record.ts'

export interface Driver {
  /** A short name for messages: 'memory', 'file', 'amqp', 'redis'. */
  readonly name: string
  /** Connect, probe, tell the truth. */
  open(signal?: AbortSignal): Promise<Capabilities>
  /**
   * Idempotent. The whole topology is checked before anything is changed. Replayed after a reconnect.
   * Throws UnsupportedError, ConflictError, ValidationError.
   */
  declare(topology: Topology): Promise<void>
  /** Removes what is named; what is missing is no error. With `ifEmpty`, a queue that holds messages is PRECONDITION_FAILED. */
  undeclare(topology: Topology, options?: { ifEmpty?: boolean }): Promise<void>
  /**
   * One result per message, in order; resolves when all are decided, never rejects for one message alone.
   * Rejects with CLOSED, STORE_FAILED or the signal's ABORTED where no result can be told. What was sent when the
   * connection went is 'rejected' with CONNECTION_LOST: it may be stored or not.
   */
  publish(batch: readonly Outgoing[], options?: PublishOptions): Promise<readonly PublishResult[]>
  /** NOT_FOUND without such a queue; ACCESS_REFUSED where an exclusive consumer stands. */
  consume(queue: string, options: ConsumeOptions, sink: (delivery: Delivery) => void): Promise<Consumer>
  stats(queue: string): Promise<QueueStats>
  /** Every queue of the namespace, by name. UnsupportedError where `listing` is none. */
  queues(): Promise<readonly string[]>
  /** Looks at messages in the order they would be delivered; changes nothing. */
  browse(queue: string, options: BrowseOptions): Promise<Page>
  /** Drops messages and says how many: those that are ready (default), held back, or both; never those in a handler's hands. */
  purge(queue: string, state?: 'ready' | 'delayed' | 'all'): Promise<number>
  /** Drops delayed messages by message id and says how many there were: a scheduled message called off. */
  cancelDelayed(queue: string, messageId: string): Promise<number>
  /**
   * Moves up to `limit` ready messages to the tail of another queue, the attempts set back to none and the death
   * history kept; says how many. Each one is in exactly one of the two queues at any crash.
   */
  move(from: string, to: string, options?: { limit?: number; signal?: AbortSignal }): Promise<number>
  pause(queue: string): Promise<void>
  resume(queue: string): Promise<void>
  readonly events: DriverEvents
  /** Stops consumers, waits up to `drainMs` for what is unsettled, hands the rest back. Idempotent. */
  close(options?: { drainMs?: number }): Promise<void>
}

/** How an engine does a thing: natively, put together from other things, or not at all. */
export type Level = 'native' | 'emulated' | 'none'

export interface Capabilities {
  readonly durable: boolean
  readonly delay: { readonly level: Level; readonly maximumMs: number; readonly resolutionMs: number }
  readonly cancelDelayed: { readonly level: Level }
  readonly retry: { readonly level: Level }
  /** Of a release without a delay: native, to the original place; emulated, to the tail. */
  readonly release: { readonly level: Level }
  readonly deduplication: { readonly level: Level; readonly maximumWindowMs: number }
  readonly priority: { readonly level: Level; readonly maximum: number }
  readonly ordering: { readonly level: Level }
  readonly expiry: { readonly level: Level }
  readonly maxLength: { readonly level: Level }
  readonly singleActiveConsumer: { readonly level: Level }
  readonly exclusiveConsumer: { readonly level: Level }
  readonly pause: { readonly level: Level }
  readonly browse: { readonly level: Level }
  /** What `stats` says beyond `ready`, `consumers` and `paused`; where none, the rest is undefined. */
  readonly statistics: { readonly level: Level }
  /** `queues()`. */
  readonly listing: { readonly level: Level }
  readonly exchangeBindings: { readonly level: Level }
  readonly alternateExchange: { readonly level: Level }
  readonly replay: { readonly level: Level }
  /**
   * A settlement is one step and holds over any crash. Where not, a crash may bring back what was acknowledged, or leave
   * a message that was being retried, dead-lettered or moved in both places: at least once all the same.
   */
  readonly atomicSettle: boolean
  /** A consumer's hold on a message runs out unless extended; 0: it lasts as long as the connection. */
  readonly leaseMs: number
  readonly maximumBodyBytes: number
}

export interface Topology {
  readonly exchanges?: readonly ExchangeSpec[]
  readonly queues?: readonly QueueSpec[]
  readonly bindings?: readonly BindingSpec[]
}

export interface ExchangeSpec {
  readonly name: string
  readonly kind: ExchangeKind
  /** Survives a restart (default true). */
  readonly durable?: boolean
  readonly autoDelete?: boolean
  /** Takes what this exchange routes nowhere. */
  readonly alternate?: string
}

export interface QueueSpec {
  readonly name: string
  /** Survives a restart (default true). */
  readonly durable?: boolean
  /** Only this connection may use it, and it goes when the connection does. */
  readonly exclusive?: boolean
  /** Goes when its last consumer does. */
  readonly autoDelete?: boolean
  /** Goes when nobody used it for so long. */
  readonly expiresMs?: number
  /** Levels of priority, 1 to 255; 0 or absent for none. */
  readonly maxPriority?: number
  readonly messageTtlMs?: number
  /** Ready messages at most. */
  readonly maxLength?: number
  readonly maxLengthBytes?: number
  readonly overflow?: 'drop-head' | 'reject-publish' | 'reject-publish-dlx'
  /** Where rejected, expired and overflowing messages go. */
  readonly deadLetter?: { readonly exchange: string; readonly routingKey?: string }
  /** Returns to the queue before a message is dead-lettered by the engine itself. */
  readonly deliveryLimit?: number
  readonly singleActiveConsumer?: boolean
}

export interface BindingSpec {
  readonly source: string
  readonly destination: string
  readonly destinationType?: 'queue' | 'exchange'
  readonly routingKey: string
  /** Headers to match, for a headers exchange: `x-match` and the pairs. */
  readonly arguments?: FieldTable
}

export interface Outgoing {
  /** '' is the default exchange, which routes to the queue named by the routing key. */
  readonly exchange: string
  readonly routingKey: string
  readonly properties: Properties
  /** Not copied: it must not change until `publish` has resolved, and in this process as long as the message lives. */
  readonly body: Body
  /** Unroutable is a result of type 'unroutable' instead of being dropped and counted. */
  readonly mandatory?: boolean
  readonly delayMs?: number
  readonly ttlMs?: number
  /** Messages of one key are handled one at a time and in order. */
  readonly key?: string
  readonly dedupe?: { readonly key: string; readonly windowMs: number }
}

export interface PublishOptions {
  /** Stops waiting; what was handed over already may still be stored. */
  readonly signal?: AbortSignal
}

export type PublishResult =
  | { readonly type: 'stored' }
  /** Not stored: this message id came with the same key inside the window. */
  | { readonly type: 'duplicate'; readonly messageId: string }
  /** No queue took it (and it was not mandatory): dropped and counted. */
  | { readonly type: 'dropped' }
  | { readonly type: 'unroutable' }
  /** The message alone was refused: NOT_FOUND (exchange), QUEUE_FULL, MESSAGE_TOO_LARGE, HEADERS_TOO_LARGE, …. */
  | { readonly type: 'rejected'; readonly error: Error }

export interface ConsumeOptions {
  /** Unsettled messages at most, 1 to 65535. */
  readonly prefetch: number
  readonly exclusive?: boolean
  /** Higher goes first while it has credit (default 0). */
  readonly priority?: number
  /**
   * The engine may take a few more than `prefetch` and keep them until there is room, as long as the messages of this consumer
   * are settled at once: it gives them back to their places when one takes its time. What is handed out stays within `prefetch`.
   */
  readonly readAhead?: boolean
  /** The consumer was ended from outside: its queue was deleted or, with the error, the engine failed. */
  readonly onCancelled?: (error?: Error) => void
}

export interface Consumer {
  /** Changes the credit of the running consumer. */
  setPrefetch(prefetch: number): void
  /** No more deliveries; what was delivered stays to be settled. */
  cancel(): Promise<void>
}

/** A message as it comes back from the engine. */
export interface Received {
  readonly exchange: string
  readonly routingKey: string
  readonly properties: Properties
  readonly body: Body
  /** When the engine took it, in ms since the epoch. */
  readonly publishedAtMs: number
}

export interface Delivery {
  readonly message: Received
  readonly queue: string
  /** From 1, kept by the engine. */
  readonly attempt: number
  /** Fencing token. */
  readonly token: string
  /** Lease or connection gone: stop work. */
  readonly lost: AbortSignal
  /**
   * Ends the delivery, once. Resolves when the outcome is as durable as the engine promises; false: the lease was lost or
   * it was settled before, and nothing changed. `out` is published with the settlement, all or nothing where the engine
   * can, else before it.
   */
  settle(outcome: Outcome, out?: readonly Outgoing[]): Promise<boolean>
  extend(ms: number): Promise<boolean>
}

export type Outcome =
  | { readonly type: 'ack' }
  /** Back into this queue after the delay, attempt + 1. */
  | { readonly type: 'retry'; readonly delayMs: number }
  /** Back into this queue, attempt unchanged; to its original position where there is no delay and the engine can. */
  | { readonly type: 'release'; readonly delayMs?: number }
  /** To the queue's dead-letter exchange, or dropped where it has none. */
  | { readonly type: 'dead'; readonly reason: string; readonly error?: string }

/** Undefined is what the engine cannot tell (see `Capabilities.statistics`). */
export interface QueueStats {
  readonly ready: number
  readonly unacked: number | undefined
  readonly delayed: number | undefined
  readonly consumers: number
  /** Age of the message at the head, or 0. */
  readonly oldestMs: number | undefined
  readonly paused: boolean
  /** Sums since the engine started. */
  readonly published: number | undefined
  readonly delivered: number | undefined
  readonly acked: number | undefined
  readonly retried: number | undefined
  readonly deadLettered: number | undefined
  readonly expired: number | undefined
  readonly dropped: number | undefined
}

export interface BrowseOptions {
  readonly state?: 'ready' | 'delayed' | 'unacked'
  /** 1 to 1,000 (default 50). */
  readonly limit?: number
  /** The `next` of the page before. */
  readonly cursor?: string
}

export interface Page {
  readonly messages: readonly BrowsedMessage[]
  /** Where the next page begins; absent on the last. */
  readonly next?: string
}

export interface BrowsedMessage {
  readonly message: Received
  readonly attempt: number
  /** When it is due, for a delayed one, in ms since the epoch. */
  readonly dueAtMs?: number
}

/** What happens to the connection, as facts. */
export interface DriverEventMap {
  up: []
  down: [cause: Error]
  /** Publishers wait: disk or memory is short. */
  blocked: [reason: string]
  unblocked: []
  topologyLost: []
  /** Something the operator should know: a quarantined file, a lost setting. */
  warning: [message: string]
}

export interface DriverEvents {
  on<Name extends keyof DriverEventMap>(
    name: Name,
    listener: (...facts: DriverEventMap[Name]) => void,
  ): unknown
  off<Name extends keyof DriverEventMap>(
    name: Name,
    listener: (...facts: DriverEventMap[Name]) => void,
  ): unknown
}
