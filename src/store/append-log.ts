/**
 * The writing end of the log: facts gather in a batch, the batch goes to the writer at the end of the turn, and when the file
 * is full the next one opens with a checkpoint of that very moment.
 *
 * ```text
 * gathering batch --end of turn, writer idle--> LogWriter --> done: synced, the next batch is closed
 *       |  eagerBatchBytes gathered: at once, also while the one before is being synced
 *       '--file full, spare file there: checkpoint--> file, LogFile pushed, tables and live bits go on there
 * ```
 */
import type { Entry } from '../model/entry.ts'
import type { Definition, Purge, Snapshot } from '../model/record.ts'
import { assert } from '../std/assert.ts'
import type { AppendLogOptions } from './append-log-options.ts'
import { Batch, cleanFlag } from './batch.ts'
import { encodeLists } from './batch-lists.ts'
import type { EncodedDefinitions } from './checkpoint.ts'
import { encodeCheckpoint, encodeDefinitions } from './checkpoint.ts'
import { ChunkPool } from './chunk-pool.ts'
import { encodeDefinition } from './definition-codec.ts'
import { delayedSlot, rowFlag } from './entry-table.ts'
import { encodeFileHeader, fileHeaderBytes, formatVersion } from './file-format.ts'
import { saltOf } from './folder.ts'
import type { StoreLimits } from './limits.ts'
import { LogFile, LogFiles } from './log-file.ts'
import { LogWriter } from './log-writer.ts'
import { Purges } from './purges.ts'
import { encodeBytes, encodePublished, encodePurge, recordType } from './record-codec.ts'
import { SpareFile, outgrown } from './spare-file.ts'

export class AppendLog {
  readonly files: LogFiles
  /** How far the delivery count of a live entry is from what its record says. */
  readonly counts: Map<number, number>
  readonly purges = new Purges()
  readonly writer: LogWriter
  readonly chunks: ChunkPool
  source: { snapshot(): Snapshot } | undefined = undefined
  lastSeq: number
  synced: number
  /** The number of the newest file whose checkpoint is synced. */
  newestCheckpoint: number
  readonly #options: AppendLogOptions
  readonly #limits: StoreLimits
  #definitions: EncodedDefinitions | undefined
  #nextQueueId: number
  #active: LogFile
  #gathering: Batch
  #lastClosed: Batch | undefined
  #lastNumber: number
  readonly #spare: SpareFile
  #closing = false
  #checkpointWanted = false
  #turnScheduled = false
  #soonScheduled = false
  readonly #onTurnEnd = (): void => {
    this.#turnScheduled = false
    const { length } = this.#gathering
    if (this.writer.isIdle || length >= this.#limits.batchBytes || this.#isEager) this.closeBatch()
  }
  /** A write has ended, or the call that made the batch large. */
  readonly #onSoon = (): void => {
    this.#soonScheduled = false
    if (this.#isEager) this.closeBatch()
  }

