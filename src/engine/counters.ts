/** Sums since the engine started: plain numbers, added to as things happen, never found by scanning. */
export class QueueCounters {
  /** Messages that publishers put in. */
  published = 0
  delivered = 0
  /** Of those delivered, how many had been delivered before. */
  redelivered = 0
  acked = 0
  /** Handed back to be tried again later. */
  retried = 0
  /** Left for the dead-letter exchange. */
  deadLettered = 0
  /** Outlived their time to live. */
  expired = 0
  /** Left without a trace: overflow or rejection without a dead-letter exchange. */
  dropped = 0
  /** Refused at the door: the queue was full. */
  rejected = 0
  /** Refused at the door: the same de-duplication key within its window. */
  duplicates = 0
}

export class EngineCounters {
  /** Messages handed over by publishers, whatever became of them. */
  published = 0
  /** Messages that no queue took. */
  unroutable = 0
  delivered = 0
  redelivered = 0
  acked = 0
  retried = 0
  deadLettered = 0
  expired = 0
  dropped = 0
  rejected = 0
  duplicates = 0
  /** Entries that were counted as paged and that the pager does not have: a damaged file. */
  lostEntries = 0
}
