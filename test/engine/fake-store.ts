/** A journal and pager in memory that does what a store would: keeps what it is told, and reads it back later. */
import assert from 'node:assert/strict'
import type { Engine } from '../../src/engine/engine.ts'
import type { LaneRequest, Pager, SeqsRequest } from '../../src/engine/pager.ts'
import { Entry } from '../../src/model/entry.ts'
import type { Definition, Journal, Purge, Recovered, RecoveredQueue } from '../../src/model/record.ts'

interface Kept {
  readonly entry: Entry
  /** The delivery count at the time it was published. */
  readonly publishedCount: number
  /** It took another entry's place. */
  readonly supersedes: boolean
  deliveries: number
}

interface Pending {
  readonly request: LaneRequest | SeqsRequest
  /** Read when it was asked for, or when it is answered. */
  readonly read: Read | undefined
}

interface Read {
  /** With the entries that were looked for. */
  readonly request: LaneRequest | SeqsRequest
  readonly entries: readonly Entry[]
}

export class FakeStore implements Journal, Pager {
  readonly windowMessages: number
  readonly windowBytes: number
  readonly delayedWindow: number
  readonly kept = new Map<number, Kept>()
  readonly definitions: Definition[] = []
  readonly pending: Pending[] = []
  #lastSeq = 0
  #recovered = false
  /** Whether a request is read when it is made. */
  readEarly = false

  constructor(window: { messages: number; bytes: number; delayed: number }) {
    this.windowMessages = window.messages
    this.windowBytes = window.bytes
    this.delayedWindow = window.delayed
  }

  published(entries: readonly Entry[], supersedes: number): void {
    for (const entry of entries) {
      assert.ok(entry.seq > this.#lastSeq, 'entries are put on record in the order of their seq')
      this.#lastSeq = entry.seq
      this.kept.set(entry.seq, {
        entry: copy(entry, entry.deliveryCount, false),
        publishedCount: entry.deliveryCount,
        supersedes: supersedes !== 0,
        deliveries: 0,
      })
    }
    if (supersedes !== 0) this.settled(supersedes)
  }

  settled(seq: number): void {
    assert.ok(this.kept.delete(seq), `entry ${seq} is settled once`)
  }

  delivered(seq: number): void {
    const kept = this.kept.get(seq)
    assert.ok(kept !== undefined, `entry ${seq} is delivered while it is live`)
    kept.deliveries += 1
  }

  released(seq: number): void {
    const kept = this.kept.get(seq)
    assert.ok(kept !== undefined && kept.deliveries > 0, `entry ${seq} is released after a delivery`)
    kept.deliveries -= 1
  }

  purged(purge: Purge): void {
    const survivors = new Set(purge.survivors)
    for (const [seq, { entry }] of this.kept) {
      if (entry.queueId !== purge.queueId || seq > purge.throughSeq || survivors.has(seq)) continue
      const state = entry.dueAtMs > 0 ? 'delayed' : 'ready'
      if (purge.state === 'all' || purge.state === state) this.kept.delete(seq)
    }
  }

  defined(definition: Definition): void {
    this.definitions.push(definition)
    if (definition.type !== 'queue.deleted') return
    for (const [seq, { entry }] of this.kept) if (entry.queueId === definition.id) this.kept.delete(seq)
  }

  loadLane(request: LaneRequest): void {
    const busy = this.pending.some(
      ({ request: other }) =>
        other.type === 'lane' && other.queueId === request.queueId && other.lane === request.lane,
    )
    assert.ok(!busy, 'one request at a time is outstanding for a lane')
    this.pending.push({ request, read: this.readEarly ? this.#read(request) : undefined })
  }

  loadEntries(request: SeqsRequest): void {
    this.pending.push({ request, read: this.readEarly ? this.#read(request) : undefined })
  }

  /** Answers the oldest request; false if there is none. */
  answer(engine: Engine): boolean {
    const pending = this.pending.shift()
    if (pending === undefined) return false
    const { request, entries } = pending.read ?? this.#read(pending.request)
    engine.paged(request, entries)
    return true
  }

  /** What a store finds after a crash. The next engine goes on with this store. */
  recover(definitions: readonly Definition[], nextSeq: number): Recovered {
    this.pending.length = 0
    this.#recovered = true
    const queues = new Map<number, Kept[]>()
    for (const [seq, kept] of this.kept) {
      if (kept.entry.transient) this.kept.delete(seq)
      else queues.set(kept.entry.queueId, [...(queues.get(kept.entry.queueId) ?? []), kept])
    }
    return {
      definitions,
      queues: [...queues].map(([queueId, all]) => recoverQueue(queueId, all)),
      nextSeq,
      nextQueueId: 1,
      unclean: true,
    }
  }

  countOf(seq: number): number {
    const kept = this.kept.get(seq)
    assert.ok(kept !== undefined, `entry ${seq} is live`)
    return kept.publishedCount + kept.deliveries
  }

  #read(request: LaneRequest | SeqsRequest): Read {
    const found: Entry[] = []
    let bytes = 0
    if (request.type === 'seqs') {
      const seqs: number[] = []
      for (const seq of request.seqs) {
        const kept = this.kept.get(seq)
        bytes += kept?.entry.contentBytes ?? 0
        if (found.length > 0 && bytes > request.limitBytes) break
        seqs.push(seq)
        if (kept !== undefined) found.push(copy(kept.entry, this.countOf(seq), this.#recovered))
      }
      return { request: { ...request, seqs }, entries: found }
    }
    for (const [seq, { entry }] of [...this.kept].sort((a, b) => a[0] - b[0])) {
      if (entry.queueId !== request.queueId || entry.lane !== request.lane || entry.dueAtMs > 0) continue
      if (seq <= request.afterSeq || found.length >= request.limit) continue
      if (bytes > 0 && bytes + entry.bodyBytes > request.limitBytes) break
      bytes += entry.bodyBytes
      found.push(copy(entry, this.countOf(seq), this.#recovered))
    }
    return { request, entries: found }
  }
}

function recoverQueue(queueId: number, all: readonly Kept[]): RecoveredQueue {
  const lanes = new Map<number, { lane: number; count: number; bodyBytes: number }>()
  const delayed = all.filter(({ entry }) => entry.dueAtMs > 0)
  for (const { entry } of all) {
    if (entry.dueAtMs > 0) continue
    const lane = lanes.get(entry.lane) ?? { lane: entry.lane, count: 0, bodyBytes: 0 }
    lane.count += 1
    lane.bodyBytes += entry.bodyBytes
    lanes.set(entry.lane, lane)
  }
  return {
    queueId,
    lanes: [...lanes.values()],
    delayed: {
      seqs: Float64Array.from(delayed, ({ entry }) => entry.seq),
      dueAtMs: Float64Array.from(delayed, ({ entry }) => entry.dueAtMs),
      bodyBytes: delayed.reduce((sum, { entry }) => sum + entry.bodyBytes, 0),
    },
    heldKeys: delayed
      .filter(({ entry, supersedes }) => entry.key !== '' && supersedes)
      .map(({ entry }) => ({ seq: entry.seq, key: entry.key })),
  }
}

function copy(entry: Entry, deliveryCount: number, recovered: boolean): Entry {
  return new Entry({ ...entry, deliveryCount, recovered })
}