  constructor(options: AppendLogOptions) {
    const { limits, recovered } = options
    this.#options = options
    this.#limits = limits
    this.files = recovered?.state.files ?? new LogFiles()
    this.counts = recovered?.state.counts ?? new Map<number, number>()
    this.#spare = new SpareFile(options.disk, {
      made: () => {
        if (this.#checkpointWanted) this.#submit()
      },
      warn: (text) => options.events.warn(text),
    })
    this.chunks = new ChunkPool(limits.chunkBytes, limits.pooledChunks)
    this.lastSeq = recovered?.state.lastSeq ?? 0
    this.#nextQueueId = recovered?.state.nextQueueId ?? 1
    this.#definitions = encodeDefinitions(recovered?.recovered.definitions ?? [])
    this.#active = options.active
    this.#lastNumber = recovered?.lastBatch ?? 0
    this.synced = this.#lastNumber
    this.newestCheckpoint = this.#active.number
    this.writer = this.#newWriter()
    this.#gathering = this.#newBatch()
  }

  /** Opens a new file where the newest cannot be written on. */
  async start(): Promise<void> {
    if (this.#options.recovered?.canAppend !== true || this.#active.sizeBytes >= this.#limits.fileBytes) {
      await this.#spare.make(this.#active.number + 1)
      this.#gathering.release()
      this.#rotate()
      this.#gathering = this.#newBatch()
      await this.writer.drain()
    }
    // Put on record, so that the indexes may forget what recovery has dropped.
    for (const seq of this.#options.recovered?.state.dropped.values() ?? []) this.#gathering.settled.push(seq)
    this.closeBatch()
    this.#spare.makeLater(this.#active.number + 1)
  }

  published(entries: readonly Entry[], supersedes: number): void {
    const batch = this.#gathering
    const file = this.#active
    const start = batch.length
    encodePublished(batch, entries, supersedes)
    const offset = batch.position + start
    const length = batch.length - start
    const table = file.table!
    for (let index = 0; index < entries.length; index += 1) {
      const entry = entries[index]!
      const { seq, dueAtMs, queueId } = entry
      assert(seq >= file.baseSeq, 'entries are published in the order of their numbers')
      const isDelayed = dueAtMs > 0
      const held = isDelayed && supersedes !== 0 && entry.key !== '' ? rowFlag.heldKey : 0
      const flags = (entry.transient ? rowFlag.transient : 0) | held
      const slot = isDelayed ? delayedSlot : entry.lane
      table.add(seq, queueId, slot, flags, offset, length, entry.bodyBytes, dueAtMs)
      file.live.set(seq - file.baseSeq)
      if (seq > this.lastSeq) this.lastSeq = seq
      if (queueId >= this.#nextQueueId) this.#nextQueueId = queueId + 1
    }
    if (supersedes !== 0) this.#leave(supersedes)
    this.#touched()
  }

  settled(seq: number): void {
    if (!this.#leave(seq)) return
    this.#gathering.settled.push(seq)
    this.#touched()
  }

  delivered(seq: number): void {
    this.counts.set(seq, (this.counts.get(seq) ?? 0) + 1)
    this.#gathering.delivered.push(seq)
    this.#touched()
  }

  released(seq: number): void {
    const count = (this.counts.get(seq) ?? 0) - 1
    if (count === 0) this.counts.delete(seq)
    else this.counts.set(seq, count)
    this.#gathering.released.push(seq)
    this.#touched()
  }

  purged(purge: Purge): void {
    const throughSeq = Math.min(purge.throughSeq, this.lastSeq)
    const kept = { ...purge, throughSeq, survivors: [...purge.survivors] }
    encodePurge(this.#gathering, kept)
    this.#beginPurge(kept)
  }

  defined(definition: Definition): void {
    encodeBytes(this.#gathering, recordType.defined, encodeDefinition(definition))
    this.#definitions = undefined
    if (definition.type === 'queue.declared' && definition.id >= this.#nextQueueId) {
      this.#nextQueueId = definition.id + 1
    }
    if (definition.type === 'queue.deleted') {
      this.#beginPurge({ queueId: definition.id, throughSeq: this.lastSeq, state: 'all', survivors: [] })
    }
    this.#touched()
  }

  get appended(): number {
    return this.#gathering.isEmpty ? this.#gathering.number - 1 : this.#gathering.number
  }

  get pendingBytes(): number {
    return this.writer.pendingBytes + (this.#gathering.isEmpty ? 0 : this.#gathering.length)
  }

  whenSynced(): Promise<void> {
    const { error } = this.writer
    if (error !== undefined) return Promise.reject(error)
    const batch = this.#gathering
    if (!batch.isEmpty) {
      const stored = batch.whenDone()
      // Who asks has finished what belongs together. Else senders that wake at once would share one batch again and again,
      // with the disk idle while they encode and they idle while it writes.
      if (this.#isEager) this.#submit()
      return stored
    }
    const last = this.#lastClosed
    return last === undefined || last.number <= this.synced ? done : last.whenDone()
  }

  /** Resolves when everything appended so far is synced, whatever the policy. */
  async durable(): Promise<void> {
    const through = this.appended
    await this.whenSynced()
    if (this.writer.synced < through) await this.writer.syncAll()
  }

  barrier(): void {
    this.closeBatch()
    this.writer.barrier()
  }

  /** Closes the gathering batch, if anything is in it, and opens the next one. */
  closeBatch(): void {
    if (!this.#gathering.isEmpty) this.#submit()
  }

  /** Opens the next file though this one is not full: what a checkpoint frees is worth more. */
  checkpointEarly(): void {
    if (this.#checkpointWanted || this.#closing || this.newestCheckpoint !== this.#active.number) return
    this.#checkpointWanted = true
    this.#submit()
  }

  /** Nobody will be told any more that what gathers is stored. */
  fail(error: Error | undefined): void {
    this.#gathering.settleWaiters(error)
  }

  /** Resolves when everything is written, and the next file made. */
  async whenQuiet(): Promise<void> {
    await this.writer.drain()
    await this.#spare.whenMade()
  }

  /** From now on a full disk is a failure, not something to wait for. */
  beginClosing(): void {
    this.#closing = true
    this.#spare.stop()
    this.writer.beginClosing()
  }

  /** Stores everything, with the mark of a close in good order. */
  async close(): Promise<void> {
    try {
      await this.#spare.whenMade()
      do {
        this.closeBatch()
        await this.writer.drain()
        await this.writer.syncAll()
      } while (!this.#gathering.isEmpty)
      // It says of all before it that it was synced, and has nothing of its own that could be lost.
      this.#gathering.flags |= cleanFlag
      this.#submit()
      await this.writer.drain()
      await this.writer.syncAll()
    } finally {
      this.writer.stop()
      await this.writer.whenStill()
      await this.#spare.close()
    }
  }

  invariants(): void {
    this.writer.invariants()
    for (const file of this.files.list) file.invariants()
    assert(this.files.active === this.#active, 'the last file is the one being written')
    assert(this.#gathering.position === this.#active.sizeBytes, 'a batch gathers where the file ends')
    assert(this.#active.table !== undefined, 'the file being written has a table')
    assert(this.synced < this.#gathering.number, 'what gathers is not stored yet')
  }

  #newWriter(): LogWriter {
    return new LogWriter({
      lastBatch: this.#lastNumber,
      policy: this.#options.policy,
      scheduler: this.#options.scheduler,
      fullRetryMs: this.#limits.fullRetryMs,
      events: {
        done: (through) => {
          this.synced = through
          this.#options.events.done(through)
        },
        checkpointed: (file) => this.#checkpointed(file),
        written: this.#onSoon,
        idle: () => this.closeBatch(),
        state: this.#options.events.state,
      },
    })
  }

  #newBatch(): Batch {
    return new Batch({ number: this.#lastNumber + 1, position: this.#active.sizeBytes }, this.chunks)
  }

  #leave(seq: number): boolean {
    const active = this.#active
    const file = seq >= active.baseSeq ? active : this.files.find(seq)
    assert(seq <= this.lastSeq, 'only what was published can leave')
    if (this.counts.size > 0) this.counts.delete(seq)
    // Not live any more: its queue was purged or deleted, and it was in somebody's hands.
    if (file === undefined || !file.live.clear(seq - file.baseSeq)) return false
    if (file.live.count === 0 && file !== active) this.#options.events.maintain()
    return true
  }

  #beginPurge(purge: Purge): void {
    this.purges.add(purge)
    this.#options.events.maintain()
    this.#touched()
  }

  #touched(): void {
    if (!this.#turnScheduled) {
      this.#turnScheduled = true
      this.#options.scheduler.endOfTurn(this.#onTurnEnd)
    }
    if (!this.#soonScheduled && this.#isEager) {
      this.#soonScheduled = true
      this.#options.scheduler.soon(this.#onSoon)
    }
  }

  /** It is worth a write of its own, while what is before it is being synced or nothing is. */
  get #isEager(): boolean {
    return this.#gathering.length >= this.#limits.eagerBatchBytes && this.writer.canWrite
  }

  #submit(): void {
    const batch = this.#gathering
    const file = this.#active
    encodeLists(batch, this.files)
    file.sizeBytes = batch.position + batch.length
    this.#lastClosed = batch
    this.#lastNumber = batch.number
    this.writer.submit(batch, file)
    const isDue = file.sizeBytes >= this.#limits.fileBytes || this.#checkpointWanted
    const canRotate = this.newestCheckpoint === file.number && this.writer.error === undefined
    // Nothing follows the mark of a close in good order.
    if (isDue && canRotate && (batch.flags & cleanFlag) === 0) {
      if (this.#spare.isReady) this.#rotate()
      // It could not be made: try again with each batch, as long as the index can point at what this one holds.
      else if (file.sizeBytes < this.#limits.maximumFileBytes || this.#spare.isMaking)
        this.#spare.makeLater(file.number + 1)
      else this.writer.fail(outgrown(file.number))
    }
    this.#gathering = this.#newBatch()
  }

  /** Opens the next file with a checkpoint of this very moment. */
  #rotate(): void {
    const spare = this.#spare.take()
    this.#checkpointWanted = false
    const number = this.#lastNumber + 1
    const header = {
      version: formatVersion,
      number: spare.number,
      generation: 0,
      salt: saltOf(this.#options.identity, spare.number),
      baseSeq: this.lastSeq + 1,
      firstBatch: number,
    }
    const definitions = this.#encodedDefinitions()
    const file = new LogFile(header, this.#options.pool, spare.handle)
    const batch = new Batch({ number, position: fileHeaderBytes }, this.chunks)
    encodeCheckpoint(batch, {
      counters: { nextSeq: header.baseSeq, nextQueueId: this.#nextQueueId },
      definitions,
      files: this.files.list,
      counts: this.counts,
      purges: this.purges.list,
    })
    for (const older of this.files.list) {
      if (older.live.count === 0 && older.deadSince === 0) older.deadSince = spare.number
    }
    this.files.push(file)
    this.#active = file
    file.sizeBytes = batch.position + batch.length
    this.#lastClosed = batch
    this.#lastNumber = number
    this.writer.submit(batch, file, encodeFileHeader(header))
  }

  /** The engine is asked only when something was declared since the last time. */
  #encodedDefinitions(): EncodedDefinitions {
    if (this.#definitions !== undefined) return this.#definitions
    assert(this.source !== undefined, 'a store that is written to is attached')
    const snapshot = this.source.snapshot()
    this.#nextQueueId = Math.max(this.#nextQueueId, snapshot.nextQueueId)
    this.#definitions = encodeDefinitions(snapshot.definitions)
    return this.#definitions
  }

  #checkpointed(file: LogFile): void {
    this.newestCheckpoint = file.number
    for (const older of this.files.list) {
      if (older === file || older.handle === undefined) continue
      older.handle = undefined
      older.reader.unpin()
    }
    this.#spare.makeLater(this.#active.number + 1)
    this.#options.events.maintain()
  }
}

const done = Promise.resolve()
