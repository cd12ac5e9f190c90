/**
 * Where each entry of a log file lies, in memory: for the file being written, and for one that was read from its start.
 * Arrays by ordinal (seq - base seq); a sealed file's table becomes its index file (slice-index.ts) and is dropped.
 */
import { assert } from '../std/assert.ts'

/** Lanes 0 to 255 are priority levels; entries held back are in this one. */
export const delayedSlot = 256
/** Ordinals a table may span: a gap in the numbering larger than this is a bug, or a damaged file. */
const maximumSpan = 1 << 27
const firstSlots = 1024

export const rowFlag = { transient: 1, heldKey: 2 } as const

export class EntryTable {
  readonly baseSeq: number
  /** Ordinals from 0 to below this may hold an entry; those with length 0 do not. */
  span = 0
  queueIds = new Uint32Array(firstSlots)
  slots = new Uint16Array(firstSlots)
  flags = new Uint8Array(firstSlots)
  /** Where each record starts in the file, and how long it is. */
  offsets = new Uint32Array(firstSlots)
  lengths = new Uint32Array(firstSlots)
  bodyBytes = new Uint32Array(firstSlots)
  dueAtMs: Float64Array | undefined = undefined

  constructor(baseSeq: number) {
    this.baseSeq = baseSeq
  }

  add(
    seq: number,
    queueId: number,
    slot: number,
    flags: number,
    offset: number,
    length: number,
    bodyBytes: number,
    dueAtMs: number,
  ): void {
    const ordinal = seq - this.baseSeq
    if (ordinal >= this.queueIds.length) this.#grow(ordinal + 1)
    this.queueIds[ordinal] = queueId
    this.slots[ordinal] = slot
    this.flags[ordinal] = flags
    this.offsets[ordinal] = offset
    this.lengths[ordinal] = length
    this.bodyBytes[ordinal] = bodyBytes
    if (dueAtMs > 0) this.#dueTimes()[ordinal] = dueAtMs
    if (ordinal >= this.span) this.span = ordinal + 1
  }

  has(ordinal: number): boolean {
    return ordinal >= 0 && ordinal < this.span && this.lengths[ordinal] !== 0
  }

  /** When an entry held back is due. */
  dueAt(ordinal: number): number {
    return this.dueAtMs?.[ordinal] ?? 0
  }

  #dueTimes(): Float64Array {
    return (this.dueAtMs ??= new Float64Array(this.queueIds.length))
  }

  #grow(needed: number): void {
    assert(needed <= maximumSpan, 'the entries of one file are numbered closely')
    const size = Math.max(needed, this.queueIds.length * 2)
    this.queueIds = copyInto(new Uint32Array(size), this.queueIds)
    this.slots = copyInto(new Uint16Array(size), this.slots)
    this.flags = copyInto(new Uint8Array(size), this.flags)
    this.offsets = copyInto(new Uint32Array(size), this.offsets)
    this.lengths = copyInto(new Uint32Array(size), this.lengths)
    this.bodyBytes = copyInto(new Uint32Array(size), this.bodyBytes)
    if (this.dueAtMs !== undefined) this.dueAtMs = copyInto(new Float64Array(size), this.dueAtMs)
  }
}

function copyInto<A extends Uint8Array | Uint16Array | Uint32Array | Float64Array>(target: A, source: A): A {
  target.set(source)
  return target
}
