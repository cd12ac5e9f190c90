/**
 * What each queue holds, counted from the rows and live bits of the files: nothing is counted twice that could drift apart.
 * Entries that do not outlive the process, and those of queues that are gone, leave here.
 */
import type { RecoveredQueue } from '../model/record.ts'
import { delayedSlot, rowFlag } from './entry-table.ts'
import type { LiveRow } from './file-rows.ts'
import { visitLiveRows } from './file-rows.ts'
import { LiveBits } from './live-bits.ts'
import type { LogFile } from './log-file.ts'
import type { LogState } from './log-state.ts'
import { PublishedReader, isSoundRecord } from './record-reader.ts'
import { recordHeaderBytes } from './record-codec.ts'
import { SeqList } from './seq-list.ts'

interface LaneTotal {
  readonly lane: number
  count: number
  bodyBytes: number
}

class QueueTotal {
  readonly lanes = new Map<number, LaneTotal>()
  readonly delayedSeqs = new SeqList()
  readonly delayedDueAtMs = new SeqList()
  delayedBytes = 0
  readonly heldKeys: { seq: number; key: string }[] = []

  add(lane: number, count: number, bodyBytes: number): void {
    const total = this.lanes.get(lane)
    if (total === undefined) {
      this.lanes.set(lane, { lane, count, bodyBytes })
    } else {
      total.count += count
      total.bodyBytes += bodyBytes
    }
  }
}

interface CountedQueues {
  readonly queues: RecoveredQueue[]
  /** Entries of queues that nobody declared. */
  readonly unknown: number
}

/** @param withIndex runs the action again with a new index when the file's is damaged */
export async function countQueues(
  state: LogState,
  withIndex: (file: LogFile, action: () => Promise<void>) => Promise<void>,
): Promise<CountedQueues> {
  const totals = new Map<number, QueueTotal>()
  let unknown = 0
  for (const file of state.files.list) {
    if (file.live.count === 0) continue
    if (addFullSlices(state, file, totals)) continue
    const rows: FileCount = { totals: new Map(), gone: [], seen: new LiveBits(), held: [], unknown: 0 }
    await withIndex(file, async () => {
      rows.totals = new Map()
      rows.gone = []
      rows.seen = new LiveBits()
      rows.held = []
      rows.unknown = 0
      await visitLiveRows(file, (row) => countRow(state, file, rows, row))
    })
    clearUnseen(file, rows.seen)
    for (const ordinal of rows.gone) state.drop(file, ordinal)
    unknown += rows.unknown
    for (const [queueId, counted] of rows.totals) merge(totals, queueId, counted)
    for (const held of rows.held) await addHeldKey(file, totals, held)
  }
  return { queues: [...totals].map(([queueId, total]) => toRecovered(queueId, total)), unknown }
}

interface FileCount {
  totals: Map<number, QueueTotal>
  gone: number[]
  seen: LiveBits
  held: { queueId: number; seq: number; offset: number; length: number }[]
  unknown: number
}

/**
 * An entry without a row was purged before its index was written: the purge that is read again here finds no row to mark.
 */
function clearUnseen(file: LogFile, seen: LiveBits): void {
  if (seen.count === file.live.count) return
  for (let ordinal = 0; ordinal < file.live.span; ordinal += 1)
    if (!seen.has(ordinal)) file.live.clear(ordinal)
}

/** A file of which everything is live, ready and known needs its table of slices only. */
function addFullSlices(state: LogState, file: LogFile, totals: Map<number, QueueTotal>): boolean {
  const index = file.index
  if (state.purges.length > 0 || file.table !== undefined) return false
  if (index === undefined || index.rowCount !== file.live.count) return false
  for (let place = 0; place < index.count; place += 1) {
    const slice = index.at(place)
    if (slice.slot === delayedSlot || slice.flags !== 0 || !state.definitions.hasQueue(slice.queueId))
      return false
  }
  for (let place = 0; place < index.count; place += 1) {
    const slice = index.at(place)
    totalOf(totals, slice.queueId).add(slice.slot, slice.count, slice.bodyBytes)
  }
  return true
}

function countRow(state: LogState, file: LogFile, counted: FileCount, row: LiveRow): void {
  counted.seen.set(row.ordinal)
  const isKnown = state.definitions.hasQueue(row.queueId)
  if (!isKnown || (row.flags & rowFlag.transient) !== 0) {
    counted.gone.push(row.ordinal)
    if (!isKnown) counted.unknown += 1
    return
  }
  const total = totalOf(counted.totals, row.queueId)
  if (row.slot !== delayedSlot) {
    total.add(row.slot, 1, row.bodyBytes)
    return
  }
  const seq = file.baseSeq + row.ordinal
  total.delayedSeqs.push(seq)
  total.delayedDueAtMs.push(row.dueAtMs)
  total.delayedBytes += row.bodyBytes
  if ((row.flags & rowFlag.heldKey) !== 0) {
    counted.held.push({ queueId: row.queueId, seq, offset: row.offset, length: row.length })
  }
}

function totalOf(totals: Map<number, QueueTotal>, queueId: number): QueueTotal {
  let total = totals.get(queueId)
  if (total === undefined) {
    total = new QueueTotal()
    totals.set(queueId, total)
  }
  return total
}

function merge(totals: Map<number, QueueTotal>, queueId: number, more: QueueTotal): void {
  const total = totals.get(queueId)
  if (total === undefined) {
    totals.set(queueId, more)
    return
  }
  for (const lane of more.lanes.values()) total.add(lane.lane, lane.count, lane.bodyBytes)
  total.delayedSeqs.append(more.delayedSeqs)
  total.delayedDueAtMs.append(more.delayedDueAtMs)
  total.delayedBytes += more.delayedBytes
}

async function addHeldKey(
  file: LogFile,
  totals: Map<number, QueueTotal>,
  held: { queueId: number; seq: number; offset: number; length: number },
): Promise<void> {
  const bytes = Buffer.allocUnsafe(held.length)
  const count = await (await file.reader.log()).read(bytes, held.offset)
  if (count !== held.length || !isSoundRecord(bytes, 0, held.length)) return
  const reader = new PublishedReader()
  reader.open(bytes, recordHeaderBytes, held.length)
  for (let index = 0; index < reader.entryCount; index += 1) reader.nextEntry()
  totalOf(totals, held.queueId).heldKeys.push({ seq: held.seq, key: reader.readKeyAndSize().key })
}

function toRecovered(queueId: number, total: QueueTotal): RecoveredQueue {
  const lanes = [...total.lanes.values()].sort((a, b) => a.lane - b.lane)
  return {
    queueId,
    lanes,
    delayed: {
      seqs: total.delayedSeqs.values(),
      dueAtMs: total.delayedDueAtMs.values(),
      bodyBytes: total.delayedBytes,
    },
    heldKeys: total.heldKeys,
  }
}
