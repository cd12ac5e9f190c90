/**
 * Opens what a log folder holds: the newest file with a readable checkpoint, then everything after it, record by record.
 *
 * Nothing that can be read is given up because of what cannot: a damaged file is copied to quarantine/ as it is, a warning
 * says what was lost, and the rest goes on. docs/log-format.md has the rules.
 */
import type { Recovered } from '../model/record.ts'
import { scanBatches } from './batch-scan.ts'
import type { ScanResult, ScannedBatch } from './batch-scan.ts'
import { checkpointFlag, cleanFlag } from './batch.ts'
import type { Disk } from './disk.ts'
import { unlinkIfPresent } from './disk.ts'
import { encodeFileHeader, indexPath, logFolder, logPath } from './file-format.ts'
import type { FileHeader } from './file-format.ts'
import { DamagedIndexError } from './file-reader.ts'
import type { ReaderPool } from './file-reader.ts'
import { quarantine } from './folder.ts'
import type { FolderIdentity } from './folder.ts'
import type { FoundFile } from './found-files.ts'
import { findFiles, firstSeqOf, readCheckpoint, scanOptionsOf, withFile } from './found-files.ts'
import { readIndex, rebuildTable, unreadable, writeIndex } from './index-files.ts'
import type { Slicing } from './index-files.ts'
import { LogFile } from './log-file.ts'
import { LogState } from './log-state.ts'
import { applyPurge } from './purges.ts'
import { countQueues } from './recovered-queues.ts'
import { SliceIndex } from './slice-index.ts'

interface RecoveryContext {
  readonly disk: Disk
  readonly pool: ReaderPool
  readonly identity: FolderIdentity
  readonly maximumBatchBytes: number
  readonly slicing: Slicing
}

export interface RecoveredLog {
  readonly state: LogState
  readonly recovered: Recovered
  readonly lastBatch: number
  /** The newest file is sound and can be written on. */
  readonly canAppend: boolean
  readonly warnings: readonly string[]
}

/** Undefined when there is no log file with anything in it. */
export async function recoverLog(context: RecoveryContext): Promise<RecoveredLog | undefined> {
  const found = await findFiles(context)
  return await new Recovery(context, found).run()
}

class Recovery {
  readonly #context: RecoveryContext
  readonly #disk: Disk
  #found: readonly FoundFile[]
  readonly #state = new LogState()
  readonly #warnings: string[] = []
  /** Files of the checkpoint's table that are not there. */
  readonly #missing: LogFile[] = []
  /** Files before the checkpoint: read through their index. */
  readonly #older: LogFile[] = []
  #hasCheckpoint = false
  #lastBatch = 0
  #isClean = false
  #canAppend = true
  /** Something could not be read. */
  #isDamaged = false

  constructor(context: RecoveryContext, found: readonly FoundFile[]) {
    this.#context = context
    this.#disk = context.disk
    this.#found = found
  }

