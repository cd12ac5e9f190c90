/**
 * A lane: the ready entries of one queue at one priority level, in the order of their seq.
 *
 *     returned (heap)   resident (deque)        paged (on disk; only counted)
 *     3 5               8 9 10 11 12 ... 4103 | 4104 ... 9000000
 *                                  frontier ^
 *
 * - resident: the head window. With a pager it is bounded; behind a paged entry nothing is kept.
 * - returned: what was handed out and came back, or waited for its key: older than what was not handed out yet. First those
 *   that own their key and became due; these are on record as held back, so that reading the lane back does not bring
 *   them a second time.
 * - paged: every live entry behind `frontier`.
 */
import { assert } from '../std/assert.ts'
import { Deque } from '../std/deque.ts'
import { Heap } from '../std/heap.ts'
import { entryOverheadBytes } from '../model/entry.ts'
import type { Entry, QueueId } from '../model/entry.ts'
import type { Kernel } from './kernel.ts'
import type { LaneRequest, Pager } from './pager.ts'

/** What a pager's answer did to a lane's counts. */
export interface Loaded {
  readonly accepted: boolean
  readonly lostMessages: number
  readonly lostBytes: number
}

/** Entries that are read of a lane at first: a broker that starts with ten thousand queues looks at each head. */
const firstLook = 8

const late: Loaded = Object.freeze({ accepted: false, lostMessages: 0, lostBytes: 0 })
const complete: Loaded = Object.freeze({ accepted: true, lostMessages: 0, lostBytes: 0 })

export class Lane {
  readonly level: number
  readonly #queueId: QueueId
  readonly #kernel: Kernel
  readonly #pager: Pager | undefined
  readonly #resident: Deque<Entry>
  #returned: Heap<Entry> | undefined
  /** Content bytes of resident and returned. */
  #bytes: number
  #pagedMessages: number
  #pagedBytes: number
  #frontier: number
  /** Counts what made an outstanding answer useless: it is thrown away when it comes. */
  #generation: number
  #loading: boolean
  /** Restored, and nothing was read since: a first look at its head is enough to know when it expires. */
  #unseen: boolean

  constructor(kernel: Kernel, queueId: QueueId, level: number) {
    this.level = level
    this.#queueId = queueId
    this.#kernel = kernel
    this.#pager = kernel.pager
    this.#resident = new Deque()
    this.#returned = undefined
    this.#bytes = 0
    this.#pagedMessages = 0
    this.#pagedBytes = 0
    this.#frontier = 0
    this.#generation = 0
    this.#loading = false
    this.#unseen = false
  }

  get length(): number {
    return this.residentLength + this.#pagedMessages
  }

  get residentLength(): number {
    return this.#resident.length + this.returnedLength
  }

  get returnedLength(): number {
    const returned = this.#returned
    return returned === undefined ? 0 : returned.length
  }

  get pagedMessages(): number {
    return this.#pagedMessages
  }

  get pagedBytes(): number {
    return this.#pagedBytes
  }

  /** What is paged has a higher seq than this. */
  get frontier(): number {
    return this.#frontier
  }

