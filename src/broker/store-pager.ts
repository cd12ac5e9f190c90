/**
 * The engine's pager over a store. How much of a queue stays in memory depends on how much memory all of them take: backlogs that
 * nobody consumes must not fill it with their heads, for publishers would wait until somebody does.
 */
import { entryOverheadBytes } from '../model/entry.ts'
import type { Entry } from '../model/entry.ts'
import type { LaneRequest, Pager, SeqsRequest } from '../engine/pager.ts'
import type { Store } from '../store/store.ts'
import type { BrokerLimits } from './limits.ts'

/**
 * Share of the memory limit below which a lane may keep the whole of its bytes, and the most that one lane may have of it: a large
 * body that is soon consumed is not read back from the disk (benchmark P15).
 */
const wholeBelow = 1 / 8
/** What a lane may keep above that. */
const usualPart = 1 / 8
/** Shares of the memory limit above which windows are narrow, and above which they hold one message. */
const narrowAbove = 0.5
const leastAbove = 0.75
/** What is left of a narrow window. */
const narrowPart = 1 / 64

interface StorePagerSetup {
  readonly store: Store
  readonly limits: BrokerLimits
  /** What messages take in memory. */
  readonly residentBytes: () => number
  readonly onPaged: (request: LaneRequest | SeqsRequest, entries: readonly Entry[]) => void
  readonly onFailed: (error: Error) => void
}

export class StorePager implements Pager {
  readonly #setup: StorePagerSetup
  /** What the loads under way may bring: queues that ask at the same time must not all be given a whole window. */
  #comingBytes = 0

  constructor(setup: StorePagerSetup) {
    this.#setup = setup
  }

  get windowMessages(): number {
    return this.#narrowed(this.#setup.limits.windowMessages)
  }

  get windowBytes(): number {
    const { windowBytes, memoryBytes } = this.#setup.limits
    const whole = Math.ceil(Math.min(windowBytes, memoryBytes * wholeBelow))
    return this.#share < wholeBelow ? whole : this.#narrowed(Math.ceil(whole * usualPart))
  }

  get delayedWindow(): number {
    return this.#narrowed(this.#setup.limits.delayedWindow)
  }

  loadLane(request: LaneRequest): void {
    const reading = this.#setup.store.readLane(request)
    this.#answer(
      reading.then((entries) => ({ request, entries })),
      request.limit,
      request.limitBytes,
    )
  }

  loadEntries(request: SeqsRequest): void {
    const reading = this.#setup.store.readFirst(request)
    this.#answer(
      reading.then(({ looked, entries }) => ({ request: { ...request, seqs: looked }, entries })),
      request.seqs.length,
      request.limitBytes,
    )
  }

  /** Of the memory limit, in use or asked for. */
  get #share(): number {
    const { limits, residentBytes } = this.#setup
    return (residentBytes() + this.#comingBytes) / limits.memoryBytes
  }

  #narrowed(window: number): number {
    const share = this.#share
    if (share < narrowAbove) return window
    return share < leastAbove ? Math.max(1, Math.floor(window * narrowPart)) : 1
  }

  /**
   * @param most entries that it may bring
   * @param mostBytes of bodies and properties, about
   */
  #answer(
    reading: Promise<{ request: LaneRequest | SeqsRequest; entries: readonly Entry[] }>,
    most: number,
    mostBytes: number,
  ): void {
    const { onPaged, onFailed } = this.#setup
    const bytes = mostBytes + most * entryOverheadBytes
    this.#comingBytes += bytes
    reading.then(
      ({ request, entries }) => {
        this.#comingBytes -= bytes
        onPaged(request, entries)
      },
      (error: unknown) => onFailed(error instanceof Error ? error : new Error(String(error))),
    )
  }
}
