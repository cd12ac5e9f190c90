/**
 * A store on a simulated disk, driven at random, and an oracle of what it was told and what it has confirmed: after a crash
 * nothing confirmed may be missing, and nothing may be there that was never published.
 */
import assert from 'node:assert/strict'
import { Entry } from '../../src/model/entry.ts'
import type { EntryFields } from '../../src/model/entry.ts'
import { Message } from '../../src/model/message.ts'
import type { Definition, Recovered } from '../../src/model/record.ts'
import { Store } from '../../src/store/store.ts'
import type { StoreOptions } from '../../src/store/store.ts'
import type { StoreLimits } from '../../src/store/limits.ts'
import type { SimulatedDisk } from '../sim/disk.ts'
import type { Random } from '../std/random.ts'

/** Everything small, so that a short run sees files filled, sealed, rewritten and deleted. */
export const tinyLimits: Partial<StoreLimits> = {
  fileBytes: 3000,
  batchBytes: 1500,
  eagerBatchBytes: 200,
  chunkBytes: 512,
  pooledChunks: 4,
  fullRetryMs: 1,
  lowFreeBytes: 0,
  freeCheckMs: 1_000_000,
  readBytes: 700,
  readGapBytes: 64,
  indexCacheBytes: 2000,
  openFiles: 2,
  compactRestMs: 0,
  sliceEntries: 7,
}

export const noProperties = Buffer.from([0, 0])

export function entryOf(
  fields: Partial<EntryFields> & { seq: number },
  body: string | Uint8Array = `body ${fields.seq}`,
): Entry {
  return new Entry({
    queueId: 1,
    lane: 0,
    message: fields.message ?? Message.ofBytes('exchange', 'routing.key', noProperties, body),
    bodyBytes: typeof body === 'string' ? Buffer.byteLength(body) : body.length,
    publishedAtMs: 1_700_000_000_000,
    expiresAtMs: Infinity,
    dueAtMs: 0,
    key: '',
    transient: false,
    deliveryCount: 0,
    recovered: false,
    ...fields,
  })
}

export function queueDeclared(id: number): Definition {
  return { type: 'queue.declared', id, vhost: '/', name: `queue ${id}`, autoDelete: false, arguments: {} }
}

export const queueIds = [1, 2, 3]
/** Never declared: what is in it does not outlive the process. */
export const transientQueueId = 4
export const definitions: readonly Definition[] = [
  { type: 'vhost.declared', vhost: '/' },
  ...queueIds.map(queueDeclared),
]

interface Known {
  readonly entry: Entry
  readonly body: string
  confirmed: boolean
  /** Told to leave, or replaced. */
  leaving: boolean
  gone: boolean
  replacedBy: number
  delivered: number
  deliveredConfirmed: number
}

export class Oracle {
  readonly entries = new Map<number, Known>()
  definitionsConfirmed = false
  nextSeq = 1

  live(): Known[] {
    return [...this.entries.values()].filter((known) => !known.leaving)
  }

  /** What becomes certain when the store confirms everything up to now. */
  pending(): () => void {
    const published = [...this.entries.values()].filter((known) => !known.confirmed)
    const leaving = [...this.entries.values()].filter((known) => known.leaving && !known.gone)
    const delivered = [...this.entries.values()].map((known) => [known, known.delivered] as const)
    return () => {
      this.definitionsConfirmed = true
      for (const known of published) known.confirmed = true
      for (const known of leaving) known.gone = true
      for (const [known, count] of delivered)
        known.deliveredConfirmed = Math.max(known.deliveredConfirmed, count)
    }
  }

  /** Compares with what a reopened store has, and goes on from there. */
  check(found: ReadonlyMap<number, Entry>): void {
    for (const [seq, known] of this.entries) {
      const entry = found.get(seq)
      const isDurable = !known.entry.transient && queueIds.includes(known.entry.queueId)
      if (known.confirmed && !known.leaving && isDurable)
        assert.ok(entry, `the confirmed message ${seq} is lost`)
      if (known.gone) assert.equal(entry, undefined, `message ${seq} came back, and it was done`)
      if (!isDurable) assert.equal(entry, undefined, `the transient message ${seq} came back`)
      if (isDurable) this.#checkReplaced(known, found)
      if (entry !== undefined) this.#checkEntry(known, entry)
    }
    for (const seq of found.keys()) assert.ok(this.entries.has(seq), `message ${seq} was never published`)
    for (const [seq, known] of this.entries) {
      const entry = found.get(seq)
      const delivered = (entry?.deliveryCount ?? 0) - known.entry.deliveryCount
      const certain = { confirmed: true, leaving: false, gone: false, replacedBy: 0 }
      if (entry === undefined) this.entries.delete(seq)
      else Object.assign(known, certain, { delivered, deliveredConfirmed: delivered })
    }
  }

