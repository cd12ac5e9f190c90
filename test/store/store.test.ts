import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { StoreError } from '../../src/model/errors.ts'
import { nodeScheduler } from '../../src/store/scheduler.ts'
import type { Scheduler } from '../../src/store/scheduler.ts'
import { Store } from '../../src/store/store.ts'
import type { StoreOptions, StoreState } from '../../src/store/store.ts'
import { SimulatedDisk } from '../sim/disk.ts'
import { Random } from '../std/random.ts'
import { declareAll, entryOf, openWorld } from './world.ts'

function newDisk(capacityBytes = Infinity): SimulatedDisk {
  return new SimulatedDisk({ random: new Random(1), capacityBytes })
}

const roomy: StoreOptions = { limits: { fileBytes: 1_000_000, eagerBatchBytes: 1_000_000, chunkBytes: 4096 } }

async function seqsOf(store: Store, queueId = 1, lane = 0): Promise<number[]> {
  const entries = await store.readLane({ queueId, lane, afterSeq: 0, limit: 10_000, limitBytes: Infinity })
  return entries.map((entry) => entry.seq)
}

function count(disk: SimulatedDisk, what: string, from: number): number {
  return disk.history.slice(from).filter((line) => line.includes(` ${what} log/`)).length
}

describe('group commit', () => {
  test('all that is appended in one turn is one write and one sync', async () => {
    const disk = newDisk()
    const { store } = await openWorld(disk, roomy)
    await store.whenQuiet()
    const from = disk.history.length
    declareAll(store)
    for (let seq = 1; seq <= 100; seq += 1) store.published([entryOf({ seq })], 0)
    for (let seq = 1; seq <= 50; seq += 1) store.settled(seq)
    const { appended } = store
    assert.ok(store.synced < appended)
    await store.whenSynced()
    assert.equal(store.synced, appended)
    assert.equal(store.appended, appended)
    assert.equal(count(disk, 'write', from), 1)
    assert.equal(count(disk, 'sync', from), 1)
    assert.equal(store.pendingBytes, 0)
    store.invariants()
    await store.close()
  })

  test('what is appended while a batch is written goes with the next one', async () => {
    const disk = newDisk()
    const { store } = await openWorld(disk, roomy)
    await store.whenQuiet()
    const from = disk.history.length
    const synced: number[] = []
    store.onSynced = (through) => synced.push(through)
    store.published([entryOf({ seq: 1 })], 0)
    const first = store.whenSynced()
    assert.equal(store.whenSynced(), first, 'who waits for one batch shares one promise')
    await new Promise((resolve) => setImmediate(resolve))
    store.published([entryOf({ seq: 2 })], 0)
    store.published([entryOf({ seq: 3 })], 0)
    const second = store.whenSynced()
    assert.notEqual(second, first)
    await second
    assert.equal(synced.length, 2)
    assert.equal(count(disk, 'sync', from), 2)
    await store.close()
  })

  test('a facts that waits for nothing is told so at once', async () => {
    const { store } = await openWorld(newDisk(), roomy)
    await store.whenSynced()
    await store.close()
    await store.close()
  })
})

describe('sync policies', () => {
  for (const sync of ['group', 'os', { intervalMs: 5 }] as const) {
    test(`${JSON.stringify(sync)}: a fact counts as stored when the policy says so`, async () => {
      const disk = newDisk()
      const due: (() => void)[] = []
      const after: Scheduler['after'] = (ms, callback) => {
        if (ms === 5) due.push(callback)
        return () => undefined
      }
      const scheduler = { ...nodeScheduler, after }
      const { store } = await openWorld(disk, { ...roomy, sync, scheduler })
      declareAll(store)
      await store.whenQuiet()
      const from = disk.history.length
      for (let seq = 1; seq <= 5; seq += 1) {
        store.published([entryOf({ seq })], 0)
        await store.whenSynced()
      }
      assert.equal(count(disk, 'write', from), 5)
      if (sync === 'group') assert.equal(count(disk, 'sync', from), 5)
      else assert.equal(count(disk, 'sync', from), 0)
      if (typeof sync === 'object') {
        assert.equal(due.length, 1, 'one timer for all of them')
        due[0]!()
        await new Promise((resolve) => setImmediate(resolve))
        assert.equal(count(disk, 'sync', from), 1)
      }
      const next = disk.crash('process')
      const { store: again } = await openWorld(next, { ...roomy, sync })
      assert.deepEqual(await seqsOf(again), [1, 2, 3, 4, 5])
      await again.close()
    })
  }
})

