/** Reading where the disk fails: what can be read is, what cannot is lost and said, and nothing else is. */
import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import type { Entry } from '../../src/model/entry.ts'
import type { Store } from '../../src/store/store.ts'
import { SimulatedDisk } from '../sim/disk.ts'
import { Random } from '../std/random.ts'
import { declareAll, entryOf, openWorld, tinyLimits } from './world.ts'

const body = 'x'.repeat(80)
const dueAtMs = 1_900_000_000_000

/** Sixty ready messages and twenty held back, over several files with indexes. */
async function openFilled() {
  const disk = new SimulatedDisk({ random: new Random(1) })
  const { store } = await openWorld(disk, { folderId: 'reading' })
  const warnings: string[] = []
  store.onWarning = (text) => warnings.push(text)
  declareAll(store)
  for (let seq = 1; seq <= 80; seq += 1) {
    store.published([entryOf({ seq, dueAtMs: seq % 4 === 0 ? dueAtMs : 0 }, `${body}${seq}`)], 0)
    if (seq % 5 === 0) await store.whenSynced()
  }
  await store.whenQuiet()
  return { disk, store, warnings }
}

const all = Array.from({ length: 80 }, (_item, index) => index + 1)
const held = all.filter((seq) => seq % 4 === 0)
const ready = all.filter((seq) => seq % 4 !== 0)
const seqsOf = (entries: readonly Entry[]) => entries.map(({ seq }) => seq)

async function readLane(store: Store): Promise<number[]> {
  const seqs: number[] = []
  for (;;) {
    const place = { queueId: 1, lane: 0, afterSeq: seqs.at(-1) ?? 0 }
    const entries = await store.readLane({ ...place, limit: 1000, limitBytes: 1e6 })
    if (entries.length === 0) return seqs
    seqs.push(...seqsOf(entries))
  }
}

describe('a disk that cannot read', () => {
  test('once is asked again, message by message', async () => {
    const { disk, store, warnings } = await openFilled()
    disk.faults.push({ operation: 'read', path: /0000000002\.log$/, code: 'EIO', times: 1 })
    assert.deepEqual(await readLane(store), ready)
    assert.deepEqual(warnings, [])
    await store.close()
  })

  test('one file costs what is in it, which is said', async () => {
    const { disk, store, warnings } = await openFilled()
    disk.faults.push({ operation: 'read', path: /0000000002\.log$/, code: 'EIO', times: Infinity })
    const found = await readLane(store)
    assert.ok(found.length < ready.length && found.length > 40)
    const lost = warnings.filter((text) => text.includes('cannot be read and is lost'))
    assert.equal(lost.length, ready.length - found.length)
    assert.equal(warnings.filter((text) => text.includes('is damaged')).length, 1)
    disk.faults.length = 0
    assert.deepEqual(await readLane(store), found)
    await store.whenQuiet()
    store.invariants()
    await store.close()
  })

  for (const [operation, path] of [
    ['read', /0000000001\.log$/],
    ['open', /0000000001\.log$/],
    ['read', /0000000001\.idx$/],
    ['open', /0000000001\.idx$/],
  ] as const) {
    test(`for any other reason is an error, and nothing is lost (${operation} ${path.source})`, async () => {
      const { disk, store } = await openFilled()
      await store.close()
      const few = { limits: { ...tinyLimits, openFiles: 1, indexCacheBytes: 1 } }
      const { store: again, warnings } = await openWorld(disk, few)
      again.onWarning = (text) => warnings.push(text)
      disk.faults.push({ operation, path, code: 'EMFILE', times: 1 })
      await assert.rejects(readLane(again), { code: 'EMFILE' })
      assert.deepEqual(await readLane(again), ready)
      assert.deepEqual(warnings, [])
      await again.close()
    })
  }
})

describe('entries asked for by their numbers', () => {
  test('are found with their queue named or not, those that have left passed over', async () => {
    const { store } = await openFilled()
    for (const seq of [8, 40, 77]) store.settled(seq)
    const left = (seqs: number[]) => seqs.filter((seq) => ![8, 40, 77].includes(seq))
    assert.deepEqual(seqsOf(await store.readEntries(held.toReversed(), 1)), left(held))
    assert.deepEqual(seqsOf(await store.readEntries(all)), left(all))
    assert.deepEqual(await store.readEntries([8, 40]), [])
    assert.deepEqual(await store.readEntries([5000]), [])
    assert.deepEqual(await store.readEntries([]), [])
    assert.deepEqual(await store.readEntries([4], 2), [])
    await store.close()
  })

  test('are found though the rows of the index are damaged', async () => {
    const { disk, store } = await openFilled()
    await store.close()
    const path = 'log/0000000001.idx'
    disk.flipBit(path, disk.file(path).length - 3)
    for (const queueId of [1, undefined]) {
      const { store: again, warnings } = await openWorld(disk.clone())
      again.onWarning = (text) => warnings.push(text)
      assert.deepEqual(seqsOf(await again.readEntries(all, queueId)), all)
      assert.equal(warnings.filter((text) => text.includes('made anew')).length, 1)
      await again.close()
    }
  })

  test('are paged by queue, ready or held back', async () => {
    const { store } = await openFilled()
    const read = (state: 'ready' | 'delayed', afterSeq: number) =>
      store.readQueue({ queueId: 1, state, afterSeq, limit: 3 })
    assert.deepEqual(seqsOf(await read('ready', 0)), [1, 2, 3])
    assert.deepEqual(seqsOf(await read('ready', 3)), [5, 6, 7])
    assert.deepEqual(seqsOf(await read('delayed', 0)), [4, 8, 12])
    assert.deepEqual(
      await store.readQueue({ queueId: 1, state: 'ready', lane: 2, afterSeq: 0, limit: 3 }),
      [],
    )
    await store.close()
  })
})

test('what a purge takes while it is being read is not given', async () => {
  const { store } = await openFilled()
  const reading = store.readLane({ queueId: 1, lane: 0, afterSeq: 0, limit: 10, limitBytes: 1e6 })
  store.purged({ queueId: 1, throughSeq: 70, state: 'ready', survivors: [] })
  assert.deepEqual(seqsOf(await reading), [71, 73, 74, 75, 77, 78, 79])
  await store.close()
})

test('what leaves while it is being read is not given', async () => {
  const { store } = await openFilled()
  const reading = store.readEntries([4, 5, 6])
  store.settled(5)
  assert.deepEqual(seqsOf(await reading), [4, 6])
  await store.close()
})

test('as many of the entries as the bytes allow are read, from the first on, and at least one', async () => {
  const { store } = await openFilled()
  const seqs = held.toReversed()
  const read = (limitBytes: number, of: readonly number[] = seqs) =>
    store.readFirst({ seqs: of, queueId: 1, limitBytes })
  const { entries } = await read(Infinity)
  assert.deepEqual(seqsOf(entries), held)
  const few = await read(5 * body.length)
  assert.ok(few.looked.length > 1 && few.looked.length < 5)
  assert.deepEqual(few.looked, seqs.slice(0, few.looked.length))
  assert.deepEqual(seqsOf(few.entries), few.looked.toReversed())
  assert.deepEqual((await read(1)).looked, seqs.slice(0, 1))
  // What is gone takes no room, and was looked for.
  for (const seq of seqs.slice(0, 3)) store.settled(seq)
  const rest = await read(1)
  assert.deepEqual([rest.looked, seqsOf(rest.entries)], [seqs.slice(0, 4), seqs.slice(3, 4)])
  await store.close()
})
