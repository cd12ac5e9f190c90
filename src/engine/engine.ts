/**
 * The engine: the broker's state machine. Pure and synchronous: time comes in as `nowMs`, durable facts go out through the
 * journal, effects on clients through the sinks of their sessions.
 *
 * Sessions change the state and never deliver. `dispatch` delivers what can be delivered, `advance` does what time brings;
 * both do a bounded amount of work and say whether there is more. A turn of the broker is: requests, then `advance` if
 * `nextDueMs` has come, then `dispatch`.
 */
import { assert } from '../std/assert.ts'
import type { Entry } from '../model/entry.ts'
import type { Journal, Recovered, Removed, Snapshot } from '../model/record.ts'
import type { AccessControl } from './access.ts'
import { browseDelayed, browseReady, browseUnacked } from './browse.ts'
import type { ReadyPage, ReadyPosition } from './browse.ts'
import type { EngineCounters } from './counters.ts'
import { dispatchQueue } from './dispatch.ts'
import { Kernel } from './kernel.ts'
import { defaultLimits } from './limits.ts'
import type { EngineLimits } from './limits.ts'
import { moveEntries } from './move.ts'
import type { Moved } from './move.ts'
import type { OperatorLimits } from './operator-limits.ts'
import { dropOverflow } from './overflow.ts'
import type { LaneRequest, Pager, SeqsRequest } from './pager.ts'
import type { Parameters } from './parameters.ts'
import type { Policies } from './policies.ts'
import { purgeQueue } from './purge.ts'
import type { Queue } from './queue.ts'
import { tooMany, unknownVhost } from './refusals.ts'
import { dropHomeless, mendHoldings, restoreDefinition, restoreEntries } from './restore.ts'
import { Session } from './session.ts'
import type { SessionSink } from './sink.ts'
import { takeSnapshot } from './snapshot.ts'
import { advanceQueues } from './timers.ts'
import { removeAll, removeQueue } from './topology.ts'
import { VirtualHost } from './virtual-host.ts'

export interface EngineOptions {
  readonly journal: Journal
  /** Absent: everything stays in memory. */
  readonly pager?: Pager
  readonly limits?: Partial<EngineLimits>
  /** Makes the random part of a server-named queue or consumer tag: different each time. */
  readonly name: () => string
  /** Told when a virtual host or a user was deleted: those who are connected to it, or as it, are to leave. */
  readonly onRemoved?: (removed: Removed) => void
}

/** The journal of an engine that keeps nothing. */
export const silentJournal: Journal = Object.freeze({
  published() {},
  settled() {},
  delivered() {},
  released() {},
  purged() {},
  defined() {},
})

export class Engine {
  readonly limits: EngineLimits
  readonly #kernel: Kernel

