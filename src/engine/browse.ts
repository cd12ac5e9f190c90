/**
 * Browsing: looks at entries in memory without touching them. Where the rest of a lane is on disk, the page says from
 * where on; the broker reads that from its store and goes on with the next lane.
 */
import type { Entry } from '../model/entry.ts'
import type { Kernel } from './kernel.ts'
import { bySeq } from './lane.ts'
import type { Queue } from './queue.ts'

/** A place among the ready entries: lanes descend, seqs ascend within one. */
export interface ReadyPosition {
  readonly lane: number
  readonly afterSeq: number
}

export interface ReadyPage {
  readonly entries: readonly Entry[]
  /** Where the next page begins, if this one is full. */
  readonly next: ReadyPosition | undefined
  /** What follows the entries is on disk: this lane behind this seq, then the lanes below. */
  readonly paged: ReadyPosition | undefined
}

/** Ready entries in the order of their delivery. @param from undefined for the head */
export function browseReady(queue: Queue, from: ReadyPosition | undefined, limit: number): ReadyPage {
  const entries: Entry[] = []
  for (const lane of queue.lanes.descending()) {
    if (from !== undefined && lane.level > from.lane) continue
    const afterSeq = from !== undefined && lane.level === from.lane ? from.afterSeq : 0
    const found: Entry[] = []
    // One more than fits, to know whether there is a next page.
    lane.collect(afterSeq, limit - entries.length + 1, found)
    queue.keys?.forEachParked((entry) => {
      if (entry.lane === lane.level && entry.seq > afterSeq) found.push(entry)
    })
    found.sort(bySeq)
    for (const entry of found) {
      if (entries.length === limit) {
        const last = entries.at(-1)
        const position = last?.lane === lane.level ? last.seq : afterSeq
        return { entries, next: { lane: lane.level, afterSeq: position }, paged: undefined }
      }
      entries.push(entry)
    }
    if (lane.pagedMessages > 0) {
      const paged = { lane: lane.level, afterSeq: Math.max(afterSeq, lane.frontier) }
      return { entries, next: undefined, paged }
    }
  }
  return { entries, next: undefined, paged: undefined }
}

/** Delayed entries in memory with a higher seq, ascending; those paged (`queue.delayed.pagedLength`) are not among them. */
export function browseDelayed(queue: Queue, afterSeq: number, limit: number): readonly Entry[] {
  const found: Entry[] = []
  queue.delayed.forEach((entry) => {
    if (entry.seq > afterSeq) found.push(entry)
  })
  return found.sort(bySeq).slice(0, limit)
}

/** Entries in consumers' hands with a higher seq, ascending. */
export function browseUnacked(
  kernel: Kernel,
  queue: Queue,
  afterSeq: number,
  limit: number,
): readonly Entry[] {
  const found: Entry[] = []
  if (queue.unackedMessages === 0) return found
  for (const session of kernel.sessions) {
    session.forEachOutstanding((delivery) => {
      if (delivery.queue === queue && delivery.entry.seq > afterSeq) found.push(delivery.entry)
    })
  }
  return found.sort(bySeq).slice(0, limit)
}