test('a barrier makes what is pending outlive the process at once', async () => {
  const disk = newDisk()
  const { store } = await openWorld(disk, roomy)
  declareAll(store)
  store.published([entryOf({ seq: 1 })], 0)
  await store.whenSynced()
  store.published([entryOf({ seq: 2 })], 0)
  await new Promise((resolve) => setImmediate(resolve))
  store.delivered(1)
  store.barrier()
  const { store: again, recovered } = await openWorld(disk.crash('process'), roomy)
  assert.equal(recovered.unclean, true)
  const entries = await again.readLane({ queueId: 1, lane: 0, afterSeq: 0, limit: 9, limitBytes: 999 })
  assert.deepEqual(
    entries.map((entry) => [entry.seq, entry.deliveryCount, entry.recovered]),
    [
      [1, 1, true],
      [2, 0, true],
    ],
  )
  await again.close()
})

test('a clean close is told from a crash', async () => {
  const disk = newDisk()
  const { store, recovered } = await openWorld(disk, roomy)
  assert.equal(recovered.unclean, false)
  declareAll(store)
  store.published([entryOf({ seq: 1, key: 'k' })], 0)
  store.published([entryOf({ seq: 2, dueAtMs: 5, key: 'k', deliveryCount: 1 })], 1)
  store.published([entryOf({ seq: 3, dueAtMs: 6, key: 'other' })], 0)
  await store.close()
  const { store: again, recovered: second, warnings } = await openWorld(disk.crash('nothing'), roomy)
  assert.deepEqual(warnings, [])
  assert.equal(second.unclean, false)
  assert.equal(second.nextSeq, 4)
  assert.equal(second.nextQueueId, 4)
  assert.deepEqual([...(second.queues[0]?.delayed.seqs ?? [])], [2, 3])
  assert.deepEqual([...(second.queues[0]?.delayed.dueAtMs ?? [])], [5, 6])
  assert.deepEqual(second.queues[0]?.heldKeys, [{ seq: 2, key: 'k' }], 'only a retry holds its key')
  const [entry] = await again.readEntries([1, 2])
  assert.equal(entry?.seq, 2)
  assert.equal(entry?.recovered, false)
  await again.close()
})

