/** What the writing end of the log is made of, and whom it tells. */
import type { Disk } from './disk.ts'
import type { ReaderPool } from './file-reader.ts'
import type { FolderIdentity } from './folder.ts'
import type { StoreLimits } from './limits.ts'
import type { LogFile } from './log-file.ts'
import type { SyncPolicy, WriterEvents } from './log-writer.ts'
import type { RecoveredLog } from './recovery.ts'
import type { Scheduler } from './scheduler.ts'

export interface AppendLogOptions {
  readonly disk: Disk
  readonly pool: ReaderPool
  readonly identity: FolderIdentity
  readonly limits: StoreLimits
  readonly scheduler: Scheduler
  readonly policy: SyncPolicy
  /** What was there; none in a new folder. */
  readonly recovered: RecoveredLog | undefined
  /** The newest file, open for writing if it can be written on. */
  readonly active: LogFile
  readonly events: AppendLogEvents
}

interface AppendLogEvents {
  /** Batches up to this one are stored. */
  done(through: number): void
  /** There may be background work: a purge is on record, a file was sealed, or nothing in it is live any more. */
  maintain(): void
  readonly state: WriterEvents['state']
  warn(text: string): void
}
