/** Every limit of the store, with its default. */
export interface StoreLimits {
  /** A log file is full and the next one opened when it has this many bytes. */
  readonly fileBytes: number
  /** A log file that has outgrown this, because the next one cannot be made, is the end: its indexes point 4 GiB far. */
  readonly maximumFileBytes: number
  /** While a batch is being written, the next is closed at the end of a turn when it has this many bytes. */
  readonly batchBytes: number
  /** So many bytes are written as soon as nothing else is being written: before the end of the turn, and during a sync. */
  readonly eagerBatchBytes: number
  /** The size of the buffers in which records gather; a larger record gets one of its own. */
  readonly chunkBytes: number
  /** How many of these buffers are kept for the next batches. */
  readonly pooledChunks: number
  /** How often a write is tried again while the disk is full. */
  readonly fullRetryMs: number
  /** Free bytes below which the store says that the disk is full before it is. */
  readonly lowFreeBytes: number
  /** How often free space is looked at. */
  readonly freeCheckMs: number
  /** A sealed file is rewritten when the share of its bytes that is live falls below this. */
  readonly compactBelow: number
  /** How far a file's live count must fall, as a share of its entries, before its live bytes are counted again. */
  readonly auditStep: number
  /**
   * A file is rewritten when its live count has not fallen by that step within so long, to twice that, in ms: one that is being
   * emptied is gone soon, and what is left of it need not be written again. 0: at once.
   */
  readonly compactRestMs: number
  /** With so many files of which nothing is live any more, a checkpoint is taken early, so that they can be deleted. */
  readonly deadFiles: number
  /** Bytes read from a log file at once. */
  readonly readBytes: number
  /** Two records that are to be read and lie no further apart are read at once. */
  readonly readGapBytes: number
  /** Reads under way at once for one request. */
  readonly parallelReads: number
  /** Body bytes of one page of a listing. */
  readonly browseBytes: number
  /** Bytes of index rows kept in memory. */
  readonly indexCacheBytes: number
  /** Sealed log files kept open for reading. */
  readonly openFiles: number
  /** Entries that background work handles before it lets others run. */
  readonly sliceEntries: number
  /** The largest batch that recovery believes in; a header that claims more is damaged. */
  readonly maximumBatchBytes: number
}

export const defaultStoreLimits: StoreLimits = {
  fileBytes: 64 * 1024 * 1024,
  maximumFileBytes: 1024 * 1024 * 1024,
  batchBytes: 4 * 1024 * 1024,
  eagerBatchBytes: 512 * 1024,
  chunkBytes: 1024 * 1024,
  pooledChunks: 16,
  fullRetryMs: 500,
  lowFreeBytes: 50 * 1024 * 1024,
  freeCheckMs: 1000,
  compactBelow: 0.3,
  auditStep: 0.1,
  compactRestMs: 500,
  deadFiles: 4,
  readBytes: 1024 * 1024,
  readGapBytes: 16 * 1024,
  parallelReads: 4,
  browseBytes: 4 * 1024 * 1024,
  indexCacheBytes: 32 * 1024 * 1024,
  openFiles: 64,
  sliceEntries: 16384,
  maximumBatchBytes: 2 * 1024 * 1024 * 1024,
}
