/**
 * Records to bytes. Every record is `crc u32 | type u8 | length u32 | content`, so that a reader can pass over a type it
 * does not know, and check each one that it reads alone. docs/log-format.md draws them all.
 *
 * `encodePublished` is the hot path of the store (bench: file-send): it writes straight into the batch's chunk and makes no
 * object. A body is copied, whatever its size: a caller may change its buffer once the call returns, and the copy costs
 * a tenth of what writing and syncing the same bytes costs.
 */
import { crc32 } from 'node:zlib'
import type { Entry } from '../model/entry.ts'
import type { Purge } from '../model/record.ts'
import { assert } from '../std/assert.ts'
import type { Batch } from './batch.ts'
import {
  maximumTextBytes,
  maximumVarintBytes,
  varintBytes,
  writeText,
  writeU64,
  writeVarint,
} from './bytes.ts'

export const recordType = {
  published: 1,
  settled: 2,
  delivered: 3,
  released: 4,
  defined: 5,
  purged: 6,
  counters: 16,
  file: 17,
  counts: 18,
} as const

/** `crc u32 | type u8 | length u32`; the checksum is over all that follows it. */
export const recordHeaderBytes = 9

export const publishedFlag = { supersedes: 1, key: 2 } as const
export const entryFlag = { delayed: 1, expires: 2, transient: 4, counted: 8 } as const

const fixedPublishedBytes = recordHeaderBytes + 1 + 8 + 8 + 8
const maximumEntryBytes = maximumVarintBytes * 2 + 2 + 8 + 8
const shortBytesLength = 64
/** A body of so many bytes is not copied into the batch: it is written from where it is (benchmark P15). */
const referredBytes = 32 * 1024

/** @param entries of one message, with consecutive sequence numbers */
export function encodePublished(batch: Batch, entries: readonly Entry[], supersedes: number): void {
  const first = entries[0]!
  const message = first.message
  const count = entries.length
  const properties = message.propertyBytes
  const { bodyBytes } = first
  const { body } = message
  const large = typeof body !== 'string' && bodyBytes >= referredBytes ? body : undefined
  batch.reserve(
    fixedPublishedBytes +
      (count + 1) * maximumEntryBytes +
      maximumTextBytes(first.key) +
      maximumTextBytes(message.exchange) +
      maximumTextBytes(message.routingKey) +
      maximumVarintBytes +
      properties.length +
      (large === undefined ? bodyBytes : 0),
  )
  const buffer = batch.buffer
  const start = batch.end
  let end = start + recordHeaderBytes
  const hasKey = first.key !== ''
  buffer[end] = (supersedes === 0 ? 0 : publishedFlag.supersedes) | (hasKey ? publishedFlag.key : 0)
  end = writeU64(buffer, end + 1, first.seq)
  buffer.writeDoubleLE(first.publishedAtMs, end)
  end += 8
  if (supersedes !== 0) end = writeU64(buffer, end, supersedes)
  end = writeVarint(buffer, end, count)
  for (let index = 0; index < count; index += 1) end = writeEntry(buffer, end, entries[index]!)
  if (hasKey) end = writeText(buffer, end, first.key)
  end = writeText(buffer, end, message.exchange)
  end = writeText(buffer, end, message.routingKey)
  end = writeVarint(buffer, end, properties.length)
  end = writeBytes(buffer, end, properties)
  if (large === undefined) closeRecord(batch, recordType.published, writeBody(buffer, end, body, bodyBytes))
  else closeLargeRecord(batch, end, large, bodyBytes)
}

function closeLargeRecord(batch: Batch, end: number, body: Uint8Array, bodyBytes: number): void {
  assert(body.length === bodyBytes, 'an entry says how long its body is')
  writeRecordHeader(batch.buffer, batch.end, { type: recordType.published, end, tail: body })
  batch.end = end
  batch.recordCount += 1
  batch.refer(body)
}

function writeEntry(buffer: Buffer, start: number, entry: Entry): number {
  let end = writeVarint(buffer, start, entry.queueId)
  buffer[end] = entry.lane
  const delayed = entry.dueAtMs > 0
  const expires = entry.expiresAtMs !== Infinity
  const counted = entry.deliveryCount > 0
  buffer[end + 1] =
    (delayed ? entryFlag.delayed : 0) |
    (expires ? entryFlag.expires : 0) |
    (entry.transient ? entryFlag.transient : 0) |
    (counted ? entryFlag.counted : 0)
  end += 2
  if (delayed) end = buffer.writeDoubleLE(entry.dueAtMs, end)
  if (expires) end = buffer.writeDoubleLE(entry.expiresAtMs, end)
  if (counted) end = writeVarint(buffer, end, entry.deliveryCount)
  return end
}

