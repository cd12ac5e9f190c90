/**
 * The shell around the engine: engine + store + clock.
 *
 * The engine says what happens, the store keeps it, and this class decides when: it delivers once a turn, wakes the engine
 * when something is due, reads back what was paged out, holds publishers back when room is short, and tells who waits
 * when a fact is durable.
 *
 *   opening -> open -> closing -> closed
 *                   -> failed (the disk refused; nothing more is promised)
 */
import { assert } from '../std/assert.ts'
import { Deferred } from '../std/deferred.ts'
import { Emitter } from '../std/emitter.ts'
import type { EngineCounters } from '../engine/counters.ts'
import { Engine, silentJournal } from '../engine/engine.ts'
import { defaultLimits as engineLimits } from '../engine/limits.ts'
import type { Session } from '../engine/session.ts'
import type { SessionSink } from '../engine/sink.ts'
import type { VirtualHost } from '../engine/virtual-host.ts'
import type { Entry } from '../model/entry.ts'
import { ClosedError, MillraceError } from '../model/errors.ts'
import type { Journal, Recovered, Removed } from '../model/record.ts'
import type { Store, StoreState } from '../store/store.ts'
import { systemClock } from './clock.ts'
import type { Clock } from './clock.ts'
import { Gate } from './gate.ts'
import { defaultLimits, defaultStorageLimits } from './limits.ts'
import type { BrokerLimits } from './limits.ts'
import { StorePager } from './store-pager.ts'

// What an adapter handles besides the broker itself.
export type { EngineDelivery } from '../engine/delivery.ts'
export type { Session } from '../engine/session.ts'
export type { Queue } from '../engine/queue.ts'
export type { PublishExtras, PublishOutcome } from '../engine/publish.ts'
export { persistentPublish, transientPublish } from '../engine/publish.ts'
export type { VirtualHost } from '../engine/virtual-host.ts'
export { refuses } from '../engine/fullness.ts'
export { routingKeysOf } from '../engine/routing-keys.ts'

export interface BrokerOptions {
  /** An opened store and what it recovered; none for memory only. */
  readonly storage?: {
    readonly store: Store
    readonly recovered: Recovered
    readonly warnings: readonly string[]
  }
  readonly limits?: Partial<BrokerLimits>
  readonly clock?: Clock
  /** Makes the names of server-named queues. */
  readonly newName: () => string
}

interface BrokerEvents extends Record<string, unknown[]> {
  /** Publishers wait, and why. */
  blocked: [reason: string]
  unblocked: []
  /** The store failed; the broker promises nothing more. */
  failed: [error: Error]
  warning: [message: string]
  /** A virtual host or a user was deleted. */
  removed: [removed: Removed]
}

const yes = Promise.resolve(true)

type State = 'open' | 'closing' | 'closed' | 'failed'

/** Whoever holds a session: told of deliveries in the middle of a dispatch, and once more when it is over. */
export interface Holder extends SessionSink {
  /** The dispatch is over, and what was delivered is on record: work may begin. */
  dispatched(): void
}

export class Broker {
  readonly engine: Engine
  readonly limits: BrokerLimits
  readonly clock: Clock
  readonly events = new Emitter<BrokerEvents>()
  readonly gate: Gate
  readonly #store: Store | undefined
  /** What an operator should know of the opening: quarantined files, lost messages. */
  readonly warnings: readonly string[]
  /** Each with its connection. */
  readonly #holders = new Map<Holder, number>()
  #unrecorded = false
  #state: State = 'open'
  #failure: Error | undefined
  /** A turn of the event loop is coming in which everything is looked at. */
  #turnComing = false
  /** A delivery within this turn is coming. */
  #deliveryComing = false
  /** Deliveries (and what is dropped meanwhile) before the next turn, so that a chain of promises cannot keep others from running. */
  #deliveriesLeft = 0
  #cancelTimer: (() => void) | undefined
  #timerAtMs = Infinity
  /** The end of the turn, for those who wait for it. */
  #end: Deferred<void> | undefined
  #nextConnectionId = 1
  #closed: Promise<void> | undefined
  #letEnd: (() => void) | undefined
  #settledOn: Promise<void> | undefined
  #settled: Promise<boolean> = yes

