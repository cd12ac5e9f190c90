/** How a store is opened, and how it is read. */
import type { Lane, QueueId } from '../model/entry.ts'
import type { StoreLimits } from './limits.ts'
import type { SyncPolicy } from './log-writer.ts'
import type { Scheduler } from './scheduler.ts'

export interface StoreOptions {
  /**
   * When a fact counts as stored. `group` (default): once synced. An interval: once written, which outlives the process,
   * and synced every so many ms, which is what a power cut can cost. `os`: once written.
   */
  readonly sync?: SyncPolicy
  readonly limits?: Partial<StoreLimits>
  readonly scheduler?: Scheduler
  /** The id of a new folder, lower-case letters, digits and hyphens; random if absent. */
  readonly folderId?: string
}

export interface LaneReading {
  readonly queueId: QueueId
  readonly lane: Lane
  /** Entries behind this sequence number. */
  readonly afterSeq: number
  readonly limit: number
  /** Bytes of records at most, but always one entry where there is one. */
  readonly limitBytes: number
}

export interface QueueReading {
  readonly queueId: QueueId
  readonly state: 'ready' | 'delayed'
  /** For `ready`; 0 if absent. */
  readonly lane?: Lane
  readonly afterSeq: number
  readonly limit: number
}