function writeBody(buffer: Buffer, start: number, body: Uint8Array | string, bodyBytes: number): number {
  if (typeof body !== 'string') {
    assert(body.length === bodyBytes, 'an entry says how long its body is')
    return writeBytes(buffer, start, body)
  }
  // As many bytes as UTF-16 units means ASCII only, which 'latin1' copies without looking at it.
  const written = buffer.write(body, start, bodyBytes, body.length === bodyBytes ? 'latin1' : 'utf8')
  assert(written === bodyBytes, 'an entry says how long its body is')
  return start + bodyBytes
}

function writeBytes(buffer: Buffer, start: number, bytes: Uint8Array): number {
  const length = bytes.length
  if (length > shortBytesLength) {
    buffer.set(bytes, start)
  } else {
    for (let index = 0; index < length; index += 1) buffer[start + index] = bytes[index]!
  }
  return start + length
}

/** Settled, delivered or released entries: a count, the lowest, then the steps between them, as varints. */
export function encodeSeqs(
  batch: Batch,
  type: (typeof recordType)['settled' | 'delivered' | 'released'],
  seqs: Float64Array,
): void {
  batch.reserve(recordHeaderBytes + (seqs.length + 1) * maximumVarintBytes)
  const start = batch.end
  const end = writeSeqs(batch.buffer, start + recordHeaderBytes, seqs)
  closeRecord(batch, type, end)
}

function writeSeqs(buffer: Buffer, start: number, ascending: ArrayLike<number>): number {
  let end = writeVarint(buffer, start, ascending.length)
  let last = 0
  for (let index = 0; index < ascending.length; index += 1) {
    const seq = ascending[index]!
    end = writeVarint(buffer, end, seq - last)
    last = seq
  }
  return end
}

export function encodePurge(batch: Batch, purge: Purge): void {
  batch.reserve(recordHeaderBytes + (purge.survivors.length + 3) * maximumVarintBytes + 1)
  const buffer = batch.buffer
  let end = writeVarint(buffer, batch.end + recordHeaderBytes, purge.queueId)
  buffer[end] = purge.state === 'all' ? 0 : purge.state === 'ready' ? 1 : 2
  end = writeVarint(buffer, end + 1, purge.throughSeq)
  end = writeSeqs(buffer, end, purge.survivors)
  closeRecord(batch, recordType.purged, end)
}

/** A record whose content is there as bytes. */
export function encodeBytes(batch: Batch, type: number, content: Uint8Array): void {
  batch.reserve(recordHeaderBytes + content.length)
  batch.buffer.set(content, batch.end + recordHeaderBytes)
  closeRecord(batch, type, batch.end + recordHeaderBytes + content.length)
}

/** Pairs of a sequence number and a signed number, ascending by seq: checkpointed delivery counts. */
export function encodeCounts(batch: Batch, counts: ReadonlyMap<number, number>): void {
  const seqs = Float64Array.from(counts.keys()).sort()
  let size = recordHeaderBytes + maximumVarintBytes
  for (const count of counts.values()) size += maximumVarintBytes + varintBytes(zigzag(count))
  batch.reserve(size)
  let end = writeVarint(batch.buffer, batch.end + recordHeaderBytes, seqs.length)
  let last = 0
  for (const seq of seqs) {
    end = writeVarint(batch.buffer, end, seq - last)
    end = writeVarint(batch.buffer, end, zigzag(counts.get(seq)!))
    last = seq
  }
  closeRecord(batch, recordType.counts, end)
}

function zigzag(value: number): number {
  return value < 0 ? -value * 2 - 1 : value * 2
}

/** Fills in the header of the record that begins where the batch ends. */
export function closeRecord(batch: Batch, type: number, end: number): void {
  writeRecordHeader(batch.buffer, batch.end, { type, end })
  batch.end = end
  batch.recordCount += 1
}

export function writeRecordHeader(
  buffer: Buffer,
  start: number,
  record: { type: number; end: number; tail?: Uint8Array },
): void {
  const { type, end, tail } = record
  buffer[start + 4] = type
  buffer.writeUInt32LE(end - start - recordHeaderBytes + (tail?.length ?? 0), start + 5)
  const checksum = crc32(buffer.subarray(start + 4, end))
  buffer.writeUInt32LE(tail === undefined ? checksum : crc32(tail, checksum), start)
}
