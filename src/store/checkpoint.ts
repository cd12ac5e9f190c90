/**
 * The checkpoint that opens each log file: one batch that says everything needed to read on from there. What is declared,
 * the next numbers, and for each earlier file which of its entries are live.
 */
import type { Definition, Purge } from '../model/record.ts'
import type { Batch } from './batch.ts'
import { checkpointFlag } from './batch.ts'
import { Cursor, maximumVarintBytes, writeU64, writeVarint } from './bytes.ts'
import { encodeDefinition } from './definition-codec.ts'
import { LiveBits } from './live-bits.ts'
import {
  closeRecord,
  encodeCounts,
  encodePurge,
  recordHeaderBytes,
  recordType,
  writeRecordHeader,
} from './record-codec.ts'

export interface CheckpointFile {
  readonly number: number
  readonly baseSeq: number
  readonly live: LiveBits
}

interface CheckpointCounters {
  readonly nextSeq: number
  readonly nextQueueId: number
}

/** Definitions as records, one after another: kept from one checkpoint to the next while nothing is declared. */
export interface EncodedDefinitions {
  readonly bytes: Buffer
  readonly count: number
}

export function encodeDefinitions(definitions: readonly Definition[]): EncodedDefinitions {
  const parts: Buffer[] = []
  for (const definition of definitions) {
    const content = encodeDefinition(definition)
    const record = Buffer.allocUnsafe(recordHeaderBytes + content.length)
    record.set(content, recordHeaderBytes)
    writeRecordHeader(record, 0, { type: recordType.defined, end: record.length })
    parts.push(record)
  }
  return { bytes: Buffer.concat(parts), count: definitions.length }
}

export function encodeCheckpoint(
  batch: Batch,
  facts: {
    counters: CheckpointCounters
    definitions: EncodedDefinitions
    files: readonly CheckpointFile[]
    counts: ReadonlyMap<number, number>
    purges: readonly Purge[]
  },
): void {
  batch.flags |= checkpointFlag
  batch.reserve(recordHeaderBytes + 16)
  let end = writeU64(batch.buffer, batch.end + recordHeaderBytes, facts.counters.nextSeq)
  end = writeU64(batch.buffer, end, facts.counters.nextQueueId)
  closeRecord(batch, recordType.counters, end)
  batch.reserve(facts.definitions.bytes.length)
  batch.buffer.set(facts.definitions.bytes, batch.end)
  batch.end += facts.definitions.bytes.length
  batch.recordCount += facts.definitions.count
  for (const file of facts.files) encodeFile(batch, file)
  if (facts.counts.size > 0) encodeCounts(batch, facts.counts)
  for (const purge of facts.purges) encodePurge(batch, purge)
}

function encodeFile(batch: Batch, file: CheckpointFile): void {
  const { live } = file
  const bytes = live.isFull ? undefined : live.bytes
  batch.reserve(recordHeaderBytes + maximumVarintBytes * 3 + 1 + (bytes?.length ?? 0))
  const buffer = batch.buffer
  let end = writeVarint(buffer, batch.end + recordHeaderBytes, file.number)
  end = writeVarint(buffer, end, file.baseSeq)
  end = writeVarint(buffer, end, live.span)
  buffer[end] = bytes === undefined ? 1 : 0
  end += 1
  if (bytes !== undefined) {
    buffer.set(bytes, end)
    end += bytes.length
  }
  closeRecord(batch, recordType.file, end)
}

export function decodeCheckpointFile(buffer: Buffer, position: number, recordEnd: number): CheckpointFile {
  const cursor = new Cursor(buffer, position, recordEnd)
  const number = cursor.varint()
  const baseSeq = cursor.varint()
  const span = cursor.varint()
  if (cursor.u8() === 1) return { number, baseSeq, live: LiveBits.full(span) }
  const start = cursor.skip(Math.ceil(span / 8))
  return {
    number,
    baseSeq,
    live: new LiveBits(Uint8Array.from(buffer.subarray(start, cursor.position)), span),
  }
}

export function decodeCounters(buffer: Buffer, position: number, recordEnd: number): CheckpointCounters {
  const cursor = new Cursor(buffer, position, recordEnd)
  return { nextSeq: cursor.u64(), nextQueueId: cursor.u64() }
}
