/** Purges that are on record and whose entries are still being marked as gone, file by file, in the background. */
import type { Purge } from '../model/record.ts'
import { delayedSlot } from './entry-table.ts'
import { visitQueueRows } from './file-rows.ts'
import type { LogFile } from './log-file.ts'

export class Purges {
  readonly #outstanding: Purge[] = []

  get list(): readonly Purge[] {
    return this.#outstanding
  }

  add(purge: Purge): void {
    this.#outstanding.push(purge)
  }

  done(purge: Purge): void {
    const place = this.#outstanding.indexOf(purge)
    if (place >= 0) this.#outstanding.splice(place, 1)
  }

  /** Whether an outstanding purge has taken the entry. */
  covers(queueId: number, seq: number, isDelayed: boolean): boolean {
    for (const purge of this.#outstanding) {
      if (purge.queueId === queueId && takes(purge, seq, isDelayed)) return true
    }
    return false
  }
}

function takes(purge: Purge, seq: number, isDelayed: boolean): boolean {
  if (seq > purge.throughSeq) return false
  if (purge.state !== 'all' && isDelayed !== (purge.state === 'delayed')) return false
  return !contains(purge.survivors, seq)
}

function contains(ascending: readonly number[], seq: number): boolean {
  let low = 0
  let high = ascending.length
  while (low < high) {
    const middle = (low + high) >>> 1
    if (ascending[middle]! < seq) low = middle + 1
    else high = middle
  }
  return ascending[low] === seq
}

/** Marks what the purge takes from one file as gone. */
export async function applyPurge(file: LogFile, purge: Purge): Promise<void> {
  if (file.live.count === 0 || file.baseSeq > purge.throughSeq) return
  await visitQueueRows(file, purge.queueId, (ordinal, slot) => {
    if (takes(purge, file.baseSeq + ordinal, slot === delayedSlot)) file.live.clear(ordinal)
  })
}
