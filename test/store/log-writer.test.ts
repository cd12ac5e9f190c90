import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { StoreOptions } from '../../src/store/store.ts'
import { Turns } from '../sim/turns.ts'
import { eager, large, nextTurn, openStepped, overlapping, roomy, seqsOf, timedBy } from './stepped.ts'
import { entryOf, openWorld } from './world.ts'

test('barriers while a write is under way write each byte once, and one sync covers them all', async () => {
  const { disk, store, settle } = await openStepped(1, roomy)
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
  const { disk, store, settle } = await openStepped(1, roomy)
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

test('what comes during a sync is written meanwhile, and stored by the sync after it', async () => {
  const orders = new Set<string>()
  for (let seed = 1; seed <= 10; seed += 1) {
    const { disk, store, settle, steps, stored } = await overlapping(seed)
    const done: number[] = []
    stored.forEach((promise, index) => void promise.then(() => done.push(index + 1)))
    for (let step = 0; step < 2; step += 1) disk.step()
    await nextTurn()
    orders.add(steps().slice(1).join(', '))
    assert.deepEqual(done, [1], 'the sync began before the second write')
    if (seed % 2 === 0) {
      assert.deepEqual(await seqsOf(disk.crash('nothing', { stepped: false })), [1])
      continue
    }
    await settle(Promise.all(stored))
    assert.deepEqual(done, [1, 2])
    assert.equal(steps().filter((step) => step.startsWith('sync log/')).length, 2)
    store.invariants()
    assert.deepEqual(await seqsOf(disk.crash('nothing', { stepped: false })), [1, 2])
  }
  assert.equal(orders.size, 2, 'either ended first in some run')
})

test('what gathered during a write goes when that ends, while it is being synced', async () => {
  const { disk, store, settle } = await openStepped(1, eager)
  store.published([entryOf({ seq: 1 }, large)], 0)
  await nextTurn()
  store.published([entryOf({ seq: 2 }, large)], 0)
  await nextTurn()
  assert.equal(disk.waiting, 1, 'the first write')
  disk.step()
  await nextTurn()
  assert.equal(disk.waiting, 2, 'its sync, and the second write')
  await settle(store.whenSynced())
  store.invariants()
})

test('a sync that fails takes with it what is written meanwhile', async () => {
  const { disk, store, settle, stored } = await overlapping(1)
  disk.faults.push({ operation: 'sync', path: /log/, code: 'EIO', times: 1 })
  const results = Promise.allSettled(stored)
  await settle(results)
  for (const result of await results) {
    assert.equal(result.status, 'rejected')
    assert.equal((result.reason as { code: string }).code, 'STORE_FAILED')
  }
  while (disk.step()) await nextTurn()
  assert.equal(store.state, 'failed')
  store.invariants()
})

test('a full disk during a sync: the first is stored, the second when there is room', async () => {
  const turns = new Turns(0)
  const timed: StoreOptions = { ...eager, scheduler: timedBy(turns) }
  const { disk, store, settle, stored } = await overlapping(1, timed)
  disk.faults.push({ operation: 'write', path: /log/, code: 'ENOSPC', times: 1 })
  await settle(stored[0]!)
  while (disk.step()) await nextTurn()
  assert.equal(store.state, 'full')
  turns.advance(1)
  await settle(stored[1]!)
  assert.equal(store.state, 'ok')
  assert.deepEqual(await seqsOf(disk.crash('nothing', { stepped: false })), [1, 2])
})

test('a file begins when its predecessor is synced, however much waits for it', async () => {
  const small: StoreOptions = { limits: { ...eager.limits, fileBytes: 3000 } }
  const { store, settle, steps, stored } = await overlapping(1, small)
  for (let seq = 3; seq <= 12; seq += 1) {
    store.published([entryOf({ seq }, large)], 0)
    stored.push(store.whenSynced())
    await nextTurn()
  }
  await settle(Promise.all(stored))
  await settle(store.whenQuiet())
  const written = new Set<string>()
  const unsynced = new Set<string>()
  for (const step of steps()) {
    const [what, path] = step.split(' ') as [string, string]
    if (!path.startsWith('log/')) continue
    if (what === 'sync') unsynced.delete(path)
    if (what !== 'write') continue
    assert.deepEqual(
      [...unsynced].filter((other) => other !== path),
      [],
      `before ${step}`,
    )
    written.add(path)
    unsynced.add(path)
  }
  assert.ok(written.size >= 3, `${written.size} files`)
  store.invariants()
})

test('after a close in the middle of a sync, damage is still told from a torn end', async () => {
  const { disk, store, settle, stored } = await overlapping(1)
  store.published([entryOf({ seq: 3 }, 'the last')], 0)
  await settle(store.close())
  await Promise.all(stored)
  for (const body of [large, 'the last']) {
    const damaged = disk.clone({ stepped: false })
    const [path] = damaged
      .paths()
      .filter((name) => name.startsWith('log/') && damaged.file(name).includes(body))
    damaged.flipBit(path!, damaged.file(path!).lastIndexOf(body))
    const { store: again, warnings } = await openWorld(damaged, eager)
    assert.match(warnings.join(), /damage/)
    await again.close()
    assert.deepEqual(await seqsOf(damaged), body === large ? [1, 3] : [1, 2])
  }
})
