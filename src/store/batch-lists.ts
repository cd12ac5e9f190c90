/** The lists of a batch as records, written when it closes. */
import type { Batch } from './batch.ts'
import type { LogFiles } from './log-file.ts'
import { encodeSeqs, recordType } from './record-codec.ts'
import { SeqList } from './seq-list.ts'

/** Settled first: recovery passes over deliveries of what is gone, and so does this. */
export function encodeLists(batch: Batch, files: LogFiles): void {
  if (batch.settled.length > 0) encodeSeqs(batch, recordType.settled, batch.settled.sorted())
  const delivered = stillLive(batch.delivered, files)
  if (delivered.length > 0) encodeSeqs(batch, recordType.delivered, delivered.sorted())
  const released = stillLive(batch.released, files)
  if (released.length > 0) encodeSeqs(batch, recordType.released, released.sorted())
}

function stillLive(list: SeqList, files: LogFiles): SeqList {
  const live = new SeqList()
  for (const seq of list.values()) if (files.find(seq)?.isLive(seq) === true) live.push(seq)
  return live
}
