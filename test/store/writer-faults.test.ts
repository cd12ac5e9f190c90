/** What fails at the disk while something else is under way there. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { StoreOptions } from '../../src/store/store.ts'
import { SimulatedDisk } from '../sim/disk.ts'
import { Turns } from '../sim/turns.ts'
import { Random } from '../std/random.ts'
import { eager, large, nextTurn, openStepped, overlapping, seqsOf, timedBy } from './stepped.ts'
import { declareAll, entryOf, openWorld } from './world.ts'

const logFile = /^log\/\d+\.log$/
/** One large message fills a file. */
const small: StoreOptions = { limits: { ...eager.limits, fileBytes: 3000 } }
const failed = { code: 'STORE_FAILED' }

/** Writes and syncs of log files that ended after a close of that file. */
function afterTheirClose(steps: readonly string[]): string[] {
  const closed = new Set<string>()
  const late: string[] = []
  for (const step of steps) {
    const [what, path] = step.split(' ') as [string, string]
    if (!logFile.test(path)) continue
    if (what === 'close') closed.add(path)
    else if ((what === 'write' || what === 'sync') && closed.has(path)) late.push(step)
  }
  return late
}

test('after a sync that fails, no file is closed under a write', async () => {
  for (let seed = 1; seed <= 20; seed += 1) {
    const { disk, store, settle, steps, stored } = await overlapping(seed)
    disk.faults.push({ operation: 'sync', path: logFile, code: 'EIO', times: 1 })
    const results = Promise.allSettled(stored)
    while (disk.step('write')) await nextTurn()
    assert.equal(store.state, 'failed')
    assert.equal(disk.waitingFor('write', logFile), 1, 'the second message is still being written')
    const closing = assert.rejects(store.close(), failed)
    await nextTurn()
    await settle(closing)
    await closing
    assert.equal(disk.waiting, 0, `seed ${seed}: what was under way has ended`)
    assert.deepEqual(afterTheirClose(steps()), [], `seed ${seed}`)
    for (const result of await results) assert.equal(result.status, 'rejected')
  }
})

test('a sync of a barrier that fails for want of room ends the store, as any other does', async () => {
  const { disk, store, settle } = await openStepped(1, small)
  store.published([entryOf({ seq: 1 }, 'x'.repeat(3000))], 0)
  const stored = store.whenSynced()
  disk.faults.push({ operation: 'sync', path: logFile, code: 'ENOSPC', times: 1 })
  store.barrier()
  assert.equal(disk.faults[0]!.times, 0, 'the barrier is where a file ends, and syncs it')
  assert.equal(store.state, 'failed')
  await settle(stored)
  await assert.rejects(stored, failed)
  store.invariants()
})

test('with a sync every so often, no second one begins before the first has ended', async () => {
  let syncsWithWrites = 0
  for (let seed = 1; seed <= 10; seed += 1) {
    const turns = new Turns(0)
    const options: StoreOptions = { ...eager, sync: { intervalMs: 1 }, scheduler: timedBy(turns) }
    const { disk, store } = await openStepped(seed, options)
    for (let seq = 1; seq <= 20; seq += 1) {
      store.published([entryOf({ seq }, large)], 0)
      await nextTurn()
      disk.step()
      await nextTurn()
      turns.advance(1)
      await nextTurn()
      const syncs = disk.waitingFor('sync', logFile)
      assert.ok(syncs <= 1, `seed ${seed}: ${syncs} syncs wait`)
      if (syncs > 0 && disk.waitingFor('write', logFile) > 0) syncsWithWrites += 1
    }
  }
  assert.ok(syncsWithWrites > 0, 'writes went on beside a sync')
})

for (const code of ['EIO', 'ENOSPC'])
  test(`what a sync makes durable is stored, though the write beside it fails with ${code} at the close`, async () => {
    for (let seed = 1; seed <= 8; seed += 1) {
      const { disk, store, settle, stored } = await overlapping(seed)
      disk.faults.push({ operation: 'write', path: logFile, code, times: Infinity })
      const all = Promise.allSettled([...stored, store.close()])
      await settle(all)
      const statuses = (await all).map((result) => result.status)
      assert.deepEqual(statuses, ['fulfilled', 'rejected', 'rejected'], `seed ${seed}`)
      assert.deepEqual(await seqsOf(disk.crash('nothing', { stepped: false })), [1])
    }
  })

test('a close in good order is found as one, however full the file is', async () => {
  const unclean: number[] = []
  for (let bodyBytes = 2700; bodyBytes < 2800; bodyBytes += 1) {
    const disk = new SimulatedDisk({ random: new Random(1) })
    const { store } = await openWorld(disk, small)
    declareAll(store)
    store.published([entryOf({ seq: 1 }, 'x'.repeat(bodyBytes))], 0)
    await store.whenSynced()
    await store.whenQuiet()
    await store.close()
    const { store: again, recovered } = await openWorld(disk, small)
    if (recovered.unclean) unclean.push(bodyBytes)
    await again.close()
  }
  assert.deepEqual(unclean, [])
})

test('a barrier begins no file while the sync of its predecessor may still fail', async () => {
  const { disk, store, settle } = await openStepped(1, small)
  store.published([entryOf({ seq: 1 }, 'confirmed')], 0)
  await settle(store.whenSynced())
  await settle(store.whenQuiet())
  const [first, second] = disk.paths().filter((path) => logFile.test(path)) as [string, string]
  // It takes the place of the first message, and fills the file.
  store.published([entryOf({ seq: 2 }, 'x'.repeat(3000))], 1)
  const stored = store.whenSynced()
  disk.step()
  await nextTurn()
  assert.equal(disk.waitingFor('sync', new RegExp(first)), 1, 'it is written, and being synced')
  store.barrier()
  // Only now, for the system tells one sync alone: another beside it would have succeeded.
  disk.faults.push({ operation: 'sync', path: logFile, code: 'EIO', times: 1 })
  await settle(stored)
  await assert.rejects(stored, failed)
  assert.equal(disk.file(second).length, 0, 'nothing is in the successor')
  const found = disk.crash('nothing', { stepped: false })
  found.setFile(second, disk.file(second))
  assert.deepEqual(await seqsOf(found), [1])
})
