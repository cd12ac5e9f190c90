/**
 * Every bound of the engine, by name. What reaches one is refused with `LIMIT_REACHED`, waits, or is worked off a slice
 * at a time; the comment says which.
 */
export interface EngineLimits {
  /** Deliveries in one call of `dispatch`; it says that there is more. */
  readonly deliveriesPerDispatch: number
  /** Deliveries from one queue before the next one has its turn. */
  readonly deliveriesPerTurn: number
  /** Entries that become due, expire or are dropped in one call of `advance`; it says that there is more. */
  readonly workPerAdvance: number
  /** Entries that overflow queues drop on behalf of one publish; the rest is done by `dispatch`. */
  readonly dropsPerPublish: number
  /** Messages and bytes that a queue keeps beyond its maximum for consumers that wait for its head; the head is dropped. */
  readonly dropsPutOff: number
  readonly bytesPutOff: number
  /** Entries in one slice of `Queue.move`. */
  readonly entriesPerMove: number
  /** Unacknowledged deliveries of one session's consumers; deliveries wait. */
  readonly unackedPerSession: number
  /** Buffered publishes of one transaction; refused. */
  readonly operationsPerTransaction: number
  /** Bytes that the buffered publishes of all transactions, and their settlements, take in memory; a publish is refused. */
  readonly bytesInTransactions: number
  /** Later messages of a busy key that a queue sets aside; deliveries of that queue wait. */
  readonly parkedPerQueue: number
  /** De-duplication keys remembered per queue; the one that would end first is forgotten. */
  readonly deduplicationKeysPerQueue: number
  /** The longest delay, in ms; refused. */
  readonly delayMs: number
  /** The longest de-duplication window, in ms; refused. */
  readonly deduplicationWindowMs: number
  /** How long before it is due a paged delayed entry is read back, in ms. */
  readonly delayedLookAheadMs: number
  /** Paged delayed entries read back at once. */
  readonly delayedLoadBatch: number
  /** Virtual hosts, queues, exchanges, bindings, sessions, consumers of all: refused. */
  readonly vhosts: number
  readonly queues: number
  readonly exchanges: number
  readonly bindings: number
  readonly sessions: number
  readonly consumersPerSession: number
  /** Users, what they are granted, policies, parameters: refused. */
  readonly users: number
  readonly permissions: number
  readonly policies: number
  readonly parameters: number
  /** Extra routing keys (CC and BCC) of one message; refused. */
  readonly routingKeysPerMessage: number
  /** Entries in one page of `browse`. */
  readonly browseEntries: number
}

const day = 24 * 60 * 60 * 1000

export const defaultLimits: EngineLimits = Object.freeze({
  deliveriesPerDispatch: 1000,
  deliveriesPerTurn: 250,
  workPerAdvance: 1000,
  dropsPerPublish: 1000,
  dropsPutOff: 1000,
  bytesPutOff: 4 * 1024 * 1024,
  entriesPerMove: 1000,
  unackedPerSession: 262_144,
  operationsPerTransaction: 262_144,
  bytesInTransactions: 512 * 1024 * 1024,
  parkedPerQueue: 4096,
  deduplicationKeysPerQueue: 1_000_000,
  delayMs: 3650 * day,
  deduplicationWindowMs: 30 * day,
  delayedLookAheadMs: 1000,
  delayedLoadBatch: 4096,
  vhosts: 10_000,
  queues: 1_000_000,
  exchanges: 1_000_000,
  bindings: 10_000_000,
  sessions: 1_000_000,
  consumersPerSession: 65_535,
  users: 100_000,
  permissions: 1_000_000,
  policies: 100_000,
  parameters: 100_000,
  routingKeysPerMessage: 1000,
  browseEntries: 1000,
})
