/**
 * A queue: its entries and where each of them is, its consumers, its counters.
 *
 *                  enqueue              take                leave
 *     (publish) ───────────▶ ready ───────────▶ unacked ───────────▶ (gone)
 *         │ hold               ▲  ▲ putBack        │
 *         ▼          due       │  └────────────────┘
 *      delayed ────────────────┘
 *
 * Here are the moves themselves, which keep counts, memory and journal in step. When they happen is decided elsewhere:
 * publish.ts, dispatch.ts, settle.ts, timers.ts, overflow.ts.
 */
import { assert } from '../std/assert.ts'
import type { QueueSettings } from '../model/arguments.ts'
import type { Entry, QueueId } from '../model/entry.ts'
import type { FieldTable } from '../model/field-table.ts'
import { underPolicy } from '../model/policy.ts'
import { Consumers } from './consumers.ts'
import { QueueCounters } from './counters.ts'
import { DeduplicationTable } from './deduplication.ts'
import { DelayedEntries } from './delayed.ts'
import type { Exchange } from './exchange.ts'
import { KeyOrder } from './key-order.ts'
import type { Lane } from './lane.ts'
import { Lanes } from './lanes.ts'
import type { Kernel } from './kernel.ts'
import type { AppliedPolicies } from './policies.ts'
import type { VirtualHost } from './virtual-host.ts'

export interface QueueDeclaration {
  readonly name: string
  readonly durable: boolean
  readonly autoDelete: boolean
  readonly arguments: FieldTable
  readonly settings: QueueSettings
  /** The connection that alone may use it; 0 for all. */
  readonly ownerConnectionId: number
  /** The exchange whose messages it holds back; such a queue has no name. */
  readonly holdsFor?: Exchange
}

export class Queue {
  readonly id: QueueId
  readonly name: string
  readonly vhost: VirtualHost
  readonly durable: boolean
  readonly autoDelete: boolean
  readonly arguments: FieldTable
  /** What its arguments say. */
  readonly ownSettings: QueueSettings
  policies: AppliedPolicies | undefined
  /** What its arguments and policies say together. Those that count per message are below, as numbers. */
  settings: QueueSettings
  readonly ownerConnectionId: number
  /** The exchange whose messages it holds back, see held-entry.ts. */
  readonly holdsFor: Exchange | undefined
  /** Its declaration survives a restart: durable and not exclusive. */
  readonly persistent: boolean
  /** Every message is on record, were it not persistent: as in a quorum queue, and in what an exchange holds back. */
  readonly recordsAll: boolean
  readonly counters: QueueCounters
  readonly consumers: Consumers
  readonly lanes: Lanes
  readonly delayed: DelayedEntries
  /** The exchanges with a binding to it. */
  readonly sources: Set<Exchange>
  readonly maxPriority: number
  messageTtlMs: number
  maxLength: number
  maxLengthBytes: number
  deliveryLimit: number
  /** It has a maximum length of either kind. */
  limited: boolean

  paused: boolean
  deleted: boolean
  /** Stands in the kernel's list of that name. */
  dirty: boolean
  overflowing: boolean
  /** The timer that counts. */
  timerAtMs: number
  /** Ready: in lanes or parked. */
  readyMessages: number
  readyBytes: number
  unackedMessages: number
  unackedBytes: number
  /** Entries with a time to live of 0 from this seq on may be delivered in the dispatch to come; 0 for none. */
  graceFromSeq: number
  /** When it was last declared, read with get, or lost its last consumer. */
  lastUsedMs: number
  hadConsumer: boolean
  /** Some entry has had a time to live. */
  expiring: boolean
  /** The number of the last route that reached it; a RouteSet's own. */
  routeMark: number
  readonly #kernel: Kernel
  #keys: KeyOrder | undefined
  #deduplication: DeduplicationTable | undefined

