/**
 * The entries of one queue that are held back until they are due.
 *
 * `near` holds entries in memory; with a pager it is bounded, and the rest is `far`: 16 bytes each, (due, seq), read
 * back in batches shortly before they are due. Either heap may hold the next one due. What was read ahead is bounded too: where many
 * come due together, the rest is read as these leave.
 */
import { assert } from '../std/assert.ts'
import { Heap } from '../std/heap.ts'
import { PairHeap } from '../std/pair-heap.ts'
import { entryOverheadBytes } from '../model/entry.ts'
import type { Entry, QueueId } from '../model/entry.ts'
import type { Kernel } from './kernel.ts'
import type { Pager, SeqsRequest } from './pager.ts'

export class DelayedEntries {
  readonly #kernel: Kernel
  readonly #queueId: QueueId
  readonly #near: Heap<Entry>
  readonly #far: PairHeap
  /** Called off, and still in `far`. */
  readonly #cancelled: Set<number>
  /** Asked for and not answered yet, with their due times. */
  readonly #loading: Map<number, number>
  #outstanding: boolean
  /** Read ahead, and near. */
  readonly #ahead: Set<number>
  /** Resident bytes of these. */
  #aheadBytes: number
  /** No more is read ahead until some of it leaves. */
  #waiting: boolean
  #generation: number
  /** Content bytes of what is near. */
  #nearBytes: number
  /** Content bytes of what is far or being loaded, about: of what was there at the start, those of bodies. For averages. */
  #farBytes: number

  constructor(kernel: Kernel, queueId: QueueId) {
    this.#kernel = kernel
    this.#queueId = queueId
    this.#near = new Heap(byDueTime)
    this.#far = new PairHeap()
    this.#cancelled = new Set()
    this.#loading = new Map()
    this.#outstanding = false
    this.#ahead = new Set()
    this.#aheadBytes = 0
    this.#waiting = false
    this.#generation = 0
    this.#nearBytes = 0
    this.#farBytes = 0
  }

  get length(): number {
    return this.#near.length + this.pagedLength
  }

  get pagedLength(): number {
    return this.#far.length - this.#cancelled.size + this.#loading.size
  }