  async run(): Promise<RecoveredLog | undefined> {
    await this.#dropTornFile()
    if (this.#found.length === 0) return undefined
    const start = await this.#openCheckpoint()
    for (const file of this.#found.slice(start)) await this.#replay(file)
    this.#reportSenseless()
    this.#reportMissing()
    await this.#openIndexes()
    const state = this.#state
    for (const purge of state.purges) {
      for (const file of state.files.list) await this.#withIndex(file, () => applyPurge(file, purge))
    }
    const counted = await countQueues(state, (file, action) => this.#withIndex(file, action))
    if (counted.unknown > 0 && this.#isDamaged) {
      this.#warnings.push(`${counted.unknown} messages of queues whose declaration is lost were dropped`)
    }
    for (const seq of state.counts.keys()) {
      if (state.files.find(seq)?.isLive(seq) !== true) state.counts.delete(seq)
    }
    const definitions = state.definitions.definitions()
    const { lastSeq, nextQueueId } = state
    return {
      state,
      recovered: {
        definitions,
        queues: counted.queues,
        nextSeq: lastSeq + 1,
        nextQueueId,
        unclean: !this.#isClean,
      },
      lastBatch: this.#lastBatch,
      canAppend: this.#canAppend,
      warnings: this.#warnings,
    }
  }

  /** What was passed over is said once: the log goes on in a new file, with a checkpoint that does not have it. */
  #reportSenseless(): void {
    const count = this.#state.senseless
    if (count === 0) return
    this.#warnings.push(
      `records that are whole and make no sense were passed over: ${count}; did another version of Millrace write here?`,
    )
    this.#isDamaged = true
    this.#canAppend = false
  }

  /** A newest file without one whole batch: the rotation to it was not finished, and nothing in it was promised. */
  async #dropTornFile(): Promise<void> {
    const last = this.#found.at(-1)
    if (last === undefined || (await readCheckpoint(this.#disk, last, this.#context)) !== undefined) return
    const scanned = await this.#scan(last, false, () => undefined)
    if (scanned.batchCount > 0 || scanned.damaged.length > 0) return
    await this.#remove(last.number)
    this.#found = this.#found.slice(0, -1)
  }

  async #remove(number: number): Promise<void> {
    await unlinkIfPresent(this.#disk, indexPath(number))
    await unlinkIfPresent(this.#disk, logPath(number))
    await this.#disk.syncDirectory(logFolder)
  }

  /** Applies the newest checkpoint that can be read; the place of its file. */
  async #openCheckpoint(): Promise<number> {
    for (let place = this.#found.length - 1; place >= 0; place -= 1) {
      const payload = await readCheckpoint(this.#disk, this.#found[place]!, this.#context)
      if (payload === undefined) {
        this.#canAppend = false
        this.#isDamaged = true
        continue
      }
      this.#hasCheckpoint = true
      this.#state.applyCheckpoint(payload)
      await this.#openOlder(this.#found.slice(0, place))
      return place
    }
    this.#warnings.push(
      'no checkpoint of the log could be read, so everything in it was: messages that were done may come again',
    )
    return 0
  }

  /** Files before the checkpoint: it says what is live in them. One that it does not name is a leftover. */
  async #openOlder(older: readonly FoundFile[]): Promise<void> {
    const byNumber = new Map(older.map((file) => [file.number, file]))
    for (const entry of this.#state.checkpointFiles) {
      const found = byNumber.get(entry.number)
      const header = { ...headerOf(found, entry.number), baseSeq: entry.baseSeq }
      const file = new LogFile(header, this.#context.pool)
      file.live = entry.live
      file.table = undefined
      file.index = new SliceIndex(Buffer.alloc(0), 0)
      this.#state.files.push(file)
      if (found === undefined) {
        this.#missing.push(file)
        continue
      }
      this.#older.push(file)
      file.sizeBytes = found.size
      file.writtenBytes = found.size
      if (!found.isHeaderSound) await this.#mendHeader(found, header)
      byNumber.delete(entry.number)
    }
    for (const number of byNumber.keys()) await this.#remove(number)
  }

  #reportMissing(): void {
    for (const file of this.#missing) {
      this.#state.files.remove(file)
      if (file.live.count === 0) continue
      this.#isDamaged = true
      this.#warnings.push(`${logPath(file.number)} is missing: ${file.live.count} messages in it are lost`)
    }
  }

  async #replay(found: FoundFile): Promise<void> {
    const isLast = found === this.#found.at(-1)
    let header = found.header
    if (!found.isHeaderSound) {
      const baseSeq =
        this.#state.lastSeq > 0 ? this.#state.lastSeq + 1 : await firstSeqOf(this.#disk, found, this.#context)
      header = { ...header, baseSeq }
      await this.#mendHeader(found, header)
      this.#canAppend = false
    }
    const file = new LogFile(header, this.#context.pool)
    this.#state.files.push(file)
    const state = this.#state
    const scanned = await this.#scan(found, !isLast, (batch) => {
      if ((batch.header.flags & checkpointFlag) !== 0) {
        if (!this.#hasCheckpoint) state.applyDefinitions(batch.payload)
      } else state.applyBatch(file, batch)
    })
    file.sizeBytes = scanned.end
    file.writtenBytes = scanned.end
    this.#lastBatch = Math.max(this.#lastBatch, scanned.lastBatch)
    await this.#judge(found, scanned, isLast)
  }

  async #scan(
    found: FoundFile,
    wasSynced: boolean,
    visit: (batch: ScannedBatch) => void,
  ): Promise<ScanResult> {
    return await withFile(this.#disk, found.number, async (handle) => {
      const { maximumBatchBytes } = this.#context
      return await scanBatches(handle, scanOptionsOf(found, { maximumBatchBytes, wasSynced }), visit)
    })
  }

  /** Quarantines what is damaged, cuts off what was not finished. */
  async #judge(found: FoundFile, scanned: ScanResult, isLast: boolean): Promise<void> {
    if (scanned.damaged.length > 0) {
      this.#isDamaged = true
      this.#canAppend = false
      const copy = await quarantine(this.#disk, logPath(found.number))
      for (const range of scanned.damaged) {
        const what = range.records > 0 ? `at least ${range.records} records` : 'the records'
        this.#warnings.push(
          `${logPath(found.number)} is damaged from byte ${range.from} to ${range.to}: ${what} there could not be read and are lost; the file as it was is in ${copy}`,
        )
      }
    }
    if (!isLast) return
    this.#isClean = scanned.end === scanned.size && (scanned.lastFlags & cleanFlag) !== 0
    const handle = await this.#disk.open(logPath(found.number), 'write')
    try {
      if (scanned.end < scanned.size) await handle.truncate(scanned.end)
      // What a killed process had written and not synced counts from now on, so it must be durable.
      await handle.sync()
    } finally {
      await handle.close()
    }
    if (scanned.end === scanned.size) return
    this.#warnings.push(
      `the last ${scanned.size - scanned.end} bytes of ${logPath(found.number)} were not written completely when the process stopped, and were cut off`,
    )
  }

  async #mendHeader(found: FoundFile, header: FileHeader): Promise<void> {
    this.#isDamaged = true
    const copy = await quarantine(this.#disk, logPath(found.number))
    this.#warnings.push(
      `the header of ${logPath(found.number)} was damaged and has been mended; the file as it was is in ${copy}`,
    )
    const handle = await this.#disk.open(logPath(found.number), 'write')
    try {
      await handle.write([encodeFileHeader(header)], 0)
      await handle.sync()
    } finally {
      await handle.close()
    }
  }

  /** The files before the checkpoint have an index, or get one. */
  async #openIndexes(): Promise<void> {
    for (const file of this.#older) {
      if (file.live.count === 0) continue
      const index = await readIndex(this.#disk, file)
      if (typeof index !== 'string') {
        file.index = index
        continue
      }
      if (index === 'damaged') this.#warnings.push(`${indexPath(file.number)} was damaged and is made anew`)
      await this.#rebuild(file)
    }
  }

  async #withIndex(file: LogFile, action: () => Promise<void>): Promise<void> {
    try {
      await action()
    } catch (error) {
      if (!(error instanceof DamagedIndexError)) throw error
      this.#warnings.push(`${indexPath(file.number)} was damaged and is made anew`)
      await this.#rebuild(file)
      await action()
    }
  }

  /** Damage that takes nothing live was reported when it was found: it lies in a file that was kept. */
  async #rebuild(file: LogFile): Promise<void> {
    const scanned = await rebuildTable(file, this.#context)
    const lost = unreadable(file)
    for (const ordinal of lost) this.#state.drop(file, ordinal)
    // Without damage, what is not there was purged and compacted away; that purge is being read again.
    if (lost.length > 0 && (scanned.damaged.length > 0 || this.#state.purges.length === 0)) {
      this.#isDamaged = true
      const copy = await quarantine(this.#disk, logPath(file.number))
      this.#warnings.push(
        `${logPath(file.number)} is damaged: ${lost.length} messages in it are lost; the file as it was is in ${copy}`,
      )
    }
    await writeIndex(this.#disk, file, this.#context.slicing, () => Promise.resolve())
    file.renewReader(this.#context.pool)
  }
}

function headerOf(found: FoundFile | undefined, number: number): FileHeader {
  return found?.header ?? { version: 0, number, generation: 0, salt: 0, baseSeq: 0, firstBatch: 0 }
}