  #checkReplaced(known: Known, found: ReadonlyMap<number, Entry>): void {
    if (known.replacedBy === 0) return
    const fresh = this.entries.get(known.replacedBy)!
    const isThere = found.has(known.entry.seq)
    const isFreshThere = found.has(fresh.entry.seq)
    assert.ok(!(isThere && isFreshThere), `message ${known.entry.seq} and its successor are both there`)
    if (known.confirmed && !fresh.leaving)
      assert.ok(isThere || isFreshThere, `message ${known.entry.seq} was lost while it was replaced`)
  }

  #checkEntry(known: Known, entry: Entry): void {
    const { seq, queueId, lane, key, dueAtMs, expiresAtMs } = entry
    const wanted = known.entry
    assert.deepEqual(
      { seq, queueId, lane, key, dueAtMs, expiresAtMs },
      {
        seq: wanted.seq,
        queueId: wanted.queueId,
        lane: wanted.lane,
        key: wanted.key,
        dueAtMs: wanted.dueAtMs,
        expiresAtMs: wanted.expiresAtMs,
      },
    )
    assert.equal(Buffer.from(entry.message.body).toString(), known.body)
    assert.equal(entry.message.routingKey, 'routing.key')
    assert.ok(
      entry.deliveryCount >= wanted.deliveryCount + known.deliveredConfirmed,
      `deliveries of ${seq} were forgotten`,
    )
    assert.ok(
      entry.deliveryCount <= wanted.deliveryCount + known.delivered,
      `deliveries of ${seq} were made up`,
    )
  }
}

/** Reads everything that a store holds, and compares it with what recovery has counted. */
export async function readEverything(store: Store, recovered?: Recovered): Promise<Map<number, Entry>> {
  const found = new Map<number, Entry>()
  for (const queueId of [...queueIds, transientQueueId]) {
    const counted = recovered?.queues.find((queue) => queue.queueId === queueId)
    for (let lane = 0; lane < 3; lane += 1) {
      const entries = await readAll((afterSeq) =>
        store.readLane({ queueId, lane, afterSeq, limit: 5, limitBytes: 400 }),
      )
      const total = counted?.lanes.find((other) => other.lane === lane)
      if (recovered !== undefined) {
        assert.equal(total?.count ?? 0, entries.length, 'recovery counts what can be read')
        const bytes = entries.reduce((sum, entry) => sum + entry.bodyBytes, 0)
        assert.equal(total?.bodyBytes ?? 0, bytes, 'recovery counts the bytes that can be read')
      }
      for (const entry of entries) found.set(entry.seq, entry)
    }
    const delayed = await readAll((afterSeq) =>
      store.readQueue({ queueId, state: 'delayed', afterSeq, limit: 5 }),
    )
    for (const entry of delayed) found.set(entry.seq, entry)
    if (recovered !== undefined) {
      const seqs = [...(counted?.delayed.seqs ?? [])].sort((a, b) => a - b)
      assert.deepEqual(
        seqs,
        delayed.map((entry) => entry.seq),
        'recovery names what is held back',
      )
      const again = await store.readEntries(seqs, queueId)
      assert.deepEqual(
        again.map((entry) => entry.seq),
        seqs,
      )
      for (const { seq, key } of counted?.heldKeys ?? []) {
        assert.equal(
          delayed.find((entry) => entry.seq === seq)?.key,
          key,
          'a held key is that of a delayed message',
        )
      }
    }
  }
  return found
}

async function readAll(page: (afterSeq: number) => Promise<Entry[]>): Promise<Entry[]> {
  const all: Entry[] = []
  for (;;) {
    const entries = await page(all.at(-1)?.seq ?? 0)
    if (entries.length === 0) return all
    for (const entry of entries) {
      assert.ok(entry.seq > (all.at(-1)?.seq ?? 0), 'entries come in ascending order')
      all.push(entry)
    }
  }
}

