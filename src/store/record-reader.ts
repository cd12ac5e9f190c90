/** Bytes to records: the other half of record-codec.ts. Throws RangeError for what is no record. */
import { crc32 } from 'node:zlib'
import { Entry } from '../model/entry.ts'
import { Message } from '../model/message.ts'
import type { Purge } from '../model/record.ts'
import { Cursor } from './bytes.ts'
import { entryFlag, publishedFlag, recordHeaderBytes } from './record-codec.ts'

/** Called with each sound record: its type, where it starts, and where its content starts and ends. */
export type RecordVisitor = (type: number, start: number, contentStart: number, end: number) => void

/** Visits the sound records of a payload; says how many those were, and whether that is all of it. */
export function forEachRecord(payload: Buffer, visit: RecordVisitor): { sound: number; isWhole: boolean } {
  let start = 0
  let sound = 0
  let isWhole = true
  while (start < payload.length) {
    const contentStart = start + recordHeaderBytes
    if (contentStart > payload.length) return { sound, isWhole: false }
    const end = contentStart + payload.readUInt32LE(start + 5)
    if (end > payload.length) return { sound, isWhole: false }
    if (crc32(payload.subarray(start + 4, end)) === payload.readUInt32LE(start)) {
      visit(payload[start + 4]!, start, contentStart, end)
      sound += 1
    } else isWhole = false
    start = end
  }
  return { sound, isWhole }
}

/** The same for a payload that has been checked. */
export function forEachCheckedRecord(payload: Buffer, visit: RecordVisitor): void {
  for (let start = 0; start < payload.length;) {
    const contentStart = start + recordHeaderBytes
    const end = contentStart + payload.readUInt32LE(start + 5)
    visit(payload[start + 4]!, start, contentStart, end)
    start = end
  }
}

/** Whether the bytes are one record with the right checksum. */
export function isSoundRecord(buffer: Buffer, start: number, length: number): boolean {
  if (length < recordHeaderBytes || start + length > buffer.length) return false
  if (buffer.readUInt32LE(start + 5) !== length - recordHeaderBytes) return false
  return crc32(buffer.subarray(start + 4, start + length)) === buffer.readUInt32LE(start)
}

/** What one entry of a published record says. One object is used again for all of them. */
class EntryFacts {
  seq = 0
  queueId = 0
  lane = 0
  dueAtMs = 0
  expiresAtMs = Infinity
  transient = false
  deliveryCount = 0
}

/** A published record read as far as its entries; the rest only when somebody asks. */
export class PublishedReader {
  readonly facts = new EntryFacts()
  firstSeq = 0
  publishedAtMs = 0
  supersedes = 0
  entryCount = 0
  #flags = 0
  #cursor: Cursor = new Cursor(Buffer.alloc(0), 0, 0)
  #entriesStart = 0
  #exchange = ''
  #routingKey = ''