  constructor(options: BrokerOptions) {
    this.limits = {
      ...defaultLimits,
      ...(options.storage !== undefined && defaultStorageLimits),
      ...options.limits,
    }
    this.clock = options.clock ?? systemClock()
    this.#store = options.storage?.store
    this.gate = new Gate((reason) => {
      if (reason === undefined) this.events.emit('unblocked')
      else this.events.emit('blocked', reason)
    })
    const journal: Journal = this.#store ?? silentJournal
    this.engine = new Engine({
      journal,
      name: options.newName,
      onRemoved: (removed) => this.events.emit('removed', removed),
      limits: {
        // Not more at once than a turn may have.
        deliveriesPerDispatch: Math.min(this.limits.deliveriesPerTurn, engineLimits.deliveriesPerDispatch),
        delayMs: this.limits.maximumDelayMs,
      },
      ...(this.#store !== undefined && { pager: this.#pager(this.#store) }),
    })
    this.warnings = options.storage?.warnings ?? []
    if (options.storage !== undefined) this.#restore(options.storage)
    this.wake()
  }

  get state(): State {
    return this.#state
  }

  nowMs(): number {
    return this.clock.nowMs()
  }

  /** The virtual host, made where it is missing. */
  ensureVhost(name: string): VirtualHost {
    this.assertOpen()
    if (!this.engine.vhosts.has(name)) this.engine.declareVhost(name)
    return this.engine.vhost(name)
  }

  newConnectionId(): number {
    return this.#nextConnectionId++
  }

  openSession(options: { vhost: string; connectionId: number; holder: Holder }): Session {
    this.assertOpen()
    const { vhost, connectionId, holder } = options
    const session = this.engine.openSession({ vhost, connectionId, sink: holder })
    this.#holders.set(holder, connectionId)
    return session
  }

  /** Hands back what the connection holds, deletes what was its own. */
  closeConnection(connectionId: number, holder: Holder): void {
    this.#holders.delete(holder)
    this.engine.closeConnection(connectionId, this.nowMs())
    this.wake()
  }

  /**
   * Something happened that may let the engine deliver, or that is due some time: deliver as soon as the caller is done,
   * and look at everything in the next turn.
   */
  wake(): void {
    if (!this.#turnComing) {
      this.#turnComing = true
      this.clock.soon(() => this.#turn())
    }
    if (this.#deliveryComing || this.#deliveriesLeft <= 0) return
    this.#deliveryComing = true
    queueMicrotask(this.#deliverSoon)
  }

  /** Delivers what can be delivered now, within what a turn may: for who is about to look whether it is still there. */
  deliver(): void {
    if (this.#state !== 'open' || this.#deliveriesLeft <= 0) return
    if (this.#deliver(this.nowMs())) this.wake()
  }

  /**
   * Resolves when everything done so far is as durable as the store promises: one shared promise for all who ask in the
   * same turn. In memory it is the end of the turn, so that a loop of sends lets others run.
   */
  whenDurable(): Promise<void> {
    if (this.#failure !== undefined) return Promise.reject(this.#failure)
    if (this.#store !== undefined) return this.#store.whenSynced()
    if (this.#state === 'closed') return Promise.resolve()
    if (this.#end === undefined) {
      this.#end = new Deferred<void>()
      this.wake()
    }
    return this.#end.promise
  }

  /** Resolves in a later turn. */
  nextTurn(): Promise<void> {
    return new Promise((resolve) => this.clock.soon(resolve))
  }

  /** As `whenDurable`, resolving with true; in memory at once. */
  whenSettled(): Promise<boolean> {
    if (this.#failure !== undefined) return Promise.reject(this.#failure)
    if (this.#store === undefined) return yes
    const synced = this.#store.whenSynced()
    if (synced !== this.#settledOn) {
      this.#settledOn = synced
      this.#settled = synced.then(() => true)
      // Whoever settles may not wait; the failure is told to all by `failed`.
      this.#settled.catch(() => undefined)
    }
    return this.#settled
  }

  /** Live entries of a queue as the store has them, for looking at what is paged out. */
  get store(): Store | undefined {
    return this.#store
  }

  /** A holder was given this entry. One from before a crash may be poison: its delivery must be on record first. */
  delivered(entry: Entry): void {
    if (entry.recovered) this.#unrecorded = true
  }

  /** Looks whether publishers must wait, after what may have changed it. */
  review(): void {
    this.#mark('memory', this.engine.residentBytes, this.limits.memoryBytes)
    if (this.#store !== undefined) {
      this.#mark('unwritten', this.#store.pendingBytes, this.limits.unwrittenBytes)
    }
  }

  /** Closes the sessions still open, stores everything, ends the clock. Idempotent: all who close wait for the one close. */
  close(): Promise<void> {
    return (this.#closed ??= this.#close())
  }

  /** @throws ClosedError, or what the store failed with */
  assertOpen(): void {
    if (this.#failure !== undefined) throw this.#failure
    if (this.#state !== 'open') throw new ClosedError('The engine is closed')
  }

  invariants(): void {
    this.engine.invariants()
    this.gate.invariants()
    assert(this.#timerAtMs === Infinity || this.#cancelTimer !== undefined, 'a set time has a timer')
  }

  async #close(): Promise<void> {
    const failed = this.#state === 'failed'
    this.#state = 'closing'
    this.gate.fail(new ClosedError('The engine was closed while the message waited for room'))
    this.#cancelTimer?.()
    for (const connectionId of this.#holders.values()) this.engine.closeConnection(connectionId, this.nowMs())
    this.#holders.clear()
    this.#endTurn()
    try {
      // What failed was told already, by `failed`.
      if (failed) await this.#store?.close().catch(() => undefined)
      else await this.#store?.close()
    } finally {
      this.#stayForRoom(false)
      this.#state = 'closed'
      this.#endTurn()
    }
  }

  #restore(storage: NonNullable<BrokerOptions['storage']>): void {
    const { store, recovered } = storage
    this.engine.restore(recovered)
    store.attach({ snapshot: () => this.engine.snapshot() })
    store.onSynced = () => this.review()
    store.onState = (state, error) => this.#stored(state, error)
    store.onWarning = (warning) => this.events.emit('warning', warning)
  }

  /** One turn: what is due, then what can be delivered, then the next waking. */
  #turn(): void {
    this.#turnComing = false
    // What closes is as its connections left it: anything on record after the mark of a close in good order would undo that.
    if (this.#state !== 'open') return
    this.#deliveriesLeft = this.limits.deliveriesPerTurn
    const nowMs = this.nowMs()
    const more = this.engine.advance(nowMs)
    const undelivered = this.#deliver(nowMs)
    this.review()
    this.#endTurn()
    if (more || undelivered) this.wake()
    this.#setTimer(nowMs)
  }

  /** Whether there is more to deliver. */
  #deliver(nowMs: number): boolean {
    const before = workDone(this.engine.counters)
    const more = this.engine.dispatch(nowMs)
    this.#deliveriesLeft -= workDone(this.engine.counters) - before
    if (this.#unrecorded) this.#record()
    // What could not be recorded is in nobody's hands: it comes again after a restart.
    if (this.#failure !== undefined) return false
    for (const holder of this.#holders.keys()) holder.dispatched()
    return more
  }

  readonly #deliverSoon = (): void => {
    this.#deliveryComing = false
    this.deliver()
  }

  /** Written, not synced: what must outlive is this process, not the machine. */
  #record(): void {
    this.#unrecorded = false
    this.#store?.barrier()
  }

  #endTurn(): void {
    const end = this.#end
    this.#end = undefined
    end?.resolve()
  }

  #setTimer(nowMs: number): void {
    const dueMs = this.engine.nextDueMs()
    if (dueMs === this.#timerAtMs && this.#cancelTimer !== undefined) return
    this.#cancelTimer?.()
    this.#cancelTimer = undefined
    this.#timerAtMs = dueMs
    if (dueMs === Infinity || this.#state !== 'open') {
      this.#timerAtMs = Infinity
      return
    }
    this.#cancelTimer = this.clock.after(Math.max(0, dueMs - nowMs), () => {
      this.#cancelTimer = undefined
      this.#timerAtMs = Infinity
      this.wake()
    })
  }

  #pager(store: Store): StorePager {
    return new StorePager({
      store,
      limits: this.limits,
      residentBytes: () => this.engine.residentBytes,
      onPaged: (request, entries) => {
        if (this.#state !== 'open') return
        this.engine.paged(request, entries)
        this.wake()
      },
      onFailed: (error) => this.#fail(error),
    })
  }

  #mark(reason: string, value: number, limit: number): void {
    if (value > limit) this.gate.set(reason, true)
    else if (value <= limit * this.limits.resumeAt) this.gate.set(reason, false)
  }

  #stored(state: StoreState, error: Error | undefined): void {
    if (state === 'failed') this.#fail(error ?? new MillraceError('STORE_FAILED', 'The store failed'))
    else this.gate.set('disk full', state === 'full')
    this.#stayForRoom(state === 'full' && (this.#store?.pendingBytes ?? 0) > 0)
  }

  /** The process stays while something waits for room on the disk: its promise is to go on by itself. */
  #stayForRoom(stay: boolean): void {
    if (stay) this.#letEnd ??= this.clock.keepAlive()
    else {
      this.#letEnd?.()
      this.#letEnd = undefined
    }
  }

  #fail(error: Error): void {
    if (this.#failure !== undefined || this.#state === 'closed') return
    if (this.#state === 'open') this.#state = 'failed'
    this.#failure = error
    this.#cancelTimer?.()
    this.gate.fail(error)
    this.events.emit('failed', error)
  }
}

/** What takes time in a dispatch: what it hands over, and what it drops or sends elsewhere. */
function workDone({ delivered, dropped, deadLettered, expired }: EngineCounters): number {
  return delivered + dropped + deadLettered + expired
}