export async function openWorld(
  disk: SimulatedDisk,
  options: StoreOptions = {},
): Promise<{ store: Store; recovered: Recovered; warnings: string[] }> {
  const opened = await Store.open(disk, { ...options, limits: { ...tinyLimits, ...options.limits } })
  opened.store.attach({
    snapshot: () => ({ definitions, deliveryCounts: [], nextSeq: 0, nextQueueId: 1 }),
  })
  return opened
}

/** Declares what the oracle's messages go to, once. */
export function declareAll(store: Store): void {
  for (const definition of definitions) store.defined(definition)
}

/** One turn of random work. */
export function workTurn(store: Store, oracle: Oracle, random: Random): void {
  for (let left = 1 + random.below(4); left > 0; left -= 1) {
    const choice = random.below(10)
    const live = oracle.live()
    if (choice < 5 || live.length === 0) publishSome(store, oracle, random)
    else if (choice < 8) settle(store, oracle, random.pick(live))
    else if (choice === 8) handOut(store, random.pick(live), random)
    else if (random.below(3) === 0) purge(store, oracle, random)
    else replace(store, oracle, random.pick(live), random)
  }
}

function publishSome(store: Store, oracle: Oracle, random: Random): void {
  const targets =
    random.below(4) === 0 ? [1, 2, transientQueueId] : [random.pick([...queueIds, transientQueueId])]
  const body = 'é'.repeat(random.below(30)) + 'x'.repeat(random.below(200))
  const message = Message.ofBytes('exchange', 'routing.key', noProperties, body)
  const dueAtMs = random.below(5) === 0 ? 1_800_000_000_000 + random.below(1000) : 0
  const lane = random.below(3)
  const key = random.below(4) === 0 ? 'a key' : ''
  const transient = random.below(8) === 0
  const expiresAtMs = random.below(6) === 0 ? 1_900_000_000_000 : Infinity
  const entries = targets.map((queueId) => {
    const seq = oracle.nextSeq
    oracle.nextSeq += 1 + (random.below(10) === 0 && targets.length === 1 ? random.below(5) : 0)
    return entryOf({ seq, queueId, lane, message, dueAtMs, key, transient, expiresAtMs }, body)
  })
  store.published(entries, 0)
  for (const entry of entries) remember(oracle, entry, body)
}

function remember(oracle: Oracle, entry: Entry, body: string): void {
  const facts = {
    confirmed: false,
    leaving: false,
    gone: false,
    replacedBy: 0,
    delivered: 0,
    deliveredConfirmed: 0,
  }
  oracle.entries.set(entry.seq, { entry, body, ...facts })
}

function settle(store: Store, _oracle: Oracle, known: Known): void {
  store.settled(known.entry.seq)
  known.leaving = true
}

function handOut(store: Store, known: Known, random: Random): void {
  store.delivered(known.entry.seq)
  if (random.below(3) === 0) store.released(known.entry.seq)
  else known.delivered += 1
}

function replace(store: Store, oracle: Oracle, known: Known, random: Random): void {
  const seq = oracle.nextSeq
  oracle.nextSeq += 1
  const { entry, body } = known
  const dueAtMs = random.below(2) === 0 ? 1_800_000_000_000 : 0
  const fresh = entryOf(
    {
      seq,
      queueId: entry.queueId,
      lane: entry.lane,
      key: entry.key,
      transient: entry.transient,
      dueAtMs,
      deliveryCount: entry.deliveryCount + 1,
    },
    body,
  )
  store.published([fresh], entry.seq)
  remember(oracle, fresh, body)
  known.leaving = true
  known.replacedBy = seq
}

function purge(store: Store, oracle: Oracle, random: Random): void {
  const queueId = random.pick(queueIds)
  const state = random.pick(['ready', 'delayed', 'all'] as const)
  const of = oracle.live().filter(({ entry }) => entry.queueId === queueId)
  const taken = of.filter(({ entry }) => state === 'all' || (state === 'delayed') === entry.dueAtMs > 0)
  const survivors = taken.filter(() => random.below(3) === 0).map(({ entry }) => entry.seq)
  store.purged({ queueId, throughSeq: oracle.nextSeq - 1, state, survivors: survivors.sort((a, b) => a - b) })
  for (const known of taken) if (!survivors.includes(known.entry.seq)) known.leaving = true
}
