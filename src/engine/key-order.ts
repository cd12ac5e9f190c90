/**
 * Order by key within one queue: of the messages with one key, one at a time is in consumers' hands.
 *
 * An entry owns its key from its first delivery until it leaves the queue; an entry that supersedes it (a retry) inherits the
 * key, and is found as its owner after a crash (see model/entry.ts). Later entries of the key that reach the head meanwhile are
 * parked, and the first of them becomes the owner when the key is free.
 *
 *     free ──admit──▶ owned by seq ──release──▶ owned by the first parked, or free
 */
import { assert } from '../std/assert.ts'
import { Deque } from '../std/deque.ts'
import type { Entry } from '../model/entry.ts'

interface Slot {
  ownerSeq: number
  /** The owner is held back until a retry is due. */
  delayed: boolean
  parked: Deque<Entry> | undefined
}

export class KeyOrder {
  readonly #slots: Map<string, Slot>
  readonly #limit: number
  #parkedMessages: number
  #parkedBytes: number

  /** @param limit entries parked at most */
  constructor(limit: number) {
    this.#slots = new Map()
    this.#limit = limit
    this.#parkedMessages = 0
    this.#parkedBytes = 0
  }

  get parkedMessages(): number {
    return this.#parkedMessages
  }

  get parkedBytes(): number {
    return this.#parkedBytes
  }

  get isFull(): boolean {
    return this.#parkedMessages >= this.#limit
  }

  /** Whether the entry may be handed out; if so, it owns its key from now on. */
  admit(entry: Entry): boolean {
    const slot = this.#slots.get(entry.key)
    if (slot === undefined) {
      this.#slots.set(entry.key, { ownerSeq: entry.seq, delayed: false, parked: undefined })
      return true
    }
    return slot.ownerSeq === entry.seq
  }

  /** Whether the entry has to wait at the head of its lane: its key is taken, and no more can be set aside. */
  blocks(entry: Entry): boolean {
    if (entry.key === '' || !this.isFull) return false
    const slot = this.#slots.get(entry.key)
    return slot !== undefined && slot.ownerSeq !== entry.seq
  }

  owns(entry: Entry): boolean {
    return this.#slots.get(entry.key)?.ownerSeq === entry.seq
  }

  /** Sets aside an entry whose key is taken. */
  park(entry: Entry): void {
    const slot = this.#slots.get(entry.key)
    assert(slot !== undefined && !this.isFull, 'an entry is parked behind the owner of its key')
    slot.parked ??= new Deque()
    slot.parked.push(entry)
    this.#parkedMessages += 1
    this.#parkedBytes += entry.bodyBytes
  }

  /** The entry leaves. Gives the one that owns the key next: it was parked and can be handed out now. */
  release(entry: Entry): Entry | undefined {
    const slot = this.#slots.get(entry.key)
    if (slot === undefined || slot.ownerSeq !== entry.seq) return undefined
    return this.#next(entry.key, slot)
  }

  /** The entry is replaced by one that goes on owning the key. @param delayed the new one is held back */
  inherit(old: Entry, fresh: Entry, delayed: boolean): void {
    const slot = this.#slots.get(old.key)
    assert(slot !== undefined && slot.ownerSeq === old.seq, 'only the owner of a key passes it on')
    slot.ownerSeq = fresh.seq
    slot.delayed = delayed
  }

  /** The owner is not held back any more. */
  ownerIsDue(entry: Entry): void {
    const slot = this.#slots.get(entry.key)
    assert(slot !== undefined && slot.ownerSeq === entry.seq && slot.delayed, 'a delayed owner becomes due')
    slot.delayed = false
  }

  /** Whether the entry owns its key and is not held back (any more). */
  isReadyOwner(entry: Entry): boolean {
    const slot = this.#slots.get(entry.key)
    return slot !== undefined && slot.ownerSeq === entry.seq && !slot.delayed
  }

  /** A store found that the entry, held back as far as it knows, owns the key. */
  restore(key: string, seq: number): void {
    if (!this.#slots.has(key)) this.#slots.set(key, { ownerSeq: seq, delayed: true, parked: undefined })
  }

  /** Every delayed owner is gone, or those of `seqs`. Gives those that own their keys next. */
  releaseDelayed(seqs?: ReadonlySet<number>): Entry[] {
    const next: Entry[] = []
    for (const [key, slot] of this.#slots) {
      if (!slot.delayed || seqs?.has(slot.ownerSeq) === false) continue
      const entry = this.#next(key, slot)
      if (entry !== undefined) next.push(entry)
    }
    return next
  }

  /** Forgets every parked entry, oldest first of each key. The owners stay. */
  takeParked(): Entry[] {
    const taken: Entry[] = []
    for (const slot of this.#slots.values()) {
      for (let entry = slot.parked?.shift(); entry !== undefined; entry = slot.parked?.shift())
        taken.push(entry)
      slot.parked = undefined
    }
    this.#parkedMessages = 0
    this.#parkedBytes = 0
    return taken
  }

  /** Takes the first parked entry of some key. */
  takeOneParked(): Entry | undefined {
    if (this.#parkedMessages === 0) return undefined
    for (const slot of this.#slots.values()) {
      const entry = slot.parked?.shift()
      if (entry === undefined) continue
      if (slot.parked?.length === 0) slot.parked = undefined
      this.#parkedMessages -= 1
      this.#parkedBytes -= entry.bodyBytes
      return entry
    }
    return undefined
  }

  forEachParked(visit: (entry: Entry) => void): void {
    if (this.#parkedMessages === 0) return
    for (const slot of this.#slots.values()) {
      const length = slot.parked?.length ?? 0
      for (let index = 0; index < length; index += 1) visit(slot.parked!.at(index)!)
    }
  }

  invariants(): void {
    let messages = 0
    let bytes = 0
    for (const [key, slot] of this.#slots) {
      assert(slot.parked === undefined || slot.parked.length > 0, 'an empty parking place is given up')
      const length = slot.parked?.length ?? 0
      messages += length
      for (let index = 0; index < length; index += 1) {
        const entry = slot.parked!.at(index)!
        assert(
          entry.key === key && entry.seq !== slot.ownerSeq,
          'an entry is parked behind another of its key',
        )
        bytes += entry.bodyBytes
      }
    }
    assert(messages === this.#parkedMessages && bytes === this.#parkedBytes, 'parked entries are counted')
  }

  #next(key: string, slot: Slot): Entry | undefined {
    const entry = slot.parked?.shift()
    if (entry === undefined) {
      this.#slots.delete(key)
      return undefined
    }
    if (slot.parked?.length === 0) slot.parked = undefined
    slot.ownerSeq = entry.seq
    slot.delayed = false
    this.#parkedMessages -= 1
    this.#parkedBytes -= entry.bodyBytes
    return entry
  }
}
