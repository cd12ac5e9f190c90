import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { StoreOptions } from '../../src/store/store.ts'
import { SimulatedDisk } from '../sim/disk.ts'
import { Random } from '../std/random.ts'
import { declareAll, entryOf, openWorld } from './world.ts'

const roomy: StoreOptions = { limits: { fileBytes: 1_000_000, eagerBatchBytes: 1_000_000, chunkBytes: 4096 } }
const nextTurn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve))

async function stepped(): Promise<{
  disk: SimulatedDisk
  settle: (until: Promise<unknown>) => Promise<void>
}> {
  const disk = new SimulatedDisk({ random: new Random(1), stepped: true })
  const settle = async (until: Promise<unknown>): Promise<void> => {
    let done = false
    until.then(
      () => (done = true),
      () => (done = true),
    )
    while (!done) {
      disk.step()
      await nextTurn()
    }
  }
  return { disk, settle }
}

test('barriers while a write is under way write each byte once, and one sync covers them all', async () => {
  const { disk, settle } = await stepped()
  const opening = openWorld(disk, roomy)
  await settle(opening)
  const { store } = await opening
  declareAll(store)
  for (let seq = 1; seq <= 100; seq += 1) store.published([entryOf({ seq }, 'x'.repeat(100))], 0)
  await settle(store.whenSynced())
  await settle(store.whenQuiet())

  store.published([entryOf({ seq: 101 })], 0)
  const first = store.whenSynced()
  await nextTurn()
  assert.equal(disk.waiting, 1, 'the write is under way')
  const before = store.pendingBytes
  const waiting: Promise<void>[] = []
  for (let seq = 1; seq <= 100; seq += 1) {
    store.delivered(seq)
    waiting.push(store.whenSynced())
    store.barrier()
    store.invariants()
  }
  const appended = store.pendingBytes
  assert.ok(appended > before)
  assert.equal(disk.syncWrittenBytes, appended, 'what is pending was written once')
  const from = disk.history.length
  await settle(Promise.all([first, ...waiting]))
  const syncs = disk.history.slice(from).filter((line) => line.includes(' sync log/')).length
  assert.ok(syncs <= 2, `${syncs} syncs for 101 batches`)
  assert.equal(disk.syncWrittenBytes, appended)

  const again = openWorld(disk.crash('nothing', { stepped: false }), roomy)
  const { store: reopened } = await again
  const entries = await reopened.readLane({
    queueId: 1,
    lane: 0,
    afterSeq: 0,
    limit: 1000,
    limitBytes: Infinity,
  })
  assert.deepEqual(
    entries.map((entry) => entry.deliveryCount),
    [...Array.from({ length: 100 }, () => 1), 0],
  )
  await reopened.close()
})

test('a barrier that fails while a write is under way fails all who wait, once', async () => {
  const { disk, settle } = await stepped()
  const opening = openWorld(disk, roomy)
  await settle(opening)
  const { store } = await opening
  declareAll(store)
  store.published([entryOf({ seq: 1 })], 0)
  const first = store.whenSynced()
  await nextTurn()
  store.delivered(1)
  const second = store.whenSynced()
  disk.faults.push({ operation: 'write', path: /log/, code: 'EIO', times: 1 })
  store.barrier()
  const results = Promise.allSettled([first, second])
  await settle(results)
  for (const result of await results) {
    assert.equal(result.status, 'rejected')
    assert.equal((result.reason as { code: string }).code, 'STORE_FAILED')
  }
  while (disk.step()) await nextTurn()
  store.invariants()
})