  constructor(options: EngineOptions) {
    this.limits = { ...defaultLimits, ...options.limits }
    this.#kernel = new Kernel({
      journal: options.journal,
      pager: options.pager,
      limits: this.limits,
      name: options.name,
      onRemoved: options.onRemoved ?? (() => undefined),
    })
  }

  get counters(): EngineCounters {
    return this.#kernel.counters
  }

  /** Body bytes held in memory, over all queues; a body that several queues share counts in each. */
  get residentBytes(): number {
    return this.#kernel.residentBytes
  }

  get access(): AccessControl {
    return this.#kernel.access
  }

  /** What operators allow a virtual host or a user. */
  get operatorLimits(): OperatorLimits {
    return this.#kernel.operatorLimits
  }

  get parameters(): Parameters {
    return this.#kernel.parameters
  }

  get policies(): Policies {
    return this.#kernel.policies
  }

  get vhosts(): ReadonlyMap<string, VirtualHost> {
    return this.#kernel.vhosts
  }

  get sessions(): ReadonlySet<Session> {
    return this.#kernel.sessions
  }

  get queueCount(): number {
    return this.#kernel.queues.size
  }

  /** Finds a queue by its id, as facts and requests name it. */
  queueById(id: number): Queue | undefined {
    return this.#kernel.queues.get(id)
  }

  /** Takes over what a store recovered. Before anything else. */
  restore(recovered: Recovered): void {
    const kernel = this.#kernel
    assert(this.#kernel.vhosts.size === 0 && kernel.nextSeq === 1, 'state is restored into a new engine')
    const journal = kernel.journal
    kernel.journal = silentJournal
    kernel.isRestoring = true
    kernel.nextSeq = recovered.nextSeq
    kernel.nextQueueId = recovered.nextQueueId
    const into = {
      kernel,
      vhosts: this.#kernel.vhosts,
      declareVhost: (name: string) => this.declareVhost(name),
      deleteVhost: (name: string) => this.deleteVhost(name, 0),
    }
    for (const definition of recovered.definitions) restoreDefinition(into, definition)
    const homeless = recovered.queues.filter((queue) => !restoreEntries(kernel, queue))
    kernel.isRestoring = false
    kernel.journal = journal
    for (const queue of homeless) dropHomeless(kernel, queue)
    mendHoldings(kernel)
  }

  /** The state that a store writes at the head of each log file. */
  snapshot(): Snapshot {
    return takeSnapshot(this.#kernel)
  }

  /** One that is there already is ok. Code LIMIT_REACHED. */
  declareVhost(name: string): void {
    const kernel = this.#kernel
    kernel.enter()
    if (this.#kernel.vhosts.has(name)) return
    if (this.#kernel.vhosts.size >= this.limits.vhosts) throw tooMany('virtual hosts', this.limits.vhosts)
    this.#kernel.vhosts.set(name, new VirtualHost(kernel, name))
    kernel.journal.defined({ type: 'vhost.declared', vhost: name })
  }

  /** With all its sessions, queues and exchanges; a missing one is ok. */
  deleteVhost(name: string, nowMs: number): void {
    const kernel = this.#kernel
    kernel.enter()
    const vhost = kernel.vhosts.get(name)
    if (vhost === undefined) return
    for (const session of kernel.sessions) if (session.vhost === vhost) session.close(nowMs)
    removeAll(kernel, vhost)
    kernel.vhosts.delete(name)
    kernel.forgetSettings(name)
    const removed = { type: 'vhost.deleted', vhost: name } as const
    kernel.journal.defined(removed)
    if (!kernel.isRestoring) kernel.onRemoved(removed)
  }

  /** Throws NOT_FOUND. */
  vhost(name: string): VirtualHost {
    const vhost = this.#kernel.vhosts.get(name)
    if (vhost === undefined) throw unknownVhost(name)
    return vhost
  }

  /** Throws NOT_FOUND (virtual host), LIMIT_REACHED. @param connectionId above 0 */
  openSession(options: { vhost: string; connectionId: number; sink: SessionSink }): Session {
    const kernel = this.#kernel
    kernel.enter()
    assert(options.connectionId > 0, 'a connection id is above 0')
    if (kernel.sessions.size >= this.limits.sessions) throw tooMany('sessions', this.limits.sessions)
    const session = new Session(kernel, this.vhost(options.vhost), options.connectionId, options.sink)
    kernel.addSession(session)
    return session
  }

  /** Closes its sessions and deletes its exclusive queues. */
  closeConnection(connectionId: number, nowMs: number): void {
    const kernel = this.#kernel
    kernel.enter()
    const connection = kernel.connections.get(connectionId)
    if (connection === undefined) return
    for (const session of connection.sessions) session.close(nowMs)
    for (const queue of connection.exclusiveQueues) removeQueue(kernel, queue)
    kernel.forgetConnection(connectionId)
  }

  /** Delivers what can be delivered, up to `deliveriesPerDispatch`. True when there is more to do. */
  dispatch(nowMs: number): boolean {
    const kernel = this.#kernel
    kernel.enter()
    kernel.work = this.limits.workPerAdvance
    kernel.insideSink = true
    try {
      this.#tellCancelled()
      const { deliveriesPerDispatch, deliveriesPerTurn } = this.limits
      let left = deliveriesPerDispatch
      while (left > 0 && kernel.work > 0) {
        const queue = kernel.dirty.shift()
        if (queue === undefined) break
        queue.dirty = false
        if (queue.deleted) continue
        left -= dispatchQueue(kernel, queue, nowMs, left < deliveriesPerTurn ? left : deliveriesPerTurn)
      }
    } finally {
      kernel.insideSink = false
    }
    if (kernel.overflowing.length > 0) dropOverflow(kernel, nowMs)
    return kernel.dirty.length > 0 || kernel.overflowing.length > 0 || kernel.cancelled.length > 0
  }

  /** Does what is due at that time, up to `workPerAdvance`. True when there is more to do. */
  advance(nowMs: number): boolean {
    const kernel = this.#kernel
    kernel.enter()
    kernel.work = this.limits.workPerAdvance
    const more = advanceQueues(kernel, nowMs)
    if (kernel.overflowing.length > 0) dropOverflow(kernel, nowMs)
    return more || kernel.overflowing.length > 0
  }

  /** When `advance` wants to be called next; Infinity for never. It may find nothing to do. */
  nextDueMs(): number {
    return this.#kernel.timers.peekKey()
  }

  /** The pager's answer: the entries asked for that are live, ascending. */
  paged(request: LaneRequest | SeqsRequest, entries: readonly Entry[]): void {
    const kernel = this.#kernel
    kernel.enter()
    const queue = kernel.queues.get(request.queueId)
    if (queue === undefined) return
    if (request.type === 'lane') {
      const loaded = queue.lanes.at(request.lane).accept(request, entries)
      if (!loaded.accepted) return
      if (loaded.lostMessages > 0 || loaded.lostBytes !== 0) {
        queue.countLost(loaded.lostMessages, loaded.lostBytes)
      }
      let expiresAtMs = Infinity
      for (const entry of entries) if (entry.expiresAtMs < expiresAtMs) expiresAtMs = entry.expiresAtMs
      if (expiresAtMs !== Infinity) queue.expectExpiry(expiresAtMs)
      if (queue.consumers.size > 0) kernel.markDirty(queue)
      if (queue.limited && queue.isOverLimit) kernel.markOverflowing(queue)
    } else {
      const lost = queue.delayed.accept(request, entries)
      kernel.counters.lostEntries += lost.size
      if (lost.size > 0) queue.freeDelayedKeys(lost)
      kernel.schedule(queue, queue.delayed.nextDueMs())
    }
  }

  // --- what an operator does to a queue -----------------------------------------------------------------------

  /** No deliveries while it is paused; publishing goes on. */
  pause(queue: Queue, paused: boolean): void {
    const kernel = this.#kernel
    kernel.enter()
    if (queue.paused === paused || queue.deleted) return
    queue.paused = paused
    if (queue.persistent) kernel.journal.defined({ type: 'queue.paused', id: queue.id, paused })
    kernel.markDirty(queue)
  }

  /** Drops entries and says how many; those in consumers' hands stay. */
  purge(queue: Queue, state: 'ready' | 'delayed' | 'all'): number {
    this.#kernel.enter()
    return purgeQueue(this.#kernel, queue, state)
  }

  /** Moves up to `limit` ready entries to the tail of another queue, a slice at a time; their attempts begin anew. */
  move(route: { from: Queue; to: Queue }, limit: number, nowMs: number): Moved {
    this.#kernel.enter()
    return moveEntries(this.#kernel, route, limit, nowMs)
  }

  /** Drops the delayed entries in memory with that message id and says how many; see also `cancelDelayedEntry`. */
  cancelDelayed(queue: Queue, messageId: string): number {
    this.#kernel.enter()
    const entries = queue.delayed.takeByMessageId(messageId)
    for (const entry of entries) this.#cancelled(queue, entry)
    return entries.length
  }

  /** Drops one delayed entry that the store showed, in memory or not; false if it is not held back any more. */
  cancelDelayedEntry(queue: Queue, entry: Entry): boolean {
    this.#kernel.enter()
    if (queue.deleted || !queue.delayed.take(entry)) return false
    this.#cancelled(queue, entry)
    return true
  }

  browseReady(queue: Queue, from: ReadyPosition | undefined, limit: number): ReadyPage {
    return browseReady(queue, from, Math.min(limit, this.limits.browseEntries))
  }

  /** Those in memory, ascending; `queue.delayed.pagedLength` says how many are not. */
  browseDelayed(queue: Queue, afterSeq: number, limit: number): readonly Entry[] {
    return browseDelayed(queue, afterSeq, Math.min(limit, this.limits.browseEntries))
  }

  browseUnacked(queue: Queue, afterSeq: number, limit: number): readonly Entry[] {
    return browseUnacked(this.#kernel, queue, afterSeq, Math.min(limit, this.limits.browseEntries))
  }

  /** Checks everything against everything; for tests. */
  invariants(): void {
    const kernel = this.#kernel
    let residentBytes = 0
    let transactionBytes = 0
    const unacked = new Map<Queue, number>()
    for (const session of kernel.sessions) {
      session.invariants()
      transactionBytes += session.transaction?.bytes ?? 0
      session.forEachOutstanding(({ queue, entry }) => {
        residentBytes += entry.residentBytes
        unacked.set(queue, (unacked.get(queue) ?? 0) + 1)
      })
    }
    let queues = 0
    for (const vhost of this.#kernel.vhosts.values()) {
      vhost.invariants()
      for (const { holding } of vhost.exchanges.values()) {
        if (holding === undefined) continue
        queues += 1
        holding.forEachResident((entry) => (residentBytes += entry.residentBytes))
        assert(kernel.queues.get(holding.id) === holding, 'what is held back is found by its id')
      }
      for (const queue of vhost.queues.values()) {
        queues += 1
        queue.invariants()
        assert(kernel.queues.get(queue.id) === queue, 'a queue is found by its id')
        assert(queue.unackedMessages === (unacked.get(queue) ?? 0), 'unacked = what sessions hold')
        queue.forEachResident((entry) => (residentBytes += entry.residentBytes))
        const waits = queue.readyMessages > 0 && queue.consumers.size > 0 && !queue.paused
        assert(!waits || queue.dirty || queue.isBlocked(), 'a queue that can deliver is dirty')
      }
    }
    assert(queues === kernel.queues.size, 'every queue is in a virtual host')
    assert(residentBytes === kernel.residentBytes, 'resident bytes = those of all entries in memory')
    assert(transactionBytes === kernel.transactionBytes, 'what waits for a commit is counted')
    assert(!kernel.insideSink, 'nobody is inside a sink')
  }

  #cancelled(queue: Queue, entry: Entry): void {
    if (entry.stored) this.#kernel.journal.settled(entry.seq)
    if (entry.key !== '') queue.freeKey(entry)
  }

  #tellCancelled(): void {
    const cancelled = this.#kernel.cancelled
    for (let notice = cancelled.shift(); notice !== undefined; notice = cancelled.shift()) {
      if (!notice.session.closed) notice.session.sink.cancelled(notice.consumerTag)
    }
  }
}