describe('a disk that fails', () => {
  test('a full disk makes the same batch wait until there is room, and nothing is lost', async () => {
    const disk = newDisk(3000)
    const { store } = await openWorld(disk, roomy)
    const states: StoreState[] = []
    store.onState = (state, error) => {
      states.push(state)
      if (state === 'full') assert.equal(error?.code, 'DISK_FULL')
    }
    declareAll(store)
    await store.whenSynced()
    for (let seq = 1; seq <= 40; seq += 1) store.published([entryOf({ seq }, 'x'.repeat(100))], 0)
    let isStored = false
    const stored = store.whenSynced().then(() => {
      isStored = true
      return isStored
    })
    await until(() => store.state === 'full')
    assert.equal(isStored, false)
    store.settled(1)
    assert.ok(store.pendingBytes > 4000)
    disk.capacityBytes = Infinity
    await stored
    await store.whenSynced()
    assert.deepEqual(states, ['full', 'ok'])
    assert.equal((await seqsOf(store)).length, 39)
    const { store: again, warnings } = await openWorld(disk.crash('nothing'), roomy)
    assert.deepEqual(warnings, [])
    assert.equal((await seqsOf(again)).length, 39)
    await again.close()
  })

  test('a full disk is written to again as soon as a file is deleted, and a close need not wait', async () => {
    const disk = newDisk(6000)
    const limits = { ...roomy.limits, fullRetryMs: 1_000_000 }
    const { store } = await openWorld(disk, { limits })
    declareAll(store)
    await store.whenSynced()
    for (let seq = 1; seq <= 60; seq += 1) store.published([entryOf({ seq }, 'x'.repeat(100))], 0)
    const stored = store.whenSynced()
    await until(() => store.state === 'full')
    const closing = store.close()
    await assert.rejects(stored, { code: 'DISK_FULL' })
    await assert.rejects(closing, { code: 'DISK_FULL' })
  })

  test('a store that is closed while the disk is full says so', async () => {
    const disk = newDisk(1500)
    const { store } = await openWorld(disk, roomy)
    declareAll(store)
    for (let seq = 1; seq <= 40; seq += 1) store.published([entryOf({ seq }, 'x'.repeat(100))], 0)
    await assert.rejects(store.close(), { code: 'DISK_FULL' })
  })

  test('little free space is reported before the disk is full', async () => {
    const disk = newDisk(100_000)
    const limits = { ...roomy.limits, lowFreeBytes: 50_000, freeCheckMs: 2 }
    const { store } = await openWorld(disk, { limits })
    const states: StoreState[] = []
    store.onState = (state) => states.push(state)
    declareAll(store)
    store.published([entryOf({ seq: 1 }, 'x'.repeat(60_000))], 0)
    await store.whenSynced()
    await until(() => store.state === 'full')
    disk.capacityBytes = 1_000_000
    await until(() => states.length >= 2)
    assert.deepEqual(states, ['full', 'ok'])
    await store.close()
  })

  for (const operation of ['sync', 'write'] as const) {
    test(`a failed ${operation} is final: it is never tried again, and all who wait are told`, async () => {
      const disk = newDisk()
      const { store } = await openWorld(disk, roomy)
      declareAll(store)
      await store.whenQuiet()
      const states: StoreState[] = []
      store.onState = (state) => states.push(state)
      disk.faults.push({ operation, path: /\.log$/, code: 'EIO', times: 1 })
      store.published([entryOf({ seq: 1 })], 0)
      const first = store.whenSynced()
      await new Promise((resolve) => setImmediate(resolve))
      store.published([entryOf({ seq: 2 })], 0)
      const second = store.whenSynced()
      await assert.rejects(first, { code: 'STORE_FAILED' })
      await assert.rejects(second, { code: 'STORE_FAILED' })
      assert.deepEqual(states, ['failed'])
      assert.equal(store.state, 'failed')
      await assert.rejects(store.whenSynced(), StoreError)
      store.published([entryOf({ seq: 3 })], 0)
      await assert.rejects(store.close(), { code: 'STORE_FAILED' })
      assert.equal(disk.faults[0]?.times, 0)
    })
  }
})

describe('the folder', () => {
  test('one of a newer format is refused', async () => {
    const disk = newDisk()
    const { store } = await openWorld(disk)
    await store.close()
    const { formatLine } = await import('../../src/store/folder.ts')
    disk.setFile('FORMAT', Buffer.from(formatLine({ id: 'x' }, 2)))
    await assert.rejects(Store.open(disk), { code: 'FORMAT_TOO_NEW' })
  })

  test('one that holds other things is refused and left alone', async () => {
    const disk = newDisk()
    disk.setFile('notes.txt', Buffer.from('mine'))
    await assert.rejects(Store.open(disk), { code: 'DIRECTORY_UNUSABLE', message: /not a Millrace folder/ })
    assert.deepEqual(disk.paths(), ['notes.txt'])
  })

  test('one whose FORMAT is damaged is ours by its log', async () => {
    const disk = newDisk()
    const { store } = await openWorld(disk, roomy)
    declareAll(store)
    store.published([entryOf({ seq: 1 })], 0)
    await store.close()
    for (const broken of [undefined, Buffer.from('millrace 3 abc 00000000')]) {
      const copy = disk.clone()
      if (broken === undefined) copy.removeFile('FORMAT')
      else copy.setFile('FORMAT', broken)
      const { store: again, warnings } = await openWorld(copy, roomy)
      assert.match(warnings.join(), /FORMAT/)
      assert.deepEqual(await seqsOf(again), [1])
      await again.close()
      const { warnings: second } = await openWorld(copy, roomy)
      assert.deepEqual(second, [])
    }
  })
})

/** Resolves when it holds; the test's own timeout ends a wait for what never comes. */
async function until(holds: () => boolean): Promise<void> {
  while (!holds()) await new Promise((resolve) => setTimeout(resolve, 2))
}
