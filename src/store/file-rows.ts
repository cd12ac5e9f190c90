/** The rows of a log file, wherever they are: in its table while it has one, else in its index file. */
import { delayedSlot } from './entry-table.ts'
import type { LogFile } from './log-file.ts'

/** Visits the entries of one queue in one file, live or not; synchronously after at most one wait for each slice. */
export async function visitQueueRows(
  file: LogFile,
  queueId: number,
  visit: (ordinal: number, slot: number) => void,
): Promise<void> {
  const table = file.table
  if (table !== undefined) {
    for (let ordinal = 0; ordinal < table.span; ordinal += 1) {
      if (table.queueIds[ordinal] === queueId && table.lengths[ordinal] !== 0)
        visit(ordinal, table.slots[ordinal]!)
    }
    return
  }
  const reader = file.reader
  reader.acquire()
  try {
    for (const slice of file.index!.ofQueue(queueId)) {
      const rows = await reader.rows(slice)
      for (let place = 0; place < rows.count; place += 1) visit(rows.ordinal(place), slice.slot)
    }
  } finally {
    reader.release()
  }
}

export interface LiveRow {
  readonly ordinal: number
  readonly queueId: number
  readonly slot: number
  readonly offset: number
  readonly length: number
  readonly bodyBytes: number
  readonly flags: number
  readonly dueAtMs: number
}

/** Visits every live entry of a file. One row object is used again for all of them. */
export async function visitLiveRows(file: LogFile, visit: (row: LiveRow) => void): Promise<void> {
  const row = { ordinal: 0, queueId: 0, slot: 0, offset: 0, length: 0, bodyBytes: 0, flags: 0, dueAtMs: 0 }
  const table = file.table
  if (table !== undefined) {
    for (let ordinal = 0; ordinal < table.span; ordinal += 1) {
      if (table.lengths[ordinal] === 0 || !file.live.has(ordinal)) continue
      row.ordinal = ordinal
      row.queueId = table.queueIds[ordinal]!
      row.slot = table.slots[ordinal]!
      row.offset = table.offsets[ordinal]!
      row.length = table.lengths[ordinal]!
      row.bodyBytes = table.bodyBytes[ordinal]!
      row.flags = table.flags[ordinal]!
      row.dueAtMs = table.dueAt(ordinal)
      visit(row)
    }
    return
  }
  const { reader } = file
  const index = file.index!
  reader.acquire()
  try {
    for (let place = 0; place < index.count; place += 1) {
      const slice = index.at(place)
      const rows = await reader.rows(slice)
      row.queueId = slice.queueId
      row.slot = slice.slot
      for (let at = 0; at < rows.count; at += 1) {
        row.ordinal = rows.ordinal(at)
        if (!file.live.has(row.ordinal)) continue
        row.offset = rows.offset(at)
        row.length = rows.length(at)
        row.bodyBytes = rows.bodyBytes(at)
        row.flags = rows.flags(at)
        row.dueAtMs = slice.slot === delayedSlot ? rows.dueAtMs(at) : 0
        visit(row)
      }
    }
  } finally {
    reader.release()
  }
}