  constructor(kernel: Kernel, vhost: VirtualHost, id: QueueId, declaration: QueueDeclaration, nowMs: number) {
    const own = declaration.settings
    const holds = declaration.holdsFor !== undefined
    const policies = holds
      ? undefined
      : kernel.policies.of({ kind: own.type, vhost: vhost.name, name: declaration.name })
    const settings =
      policies === undefined ? own : underPolicy(own, declaration.arguments, policies.definition)
    this.id = id
    this.name = declaration.name
    this.vhost = vhost
    this.durable = declaration.durable
    this.autoDelete = declaration.autoDelete
    this.arguments = declaration.arguments
    this.ownSettings = own
    this.policies = policies
    this.settings = settings
    this.ownerConnectionId = declaration.ownerConnectionId
    this.holdsFor = declaration.holdsFor
    this.persistent = declaration.durable && declaration.ownerConnectionId === 0
    this.recordsAll = this.persistent && (own.type === 'quorum' || holds)
    this.counters = new QueueCounters()
    this.consumers = new Consumers(settings.singleActiveConsumer, own.type === 'quorum')
    this.lanes = new Lanes(kernel, id, settings.maxPriority)
    this.delayed = new DelayedEntries(kernel, id)
    this.sources = new Set()
    this.maxPriority = settings.maxPriority
    this.messageTtlMs = settings.messageTtlMs
    this.maxLength = settings.maxLength
    this.maxLengthBytes = settings.maxLengthBytes
    this.deliveryLimit = settings.deliveryLimit
    this.limited = this.maxLength !== Infinity || this.maxLengthBytes !== Infinity
    this.paused = false
    this.deleted = false
    this.dirty = false
    this.overflowing = false
    this.timerAtMs = Infinity
    this.readyMessages = 0
    this.readyBytes = 0
    this.unackedMessages = 0
    this.unackedBytes = 0
    this.graceFromSeq = 0
    this.lastUsedMs = nowMs
    this.hadConsumer = false
    this.expiring = false
    this.routeMark = 0
    this.#kernel = kernel
    this.#keys = undefined
    this.#deduplication = undefined
  }

  /** Ready, unacked and delayed messages. */
  get depth(): number {
    return this.readyMessages + this.unackedMessages + this.delayed.length
  }

  get isOverLimit(): boolean {
    return this.readyMessages > this.maxLength || this.readyBytes > this.maxLengthBytes
  }

  get keys(): KeyOrder | undefined {
    return this.#keys
  }

  get deduplication(): DeduplicationTable | undefined {
    return this.#deduplication
  }

  /** The head is not in memory and has been asked for: what finds nothing to take may come again. */
  get isReading(): boolean {
    const lane = this.lanes.top()
    return lane !== undefined && lane.peek() === undefined
  }

  /** Age of the message at the head, as far as it is in memory; else 0. */
  oldestMs(nowMs: number): number {
    let oldestAtMs = Infinity
    for (const lane of this.lanes.descending()) {
      const head = lane.peek()
      if (head !== undefined && head.publishedAtMs < oldestAtMs) oldestAtMs = head.publishedAtMs
    }
    return oldestAtMs === Infinity ? 0 : Math.max(0, nowMs - oldestAtMs)
  }

  /** Adds a ready entry at the tail. */
  enqueue(entry: Entry): void {
    const kernel = this.#kernel
    kernel.residentBytes += entry.residentBytes
    this.#countReady(entry)
    this.lanes.at(entry.lane).append(entry)
    if (entry.expiresAtMs !== Infinity) this.#enterWithExpiry(entry)
    if (this.consumers.size > 0) kernel.markDirty(this)
    if (this.limited && this.isOverLimit) kernel.markOverflowing(this)
  }

  /** Adds an entry that is due later. */
  hold(entry: Entry): void {
    this.delayed.add(entry)
    this.#kernel.schedule(this, this.delayed.nextDueMs())
  }