  /** Holds an entry back; it is on record already if it is not transient. */
  add(entry: Entry): void {
    const pager = this.#kernel.pager
    if (
      pager !== undefined &&
      (this.#near.length >= pager.delayedWindow || this.#nearBytes >= pager.windowBytes)
    ) {
      if (!entry.stored) this.#kernel.journalOne(entry, 0)
      this.#far.push(entry.dueAtMs, entry.seq)
      this.#farBytes += entry.contentBytes
      this.#waiting = false
      return
    }
    this.#keep(entry)
  }

  /** When `advance` has something to do here; Infinity for never. */
  nextDueMs(): number {
    const near = this.#near.peek()?.dueAtMs ?? Infinity
    if (this.#outstanding) return near
    const far = this.#far.peekKey() - (this.#waiting ? 0 : this.#kernel.limits.delayedLookAheadMs)
    return near < far ? near : far
  }

  /** Takes an entry that is due; undefined if none is (in memory). */
  takeDue(nowMs: number): Entry | undefined {
    const entry = this.#near.peek()
    if (entry === undefined || entry.dueAtMs > nowMs) return undefined
    this.#near.pop()
    this.#drop(entry)
    return entry
  }

  /** Asks for what will be due soon, unless an answer is outstanding or there is no room; what is due was taken before. */
  loadSoon(nowMs: number): void {
    if (this.#outstanding || this.#far.length === 0) return
    const pager = this.#kernel.pager!
    const throughMs = nowMs + this.#kernel.limits.delayedLookAheadMs
    const hasEnough = this.#aheadBytes >= pager.windowBytes
    this.#waiting = hasEnough && this.#near.peek()!.dueAtMs <= this.#far.peekKey()
    if (this.#waiting) return
    const batch = this.#batch(pager)
    const seqs: number[] = []
    while (seqs.length < batch && this.#far.peekKey() <= throughMs) {
      const dueAtMs = this.#far.peekKey()
      const seq = this.#far.pop()!
      if (this.#cancelled.delete(seq)) continue
      this.#loading.set(seq, dueAtMs)
      seqs.push(seq)
    }
    if (seqs.length === 0) return
    this.#outstanding = true
    const { windowBytes: limitBytes } = pager
    const request = { type: 'seqs', queueId: this.#queueId, seqs, limitBytes } as const
    pager.loadEntries({ ...request, generation: this.#generation })
  }

  /** Takes the pager's answer and says which entries were not there. */
  accept(request: SeqsRequest, entries: readonly Entry[]): ReadonlySet<number> {
    this.#outstanding = false
    if (request.generation !== this.#generation) return new Set()
    for (const entry of entries) {
      if (!this.#loading.delete(entry.seq)) continue
      entry.stored = true
      this.#forgetFar(entry.contentBytes)
      this.#keep(entry)
      this.#ahead.add(entry.seq)
      this.#aheadBytes += entry.residentBytes
    }
    const lost = new Set<number>()
    for (const seq of request.seqs) if (this.#loading.delete(seq)) lost.add(seq)
    // The rest did not fit.
    for (const [seq, dueAtMs] of this.#loading) this.#far.push(dueAtMs, seq)
    this.#loading.clear()
    this.#forgetFar(0)
    return lost
  }

  /** Takes every entry in memory that carries the message id. */
  takeByMessageId(messageId: string): Entry[] {
    const taken: Entry[] = []
    for (const entry of this.#near.values()) {
      if (entry.message.properties.messageId === messageId) taken.push(entry)
    }
    for (const entry of taken) this.#takeNear(entry)
    return taken
  }

  /** Takes one entry, wherever it is; false if it is not here (any more). */
  take(entry: Entry): boolean {
    for (const near of this.#near.values()) {
      if (near.seq !== entry.seq) continue
      this.#takeNear(near)
      return true
    }
    if (!this.#loading.delete(entry.seq)) {
      if (this.#cancelled.has(entry.seq) || !this.#isFar(entry.seq)) return false
      this.#cancelled.add(entry.seq)
    }
    this.#forgetFar(entry.contentBytes)
    return true
  }

  restore(seqs: Float64Array, dueAtMs: Float64Array, bodyBytes: number): void {
    assert(this.length === 0, 'delayed entries are restored into an empty queue')
    this.#far.load(dueAtMs, seqs)
    this.#farBytes = bodyBytes
  }

  /** Forgets all; what a load brings later is ignored. */
  clear(): void {
    this.#kernel.residentBytes -= this.#nearBytes + this.#near.length * entryOverheadBytes
    this.#near.clear()
    this.#far.clear()
    this.#cancelled.clear()
    this.#loading.clear()
    this.#ahead.clear()
    this.#aheadBytes = 0
    this.#waiting = false
    this.#generation += 1
    this.#nearBytes = 0
    this.#farBytes = 0
  }

  /** Visits every entry in memory, in no particular order. */
  forEach(visit: (entry: Entry) => void): void {
    for (const entry of this.#near.values()) visit(entry)
  }

  invariants(): void {
    this.#near.invariants()
    this.#far.invariants()
    let bytes = 0
    for (const entry of this.#near.values()) {
      assert(entry.dueAtMs > 0, 'what is held back is due at some time')
      assert(entry.queueId === this.#queueId, 'a delayed entry is in its own queue')
      bytes += entry.contentBytes
    }
    assert(bytes === this.#nearBytes, 'the bytes of delayed entries are those of their contents')
    assert(this.#ahead.size <= this.#near.length && this.#aheadBytes >= 0, 'what was read ahead is near')
    assert(this.#loading.size === 0 || this.#outstanding, 'what is being loaded has been asked for')
    assert(this.pagedLength >= 0 && this.#farBytes >= 0, 'counts of what is paged are not negative')
    assert(this.pagedLength > 0 || this.#farBytes === 0, 'no bytes without messages')
  }

  #keep(entry: Entry): void {
    this.#near.push(entry)
    this.#nearBytes += entry.contentBytes
    this.#kernel.residentBytes += entry.residentBytes
  }

  #drop(entry: Entry): void {
    if (this.#ahead.delete(entry.seq)) this.#aheadBytes -= entry.residentBytes
    this.#nearBytes -= entry.contentBytes
    this.#kernel.residentBytes -= entry.residentBytes
  }

  #takeNear(entry: Entry): void {
    const rest: Entry[] = []
    for (const other of this.#near.values()) if (other !== entry) rest.push(other)
    this.#near.replaceAll(rest)
    this.#drop(entry)
  }

  #isFar(seq: number): boolean {
    let found = false
    this.#far.forEach((_dueAtMs, farSeq) => {
      if (farSeq === seq) found = true
    })
    return found
  }

  #forgetFar(bytes: number): void {
    this.#farBytes = this.pagedLength === 0 ? 0 : Math.max(0, this.#farBytes - bytes)
  }

  /** Large messages are asked for in small batches: about a window of bytes. The pager brings no more than that. */
  #batch(pager: Pager): number {
    const averageBytes = this.#farBytes / Math.max(1, this.pagedLength)
    const fitting = averageBytes > 0 ? Math.floor(pager.windowBytes / averageBytes) : Infinity
    return Math.max(1, Math.min(this.#kernel.limits.delayedLoadBatch, fitting))
  }
}

function byDueTime(a: Entry, b: Entry): number {
  return a.dueAtMs - b.dueAtMs || a.seq - b.seq
}
