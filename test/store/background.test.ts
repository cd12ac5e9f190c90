/** What the store does in the background, and what it meets there. */
import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { nodeScheduler } from '../../src/store/scheduler.ts'
import type { Scheduler } from '../../src/store/scheduler.ts'
import { Store } from '../../src/store/store.ts'
import type { StoreOptions } from '../../src/store/store.ts'
import { SimulatedDisk } from '../sim/disk.ts'
import { Random } from '../std/random.ts'
import { declareAll, entryOf, openWorld, tinyLimits } from './world.ts'

const body = 'x'.repeat(80)

async function openFilled(count: number, options: StoreOptions = {}) {
  const disk = new SimulatedDisk({ random: new Random(1) })
  const { store } = await openWorld(disk, { folderId: 'background', ...options })
  const warnings: string[] = []
  store.onWarning = (text) => warnings.push(text)
  declareAll(store)
  await publish(store, 1, count)
  await store.whenQuiet()
  return { disk, store, warnings }
}

async function publish(store: Store, from: number, through: number): Promise<void> {
  for (let seq = from; seq <= through; seq += 1) {
    store.published([entryOf({ seq }, `${body}${seq}`)], 0)
    if (seq % 5 === 0) await store.whenSynced()
  }
}

async function readLane(store: Store): Promise<number[]> {
  const seqs: number[] = []
  for (;;) {
    const place = { queueId: 1, lane: 0, afterSeq: seqs.at(-1) ?? 0 }
    const entries = await store.readLane({ ...place, limit: 1000, limitBytes: 1e6 })
    if (entries.length === 0) return seqs
    seqs.push(...entries.map(({ seq }) => seq))
  }
}

/** Where in the log file the body of that message lies. */
function placeOf(disk: SimulatedDisk, seq: number): { path: string; byte: number } {
  for (const path of disk.paths()) {
    if (!path.endsWith('.log')) continue
    const byte = disk.file(path).indexOf(`${body}${seq}`)
    if (byte >= 0) return { path, byte }
  }
  throw new Error(`message ${seq} is nowhere`)
}

describe('rewriting a file of which little is live', () => {
  test('leaves out what is damaged, and says so', async () => {
    const { disk, store } = await openFilled(100)
    await store.close()
    const { path, byte } = placeOf(disk, 3)
    disk.flipBit(path, byte)
    const { store: again, warnings } = await openWorld(disk)
    again.onWarning = (text) => warnings.push(text)
    // All but the first four of a hundred leave: their file is rewritten.
    for (let seq = 5; seq <= 100; seq += 1) again.settled(seq)
    await publish(again, 101, 200)
    await again.whenQuiet()
    assert.match(warnings.join('\n'), /message in log\/\d+\.log \(number 3\) cannot be read and is lost/)
    const left = await readLane(again)
    assert.deepEqual(left.slice(0, 4), [1, 2, 4, 101])
    again.invariants()
    await again.close()
    const { store: third, warnings: last } = await openWorld(disk)
    assert.deepEqual(last, [])
    assert.deepEqual(await readLane(third), left)
    await third.close()
  })

  test('that fails is said, leaves the file as it was, and is tried again', async () => {
    const { disk, store, warnings } = await openFilled(100)
    disk.faults.push({ operation: 'write', path: /\.log\.tmp$/, code: 'ENOSPC', times: 1 })
    for (let seq = 5; seq <= 100; seq += 1) store.settled(seq)
    await publish(store, 101, 200)
    await store.whenQuiet()
    assert.match(warnings.join('\n'), /will be tried again later \(the disk is full\)/)
    assert.equal(disk.faults[0]?.times, 0)
    assert.equal(disk.paths().filter((path) => path.endsWith('.tmp')).length, 0)
    await publish(store, 201, 300)
    await store.whenQuiet()
    assert.equal(warnings.length, 1)
    assert.deepEqual((await readLane(store)).slice(0, 5), [1, 2, 3, 4, 101])
    store.invariants()
    await store.close()
  })
})