  /** @param position where the record's content starts */
  open(buffer: Buffer, position: number, end: number): void {
    const cursor = new Cursor(buffer, position, end)
    this.#cursor = cursor
    this.#flags = cursor.u8()
    this.firstSeq = cursor.u64()
    this.publishedAtMs = cursor.f64()
    this.supersedes = (this.#flags & publishedFlag.supersedes) === 0 ? 0 : cursor.u64()
    this.entryCount = cursor.varint()
    this.#entriesStart = cursor.position
    this.facts.seq = this.firstSeq - 1
  }

  /** Back to before the first entry. */
  rewind(): void {
    this.#cursor.position = this.#entriesStart
    this.facts.seq = this.firstSeq - 1
  }

  /** Reads the next entry into `facts`; call it `entryCount` times. */
  nextEntry(): EntryFacts {
    const facts = this.facts
    const cursor = this.#cursor
    facts.seq += 1
    facts.queueId = cursor.varint()
    facts.lane = cursor.u8()
    const flags = cursor.u8()
    facts.transient = (flags & entryFlag.transient) !== 0
    facts.dueAtMs = (flags & entryFlag.delayed) === 0 ? 0 : cursor.f64()
    facts.expiresAtMs = (flags & entryFlag.expires) === 0 ? Infinity : cursor.f64()
    facts.deliveryCount = (flags & entryFlag.counted) === 0 ? 0 : cursor.varint()
    return facts
  }

  /** After the last entry: the ordering key, and how long the body is. */
  readKeyAndSize(): { key: string; bodyBytes: number } {
    const cursor = this.#cursor
    const key = (this.#flags & publishedFlag.key) === 0 ? '' : cursor.text()
    const exchangeBytes = cursor.varint()
    cursor.skip(exchangeBytes)
    const routingKeyBytes = cursor.varint()
    cursor.skip(routingKeyBytes)
    const propertyBytes = cursor.varint()
    cursor.skip(propertyBytes)
    return { key, bodyBytes: cursor.end - cursor.position }
  }

  /**
   * The entry with that seq, its bytes copied out of the buffer, so that a small message does not keep a large read
   * buffer alive. Undefined when the record has no such entry.
   */
  entry(seq: number, options: { countDelta: number; recovered: boolean }): Entry | undefined {
    let found:
      { queueId: number; lane: number; dueAtMs: number; expiresAtMs: number; transient: boolean } | undefined
    let deliveryCount = 0
    for (let index = 0; index < this.entryCount; index += 1) {
      const facts = this.nextEntry()
      if (facts.seq !== seq) continue
      deliveryCount = facts.deliveryCount
      found = this.entryCount === 1 ? facts : Object.assign(new EntryFacts(), facts)
    }
    if (found === undefined) return undefined
    const cursor = this.#cursor
    const key = (this.#flags & publishedFlag.key) === 0 ? '' : cursor.text()
    const exchange = (this.#exchange = sameText(cursor, this.#exchange))
    const routingKey = (this.#routingKey = sameText(cursor, this.#routingKey))
    const propertyBytes = cursor.varint()
    const propertiesStart = cursor.skip(propertyBytes)
    const bytes = Buffer.allocUnsafe(cursor.end - propertiesStart)
    cursor.buffer.copy(bytes, 0, propertiesStart, cursor.end)
    const body = bytes.subarray(propertyBytes)
    return new Entry({
      seq,
      queueId: found.queueId,
      lane: found.lane,
      message: Message.ofBytes(exchange, routingKey, bytes.subarray(0, propertyBytes), body),
      bodyBytes: body.length,
      publishedAtMs: this.publishedAtMs,
      expiresAtMs: found.expiresAtMs,
      dueAtMs: found.dueAtMs,
      key,
      transient: found.transient,
      deliveryCount: Math.max(0, deliveryCount + options.countDelta),
      recovered: options.recovered,
    })
  }
}

/** Reads a text; the last record's string again when its bytes are the same, which they are in most queues. */
function sameText(cursor: Cursor, last: string): string {
  const length = cursor.varint()
  const start = cursor.skip(length)
  if (length === last.length) {
    let index = 0
    while (index < length && cursor.buffer[start + index] === last.charCodeAt(index)) index += 1
    if (index === length && isAscii(last)) return last
  }
  return cursor.buffer.toString('utf8', start, start + length)
}

function isAscii(text: string): boolean {
  for (let index = 0; index < text.length; index += 1) if (text.charCodeAt(index) >= 0x80) return false
  return true
}

export function decodeSeqs(buffer: Buffer, position: number, end: number): Float64Array {
  return readSeqs(new Cursor(buffer, position, end))
}

function readSeqs(cursor: Cursor): Float64Array {
  const count = cursor.varint()
  if (count > cursor.end - cursor.position) throw new RangeError('a list is longer than its record')
  const seqs = new Float64Array(count)
  let last = 0
  for (let index = 0; index < count; index += 1) {
    last += cursor.varint()
    seqs[index] = last
  }
  return seqs
}

const purgeStates = ['all', 'ready', 'delayed'] as const

export function decodePurge(buffer: Buffer, position: number, end: number): Purge {
  const cursor = new Cursor(buffer, position, end)
  const queueId = cursor.varint()
  const state = purgeStates[cursor.u8()]
  if (state === undefined) throw new RangeError('a purge of an unknown kind')
  const throughSeq = cursor.varint()
  return { queueId, throughSeq, state, survivors: [...readSeqs(cursor)] }
}

export function decodeCounts(buffer: Buffer, position: number, end: number): Map<number, number> {
  const cursor = new Cursor(buffer, position, end)
  const counts = new Map<number, number>()
  let seq = 0
  for (let left = cursor.varint(); left > 0; left -= 1) {
    seq += cursor.varint()
    const value = cursor.varint()
    counts.set(seq, value % 2 === 0 ? value / 2 : -(value + 1) / 2)
  }
  return counts
}
