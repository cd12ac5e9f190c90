/**
 * The pager: where a queue's middle lives when it is too long for memory. The engine counts what is paged and asks for
 * it in the order of the queue; answers come later through `Engine.paged`, never from inside the call.
 */
import type { Lane, QueueId } from '../model/entry.ts'

export interface Pager {
  /** Entries of one lane kept in memory. */
  readonly windowMessages: number
  /** Bytes of bodies and properties of one lane kept in memory; at least one entry is. */
  readonly windowBytes: number
  /** Delayed entries of one queue kept in memory. */
  readonly delayedWindow: number
  /** Asks for the live entries of a lane behind `afterSeq`, ascending. At most one outstanding per lane. */
  loadLane(request: LaneRequest): void
  /**
   * Asks for these delayed entries. The answer's request names those that were looked for, from the first on; what it names
   * and does not bring is gone. At most one outstanding per queue.
   */
  loadEntries(request: SeqsRequest): void
}

export interface LaneRequest {
  readonly type: 'lane'
  readonly queueId: QueueId
  readonly lane: Lane
  readonly afterSeq: number
  /** Entries at most, from 1. */
  readonly limit: number
  /** Bytes of records at most, but always one entry where there is one. */
  readonly limitBytes: number
  /** Tells an answer that came too late (the queue was purged meanwhile) from the one waited for. */
  readonly generation: number
}

export interface SeqsRequest {
  readonly type: 'seqs'
  readonly queueId: QueueId
  /** Those due first, first. */
  readonly seqs: readonly number[]
  /** Bytes of records at most, but always one entry where there is one. */
  readonly limitBytes: number
  readonly generation: number
}