describe('a file of which little is live', () => {
  const compactRestMs = 123

  /** With beats that the test makes. */
  async function openBeaten() {
    let due: (() => void) | undefined
    const after: Scheduler['after'] = (ms, callback) => {
      if (ms === compactRestMs) due = callback
      return () => (due = undefined)
    }
    const scheduler = { ...nodeScheduler, after }
    const { disk, store } = await openFilled(200, { scheduler, limits: { compactRestMs, fileBytes: 12_000 } })
    const beat = async (): Promise<void> => {
      const beats = due
      due = undefined
      beats?.()
      await store.whenQuiet()
    }
    const rewritten = (): number => disk.history.filter((step) => step.includes('.log.tmp')).length
    return { disk, store, beat, rewritten, isWatched: () => due !== undefined }
  }

  test('is not rewritten while it is being emptied, for it is gone soon', async () => {
    const { store, beat, rewritten } = await openBeaten()
    for (let seq = 1; seq <= 150; seq += 1) {
      store.settled(seq)
      if (seq % 5 === 0) {
        await publish(store, 200 + seq - 4, 200 + seq)
        await store.whenQuiet()
        await beat()
      }
    }
    assert.equal(rewritten(), 0)
    store.invariants()
    await store.close()
  })

  test('is rewritten when it has come to rest', async () => {
    const { disk, store, beat, rewritten, isWatched } = await openBeaten()
    for (let seq = 1; seq <= 200; seq += 1) if (seq % 10 !== 0) store.settled(seq)
    await publish(store, 201, 400)
    await store.whenQuiet()
    const before = disk.paths().reduce((sum, path) => sum + disk.file(path).length, 0)
    assert.equal(rewritten(), 0)
    await beat()
    assert.equal(rewritten(), 0)
    await beat()
    assert(rewritten() > 0)
    const after = disk.paths().reduce((sum, path) => sum + disk.file(path).length, 0)
    assert(after < before - 10_000, `${before} bytes became ${after}`)
    for (let beats = 0; isWatched(); beats += 1) {
      assert(beats < 100, 'it comes to rest')
      await beat()
    }
    assert.deepEqual((await readLane(store)).slice(0, 21), [
      ...Array.from({ length: 20 }, (_, n) => 10 * n + 10),
      201,
    ])
    store.invariants()
    await store.close()
  })

  test('that is watched when the store is closed keeps nobody', async () => {
    const { store, isWatched } = await openBeaten()
    for (let seq = 1; seq <= 200; seq += 1) if (seq % 10 !== 0) store.settled(seq)
    await publish(store, 201, 400)
    await store.whenQuiet()
    assert(isWatched())
    await store.close()
    assert(!isWatched())
  })
})

test('a checkpoint is taken early where it lets enough dead files go', async () => {
  const limits = { ...tinyLimits, deadFiles: 3, fileBytes: 3000 }
  const { disk, store } = await openFilled(300, { limits })
  const before = disk.paths().filter((path) => path.endsWith('.log')).length
  for (let seq = 1; seq <= 300; seq += 1) store.settled(seq)
  await store.whenSynced()
  await store.whenQuiet()
  const left = disk.paths().filter((path) => path.endsWith('.log')).length
  assert.ok(before > 10 && left <= 5, `${before} files became ${left}`)
  assert.deepEqual(await readLane(store), [])
  store.invariants()
  await store.close()
  const { store: again, warnings } = await openWorld(disk)
  assert.deepEqual(warnings, [])
  await again.close()
})

test('a next file that cannot be synced is made again', async () => {
  const { disk, store, warnings } = await openFilled(5)
  disk.faults.push({ operation: 'sync', path: /log\/000000000[3-9]\.log$/, code: 'EMFILE', times: 1 })
  const sync = disk.syncDirectory.bind(disk)
  let failures = 1
  disk.syncDirectory = (path) => {
    if (failures === 0) return sync(path)
    failures -= 1
    return Promise.reject(Object.assign(new Error('EMFILE'), { code: 'EMFILE' }))
  }
  await publish(store, 6, 100)
  await store.whenQuiet()
  assert.match(warnings.join('\n'), /cannot be made|tried again later/)
  assert.equal((await readLane(store)).length, 100)
  await store.close()
})

describe('the room on the disk', () => {
  const limits = { ...tinyLimits, lowFreeBytes: 1000, freeCheckMs: 1 }
  const passed = () => new Promise((resolve) => setTimeout(resolve, 10))

  test('is not watched where the disk does not say', async () => {
    const disk = new SimulatedDisk({ random: new Random(1), capacityBytes: 10_000 })
    disk.freeBytes = () => Promise.reject(new Error('not supported'))
    const { store } = await openWorld(disk, { limits })
    await passed()
    assert.equal(store.state, 'ok')
    await store.close()
  })

  test('is looked at no more once the store is closed', async () => {
    const disk = new SimulatedDisk({ random: new Random(1) })
    let ask: (bytes: number) => void = () => undefined
    let asked = 0
    const { store } = await openWorld(disk, { limits })
    disk.freeBytes = () => {
      asked += 1
      return new Promise((resolve) => {
        ask = resolve
      })
    }
    while (asked === 0) await passed()
    await store.close()
    ask(0)
    await passed()
    assert.equal(asked, 1)
    assert.equal(store.state, 'ok')
  })
})

test('a store is closed when its scope ends', async () => {
  const disk = new SimulatedDisk({ random: new Random(1) })
  {
    await using store = (await openWorld(disk)).store
    declareAll(store)
    store.published([entryOf({ seq: 1 })], 0)
  }
  const { store, recovered } = await openWorld(disk)
  assert.equal(recovered.unclean, false)
  assert.deepEqual(await readLane(store), [1])
  await store.close()
})

test('a folder that cannot be opened is let go', async () => {
  const disk = new SimulatedDisk({ random: new Random(1) })
  const { store } = await openWorld(disk)
  await store.close()
  disk.faults.push({ operation: 'open', path: /\.log$/, code: 'EMFILE', times: 1 })
  await assert.rejects(Store.open(disk), { code: 'EMFILE' })
  const { store: again } = await openWorld(disk)
  await again.close()
})