  /** Adds at the tail; the entry is on record already if it is not transient. */
  append(entry: Entry): void {
    const pager = this.#pager
    if (pager !== undefined && (this.#pagedMessages > 0 || this.#isFull(pager))) {
      if (!entry.stored) this.#kernel.journalOne(entry, 0)
      if (this.#pagedMessages === 0) this.#frontier = entry.seq - 1
      this.#countPaged(entry)
      return
    }
    this.#resident.push(entry)
    this.#bytes += entry.contentBytes
  }

  /** Puts an entry that was taken back to its original position, or one that owns its key before all others. */
  putBack(entry: Entry): void {
    this.#returned ??= new Heap(byTurn)
    this.#returned.push(entry)
    this.#bytes += entry.contentBytes
    if (this.#pager !== undefined) this.#trim(this.#pager)
  }

  /** The head; undefined where it is not in memory (then it has been asked for) or the lane is empty. */
  peek(): Entry | undefined {
    const returned = this.#returned
    if (returned !== undefined && returned.length > 0) return returned.peek()
    const entry = this.#resident.peekFirst()
    if (entry === undefined && this.#pagedMessages > 0) this.load()
    return entry
  }

  /** Takes the head that `peek` showed. */
  shift(): void {
    const returned = this.#returned
    const entry = returned !== undefined && returned.length > 0 ? returned.pop() : this.#resident.shift()
    assert(entry !== undefined, 'a lane gives what it showed')
    this.#bytes -= entry.contentBytes
    if (this.#pagedMessages > 0) this.#refill(this.#pager!)
  }

  /** Asks for the next part of what is paged, unless it has been asked for. */
  load(): void {
    const pager = this.#pager
    if (pager === undefined || this.#loading || this.#pagedMessages === 0) return
    this.#loading = true
    pager.loadLane({
      type: 'lane',
      queueId: this.#queueId,
      lane: this.level,
      afterSeq: this.#frontier,
      limit: this.#unseen ? firstLook : Math.max(1, pager.windowMessages - this.residentLength),
      limitBytes: Math.max(1, pager.windowBytes - this.#bytes),
      generation: this.#generation,
    })
  }

  /** Takes the pager's answer. An empty one says that nothing is there: what was still counted is lost. */
  accept(request: LaneRequest, entries: readonly Entry[]): Loaded {
    this.#loading = false
    this.#unseen = false
    if (request.generation !== this.#generation) {
      if (this.#pagedMessages > 0) this.#refill(this.#pager!)
      return late
    }
    if (entries.length === 0) return this.#lose()
    for (const entry of entries) {
      assert(entry.seq > this.#frontier, 'a pager answers with what is behind the frontier, ascending')
      this.#frontier = entry.seq
      if (this.#pagedMessages === 0) break
      entry.stored = true
      this.#resident.push(entry)
      this.#bytes += entry.contentBytes
      this.#kernel.residentBytes += entry.residentBytes
      this.#pagedMessages -= 1
      this.#pagedBytes -= entry.bodyBytes
    }
    if (this.#pagedMessages === 0) return this.#pagedBytes === 0 ? complete : this.#lose()
    return complete
  }

  /** Counts what a store found, before anything else happens to the lane. */
  restore(messages: number, bytes: number): void {
    assert(this.#pager !== undefined, 'only an engine with a pager restores entries')
    this.#pagedMessages += messages
    this.#pagedBytes += bytes
    this.#unseen = true
  }

  /** Forgets every entry; what a load brings later is ignored. */
  clear(): void {
    this.#kernel.residentBytes -= this.#bytes + this.residentLength * entryOverheadBytes
    this.#resident.clear()
    this.#returned = undefined
    this.#bytes = 0
    this.#pagedMessages = 0
    this.#pagedBytes = 0
    this.#generation += 1
  }

  /** Adds the entries in memory with a higher seq, at most so many, ascending. */
  collect(afterSeq: number, limit: number, into: Entry[]): void {
    const found: Entry[] = []
    if (this.#returned !== undefined) {
      for (const entry of this.#returned.values()) if (entry.seq > afterSeq) found.push(entry)
    }
    let low = 0
    let high = this.#resident.length
    while (low < high) {
      const middle = (low + high) >>> 1
      if (this.#resident.at(middle)!.seq > afterSeq) high = middle
      else low = middle + 1
    }
    const end = Math.min(this.#resident.length, low + limit)
    for (let index = low; index < end; index += 1) found.push(this.#resident.at(index)!)
    found.sort(bySeq)
    for (let index = 0; index < found.length && index < limit; index += 1) into.push(found[index]!)
  }

  /** Bytes of the bodies of the first so many, as far as they are in memory. */
  bytesOfFirst(count: number): number {
    let bytes = 0
    if (this.returnedLength > count) {
      const first: Entry[] = []
      this.collect(0, count, first)
      for (const entry of first) bytes += entry.bodyBytes
      return bytes
    }
    if (this.#returned !== undefined) for (const entry of this.#returned.values()) bytes += entry.bodyBytes
    const end = Math.min(this.#resident.length, count - this.returnedLength)
    for (let index = 0; index < end; index += 1) bytes += this.#resident.at(index)!.bodyBytes
    return bytes
  }

  /** Visits the entries that own their key and became due. */
  forEachDue(visit: (entry: Entry) => void): void {
    if (this.#returned === undefined) return
    for (const entry of this.#returned.values()) if (entry.dueAtMs > 0) visit(entry)
  }

  /** Visits every entry in memory, in no particular order. */
  forEach(visit: (entry: Entry) => void): void {
    if (this.#returned !== undefined) for (const entry of this.#returned.values()) visit(entry)
    for (let index = 0; index < this.#resident.length; index += 1) visit(this.#resident.at(index)!)
  }

  invariants(): void {
    let bytes = 0
    let lastSeq = 0
    for (let index = 0; index < this.#resident.length; index += 1) {
      const entry = this.#resident.at(index)!
      assert(entry.seq > lastSeq, 'resident entries ascend')
      assert(entry.lane === this.level && entry.queueId === this.#queueId, 'an entry is in its own lane')
      assert(entry.dueAtMs === 0, 'what is due owns its key and goes before')
      lastSeq = entry.seq
      bytes += entry.contentBytes
    }
    if (this.#returned !== undefined) {
      this.#returned.invariants()
      for (const entry of this.#returned.values()) bytes += entry.contentBytes
    }
    assert(bytes === this.#bytes, "a lane's bytes are those of its entries")
    assert(this.#pagedMessages >= 0 && this.#pagedBytes >= 0, 'counts of what is paged are not negative')
    assert(this.#pagedMessages > 0 || this.#pagedBytes === 0, 'no bytes without messages')
    assert(this.#pagedMessages === 0 || lastSeq <= this.#frontier, 'what is resident is before the frontier')
  }

  #isFull(pager: Pager): boolean {
    return this.residentLength >= pager.windowMessages || this.#bytes >= pager.windowBytes
  }

  #countPaged(entry: Entry): void {
    this.#pagedMessages += 1
    this.#pagedBytes += entry.bodyBytes
    this.#kernel.residentBytes -= entry.residentBytes
  }

  #refill(pager: Pager): void {
    if (this.#loading) return
    if (this.residentLength * 2 < pager.windowMessages && this.#bytes * 2 < pager.windowBytes) this.load()
  }

  #lose(): Loaded {
    const lost = { accepted: true, lostMessages: this.#pagedMessages, lostBytes: this.#pagedBytes }
    this.#pagedMessages = 0
    this.#pagedBytes = 0
    return lost
  }

  /**
   * When much came back, the tail of the window leaves memory again. Only what the journal has in the order of seq may
   * leave, and only with a delivery count that the journal knows.
   */
  #trim(pager: Pager): void {
    const returned = this.#returned!.length
    if (
      this.#resident.length + returned <= pager.windowMessages * 2 &&
      this.#bytes <= pager.windowBytes * 2
    ) {
      return
    }
    while (this.#resident.length > 0) {
      const tail = this.#resident.peekLast()!
      if (!tail.stored || tail.deliveryCount > 0) return
      if (this.residentLength <= pager.windowMessages && this.#bytes <= pager.windowBytes) return
      this.#resident.pop()
      this.#bytes -= tail.contentBytes
      this.#frontier = tail.seq - 1
      this.#generation += 1
      this.#countPaged(tail)
    }
  }
}

/** What is in a lane and has a due time owns its key: the others of that key come after it. */
function byTurn(a: Entry, b: Entry): number {
  return Number(b.dueAtMs > 0) - Number(a.dueAtMs > 0) || a.seq - b.seq
}

export function bySeq(a: Entry, b: Entry): number {
  return a.seq - b.seq
}
