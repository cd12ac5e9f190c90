/** What the log says so far: the state that recovery builds by applying one record after another. */
import type { Purge } from '../model/record.ts'
import type { ScannedBatch } from './batch-scan.ts'
import { visitRecords } from './batch-scan.ts'
import { checkpointFlag } from './batch.ts'
import type { CheckpointFile } from './checkpoint.ts'
import { decodeCheckpointFile, decodeCounters } from './checkpoint.ts'
import { decodeDefinition } from './definition-codec.ts'
import { DefinitionState } from './definition-state.ts'
import { addToTable, placeOf } from './index-files.ts'
import type { LogFile } from './log-file.ts'
import { LogFiles } from './log-file.ts'
import { recordType } from './record-codec.ts'
import { SeqList } from './seq-list.ts'
import { PublishedReader, decodeCounts, decodePurge, decodeSeqs, forEachRecord } from './record-reader.ts'

export class LogState {
  readonly files = new LogFiles()
  readonly definitions = new DefinitionState()
  /** How far the delivery count of an entry is from what its record says. */
  readonly counts = new Map<number, number>()
  readonly purges: Purge[] = []
  checkpointFiles: CheckpointFile[] = []
  /** Entries that recovery itself takes away; the store puts that on record. */
  readonly dropped = new SeqList()
  lastSeq = 0
  nextQueueId = 1
  /** Records that had the right checksum and made no sense. */
  senseless = 0
  readonly #reader = new PublishedReader()

  /** @param payload of a checkpoint batch */
  applyCheckpoint(payload: Buffer): void {
    forEachRecord(payload, (type, _start, contentStart, end) => {
      try {
        this.#applyCheckpointRecord(payload, type, contentStart, end)
      } catch {
        this.senseless += 1
      }
    })
  }

  /** @param file the batch's file, whose table and live bits it fills */
  applyBatch(file: LogFile, batch: ScannedBatch): void {
    if ((batch.header.flags & checkpointFlag) !== 0) return
    visitRecords(batch, (type, start, contentStart, end) => {
      try {
        if (type === recordType.published) this.#applyPublished(file, batch, { start, contentStart, end })
        else this.#apply(batch.payload, type, contentStart, end)
      } catch {
        this.senseless += 1
      }
    })
  }

  /** The definitions of a checkpoint, as far as they can be read: for a log whose checkpoints are all damaged. */
  applyDefinitions(payload: Buffer): void {
    forEachRecord(payload, (type, _start, contentStart, end) => {
      try {
        if (type === recordType.defined) this.#define(payload, contentStart, end)
      } catch {
        this.senseless += 1
      }
    })
  }

  drop(file: LogFile, ordinal: number): void {
    if (file.live.clear(ordinal)) this.dropped.push(file.baseSeq + ordinal)
  }

  #applyCheckpointRecord(payload: Buffer, type: number, position: number, end: number): void {
    switch (type) {
      case recordType.counters: {
        const counters = decodeCounters(payload, position, end)
        this.lastSeq = Math.max(this.lastSeq, counters.nextSeq - 1)
        this.nextQueueId = Math.max(this.nextQueueId, counters.nextQueueId)
        break
      }
      case recordType.file:
        this.checkpointFiles.push(decodeCheckpointFile(payload, position, end))
        break
      case recordType.counts:
        for (const [seq, count] of decodeCounts(payload, position, end)) this.counts.set(seq, count)
        break
      default:
        this.#apply(payload, type, position, end)
    }
  }

  #apply(payload: Buffer, type: number, position: number, end: number): void {
    switch (type) {
      case recordType.settled:
        for (const seq of decodeSeqs(payload, position, end)) this.#settle(seq)
        break
      case recordType.delivered:
        for (const seq of decodeSeqs(payload, position, end)) this.#count(seq, 1)
        break
      case recordType.released:
        for (const seq of decodeSeqs(payload, position, end)) this.#count(seq, -1)
        break
      case recordType.defined:
        this.#define(payload, position, end)
        break
      case recordType.purged:
        this.purges.push(decodePurge(payload, position, end))
        break
    }
  }

  #applyPublished(
    file: LogFile,
    batch: ScannedBatch,
    place: { start: number; contentStart: number; end: number },
  ): void {
    const reader = this.#reader
    reader.open(batch.payload, place.contentStart, place.end)
    const { firstSeq, entryCount } = reader
    if (firstSeq < file.baseSeq) throw new RangeError('an entry is in the wrong file')
    addToTable(file.table!, reader, placeOf(batch, place.start, place.end))
    for (let index = 0; index < entryCount; index += 1) {
      file.live.set(firstSeq - file.baseSeq + index)
      const queueId = file.table!.queueIds[firstSeq - file.baseSeq + index]!
      if (queueId >= this.nextQueueId) this.nextQueueId = queueId + 1
    }
    this.lastSeq = Math.max(this.lastSeq, firstSeq + entryCount - 1)
    if (reader.supersedes !== 0) this.#settle(reader.supersedes)
  }

  #define(payload: Buffer, position: number, end: number): void {
    const definition = decodeDefinition(payload.subarray(position, end))
    if (definition === undefined) throw new RangeError('a definition of an unknown kind')
    this.definitions.apply(definition)
    if (definition.type === 'queue.declared' && definition.id >= this.nextQueueId)
      this.nextQueueId = definition.id + 1
  }

  #settle(seq: number): void {
    const file = this.files.find(seq)
    file?.live.clear(seq - file.baseSeq)
    this.counts.delete(seq)
  }

  #count(seq: number, step: number): void {
    if (this.files.find(seq)?.isLive(seq) !== true) return
    const count = (this.counts.get(seq) ?? 0) + step
    if (count === 0) this.counts.delete(seq)
    else this.counts.set(seq, count)
  }
}
