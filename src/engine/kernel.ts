/**
 * What all parts of one engine share: the journal, the next numbers, the queues that have something to deliver, the
 * timers, the notices to be sent.
 *
 * Nothing is delivered when something happens to a queue: the queue is marked dirty, and `Engine.dispatch` comes by.
 * A timer is a pair (time, queue id); a queue has one that counts (`timerAtMs`), and those it outran are skipped.
 */
import { assert } from '../std/assert.ts'
import { Deque } from '../std/deque.ts'
import { PairHeap } from '../std/pair-heap.ts'
import type { Entry, QueueId } from '../model/entry.ts'
import type { Journal, Removed } from '../model/record.ts'
import { AccessControl } from './access.ts'
import { EngineCounters } from './counters.ts'
import type { EngineLimits } from './limits.ts'
import { OperatorLimits } from './operator-limits.ts'
import { Parameters } from './parameters.ts'
import { Policies } from './policies.ts'
import type { Pager } from './pager.ts'
import type { Queue } from './queue.ts'
import type { Session } from './session.ts'
import type { VirtualHost } from './virtual-host.ts'

/** What ends with a connection. */
export interface Connection {
  readonly sessions: Set<Session>
  readonly exclusiveQueues: Set<Queue>
}

export class Kernel {
  /** Replaced by one that does nothing while the state is restored from what it holds. */
  journal: Journal
  readonly pager: Pager | undefined
  readonly limits: EngineLimits
  /** Makes the random part of a server-named queue or consumer tag. */
  readonly name: () => string
  /** As the last of a call: whoever is told may call the engine. */
  readonly onRemoved: (removed: Removed) => void
  readonly counters: EngineCounters
  readonly access: AccessControl
  readonly operatorLimits: OperatorLimits
  readonly parameters: Parameters
  readonly policies: Policies
  readonly vhosts: Map<string, VirtualHost>
  readonly queues: Map<QueueId, Queue>
  readonly sessions: Set<Session>
  readonly connections: Map<number, Connection>
  readonly dirty: Deque<Queue>
  /** Queues that hold more than they may; worked off without recursion, since what they drop may overflow others. */
  readonly overflowing: Deque<Queue>
  /** Consumers that ended from outside and are to be told. */
  readonly cancelled: Deque<{ readonly session: Session; readonly consumerTag: string }>
  readonly timers: PairHeap
  nextSeq: number
  nextQueueId: QueueId
  /** What messages take in memory, about, over all queues; a body that several queues share counts in each. */
  residentBytes: number
  /** Of bodies and properties that wait for the commit of a transaction. */
  transactionBytes: number
  exchangeCount: number
  bindingCount: number
  /** What is on record is being restored: facts come from there. */
  isRestoring: boolean
  /** A sink is being called: the engine must not be called. */
  insideSink: boolean
  /** Entries that may still be expired, parked or dropped in this call. */
  work: number
  readonly #single: Entry[]

  constructor(options: {
    journal: Journal
    pager: Pager | undefined
    limits: EngineLimits
    name: () => string
    onRemoved: (removed: Removed) => void
  }) {
    this.journal = options.journal
    this.pager = options.pager
    this.limits = options.limits
    this.name = options.name
    this.onRemoved = options.onRemoved
    this.counters = new EngineCounters()
    this.access = new AccessControl(this)
    this.operatorLimits = new OperatorLimits(this)
    this.parameters = new Parameters(this)
    this.policies = new Policies(this)
    this.vhosts = new Map()
    this.queues = new Map()
    this.sessions = new Set()
    this.connections = new Map()
    this.dirty = new Deque()
    this.overflowing = new Deque()
    this.cancelled = new Deque()
    this.timers = new PairHeap()
    this.nextSeq = 1
    this.nextQueueId = 1
    this.residentBytes = 0
    this.transactionBytes = 0
    this.exchangeCount = 0
    this.bindingCount = 0
    this.isRestoring = false
    this.insideSink = false
    this.work = 0
    this.#single = []
  }

  addSession(session: Session): void {
    this.sessions.add(session)
    this.connection(session.connectionId).sessions.add(session)
  }

  removeSession(session: Session): void {
    this.sessions.delete(session)
    this.connection(session.connectionId).sessions.delete(session)
    this.forgetConnection(session.connectionId)
  }

  connection(id: number): Connection {
    let connection = this.connections.get(id)
    if (connection === undefined) {
      connection = { sessions: new Set(), exclusiveQueues: new Set() }
      this.connections.set(id, connection)
    }
    return connection
  }

  /** Forgets a connection that has nothing any more. */
  forgetConnection(id: number): void {
    const connection = this.connections.get(id)
    if (connection?.sessions.size === 0 && connection.exclusiveQueues.size === 0) this.connections.delete(id)
  }

  /** What operators set for a virtual host that is gone. */
  forgetSettings(vhost: string): void {
    this.access.forgetVhost(vhost)
    this.operatorLimits.forgetVhost(vhost)
    this.parameters.forgetVhost(vhost)
    this.policies.forgetVhost(vhost)
  }

  /** Puts one entry on record. The array handed to the journal is used again for the next one. */
  journalOne(entry: Entry, supersedes: number): void {
    this.#single[0] = entry
    this.journal.published(this.#single, supersedes)
    entry.stored = true
  }

  /** Puts a new entry that takes an old one's place on record, as far as either belongs there. */
  journalSuperseding(fresh: Entry, old: Entry): void {
    if (!fresh.transient) this.journalOne(fresh, old.stored ? old.seq : 0)
    else if (old.stored) this.journal.settled(old.seq)
  }

  /** The queue may have something to deliver or drop. */
  markDirty(queue: Queue): void {
    if (queue.dirty) return
    queue.dirty = true
    this.dirty.push(queue)
  }

  markOverflowing(queue: Queue): void {
    if (queue.overflowing) return
    queue.overflowing = true
    this.overflowing.push(queue)
  }

  /** The queue wants `advance` at that time at the latest. */
  schedule(queue: Queue, atMs: number): void {
    if (atMs >= queue.timerAtMs) return
    queue.timerAtMs = atMs
    this.timers.push(atMs, queue.id)
  }

  /** Sinks take what they are given and answer later; a call from inside one would change what is being walked. */
  enter(): void {
    assert(!this.insideSink, 'a session sink must not call the engine')
  }
}