  /** Puts what was in a consumer's hands, or parked, back to its original position. */
  putBack(entry: Entry): void {
    this.#countReady(entry)
    this.lanes.at(entry.lane).putBack(entry)
    this.#attend(entry)
  }

  /** Puts an entry that came into memory before all others: it owns its key, and others wait for it. */
  putAhead(entry: Entry): void {
    assert(entry.dueAtMs > 0 && this.#keys?.owns(entry) === true, 'only the owner of a key goes ahead')
    this.#kernel.residentBytes += entry.residentBytes
    this.putBack(entry)
  }

  /** An entry that expires then is in memory (again). */
  expectExpiry(atMs: number): void {
    this.expiring = true
    this.#kernel.schedule(this, atMs)
  }

  /** Takes the head that `lane.peek` showed: it is in nobody's count until it is put somewhere. */
  take(lane: Lane, entry: Entry): void {
    lane.shift()
    this.readyMessages -= 1
    this.readyBytes -= entry.bodyBytes
    if (this.expiring) this.#watchHead(lane)
  }

  /** Whether the entry at the head may be handed out as far as its key goes. */
  admit(entry: Entry): boolean {
    this.#keys ??= new KeyOrder(this.#kernel.limits.parkedPerQueue)
    return this.#keys.admit(entry)
  }

  /** Sets the head aside until its key is free; it stays ready. False when too much has been set aside. */
  park(lane: Lane, entry: Entry): boolean {
    const keys = this.#keys!
    if (keys.isFull) return false
    lane.shift()
    keys.park(entry)
    return true
  }

  /** Takes any parked entry, where there is nothing else to take. */
  takeParked(): Entry | undefined {
    const entry = this.#keys?.takeOneParked()
    if (entry === undefined) return undefined
    this.readyMessages -= 1
    this.readyBytes -= entry.bodyBytes
    return entry
  }

  /** Puts what is parked back into its lanes: it is parked again when it comes to the head. */
  unpark(): void {
    if (this.#keys === undefined || this.#keys.parkedMessages === 0) return
    if (this.consumers.size > 0) this.#kernel.markDirty(this)
    for (const entry of this.#keys.takeParked()) this.lanes.at(entry.lane).putBack(entry)
  }

  /** A key that was found owned by a delayed retry. */
  restoreKey(key: string, seq: number): void {
    this.#keys ??= new KeyOrder(this.#kernel.limits.parkedPerQueue)
    this.#keys.restore(key, seq)
  }

  /** An entry in memory that was taken goes for good; the journal is told. */
  leave(entry: Entry): void {
    if (entry.stored && !this.deleted) this.#kernel.journal.settled(entry.seq)
    this.vanish(entry)
  }

  /** An entry in memory that was taken goes for good; the journal knows it already. */
  vanish(entry: Entry): void {
    this.#kernel.residentBytes -= entry.residentBytes
    if (entry.key !== '') this.freeKey(entry)
  }

  /** Gives the entry's key to the next one that waits for it. */
  freeKey(entry: Entry): void {
    const next = this.#keys?.release(entry)
    if (next !== undefined) this.#unpark(next)
    // The head may have waited for this very key, when too much was set aside for others.
    else if (this.readyMessages > 0 && this.consumers.size > 0) this.#kernel.markDirty(this)
  }

  /** As `freeKey`, for all that were held back (or those of `seqs`) and are gone. */
  freeDelayedKeys(seqs?: ReadonlySet<number>): void {
    if (this.#keys === undefined) return
    for (const next of this.#keys.releaseDelayed(seqs)) this.#unpark(next)
    if (this.readyMessages > 0 && this.consumers.size > 0) this.#kernel.markDirty(this)
  }

  /** Whether an entry with a due time, which the store shows as held back, is so: it may be a key's owner that became due. */
  holdsBack(entry: Entry): boolean {
    return entry.key === '' || this.#keys?.isReadyOwner(entry) !== true
  }

  /** Visits the ready entries that are on record as held back. */
  forEachDue(visit: (entry: Entry) => void): void {
    if (this.#keys !== undefined) this.lanes.forEachDue(visit)
  }

  rememberKey(seen: { key: string; messageId: string; untilMs: number }): void {
    this.#deduplication ??= new DeduplicationTable(this.#kernel.limits.deduplicationKeysPerQueue)
    this.#deduplication.remember(seen)
    this.#kernel.schedule(this, seen.untilMs)
  }

  /** Drops every ready entry from memory and says how many there were; those on record are the caller's to settle. */
  clearReady(): number {
    const messages = this.readyMessages
    const keys = this.#keys
    if (keys !== undefined) {
      for (const entry of keys.takeParked()) this.#kernel.residentBytes -= entry.residentBytes
      this.lanes.forEach((entry) => keys.release(entry))
    }
    this.lanes.clear()
    this.readyMessages = 0
    this.readyBytes = 0
    return messages
  }

  /** It is gone: nothing of it stays in memory but what is in consumers' hands. */
  dissolve(): void {
    this.deleted = true
    this.clearReady()
    this.delayed.clear()
    this.#keys = undefined
    this.#deduplication = undefined
  }

  /** Counts what turned out not to be there. */
  countLost(messages: number, bytes: number): void {
    this.readyMessages -= messages
    this.readyBytes -= bytes
    this.#kernel.counters.lostEntries += messages
  }

  /** Visits every ready and delayed entry in memory, in no particular order. */
  forEachResident(visit: (entry: Entry) => void): void {
    this.lanes.forEach(visit)
    this.#keys?.forEachParked(visit)
    this.delayed.forEach(visit)
  }

  /** Nothing can be delivered now, whoever has credit: nobody has, or the head is not in memory, or waits for its key. */
  isBlocked(): boolean {
    if (this.consumers.next() === undefined) return true
    const head = this.lanes.top()?.peek()
    if (head === undefined) return true
    return this.#keys !== undefined && this.#keys.blocks(head)
  }

  invariants(): void {
    this.lanes.invariants()
    const { messages, bytes } = this.lanes.sums()
    const parked = this.#keys?.parkedMessages ?? 0
    assert(messages + parked === this.readyMessages, 'ready = resident + paged + parked')
    assert(
      bytes + (this.#keys?.parkedBytes ?? 0) === this.readyBytes,
      'ready bytes = those of resident, paged and parked',
    )
    assert(this.unackedMessages >= 0 && this.unackedBytes >= 0, 'unacked is not negative')
    assert(this.deleted || this.timerAtMs <= this.delayed.nextDueMs(), 'a delayed entry has a timer')
    this.delayed.invariants()
    this.consumers.invariants()
    this.#keys?.invariants()
    this.#deduplication?.invariants()
  }

  #countReady(entry: Entry): void {
    this.readyMessages += 1
    this.readyBytes += entry.bodyBytes
  }

  /** What comes to the head may expire there. */
  #watchHead(lane: Lane): void {
    const head = lane.peek()
    if (head !== undefined) this.#kernel.schedule(this, head.expiresAtMs)
  }

  #attend(entry: Entry): void {
    if (entry.expiresAtMs !== Infinity) this.expectExpiry(entry.expiresAtMs)
    if (this.consumers.size > 0) this.#kernel.markDirty(this)
    if (this.limited && this.isOverLimit) this.#kernel.markOverflowing(this)
  }

  #unpark(entry: Entry): void {
    this.lanes.at(entry.lane).putBack(entry)
    this.#attend(entry)
  }

  #enterWithExpiry(entry: Entry): void {
    this.expectExpiry(entry.expiresAtMs)
    if (entry.expiresAtMs > entry.publishedAtMs) return
    if (this.graceFromSeq === 0) this.graceFromSeq = entry.seq
    this.#kernel.markDirty(this)
  }
}
