import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { examine, repair } from '../../src/store/doctor.ts'
import { SimulatedDisk } from '../sim/disk.ts'
import { Random } from '../std/random.ts'
import { declareAll, entryOf, openWorld, tinyLimits } from './world.ts'

async function filled(): Promise<SimulatedDisk> {
  const disk = new SimulatedDisk({ random: new Random(1) })
  const { store } = await openWorld(disk, { folderId: 'doctor' })
  declareAll(store)
  for (let seq = 1; seq <= 60; seq += 1) {
    store.published(
      [entryOf({ seq, queueId: 1 + (seq % 2), dueAtMs: seq % 5 === 0 ? 7 : 0 }, 'x'.repeat(80))],
      0,
    )
    if (seq % 3 === 0) store.settled(seq)
    if (seq % 4 === 0) await store.whenSynced()
  }
  await store.whenQuiet()
  await store.close()
  return disk
}

function contents(disk: SimulatedDisk): Map<string, string> {
  return new Map(disk.paths().map((path) => [path, disk.file(path).toString('latin1')]))
}

describe('doctor', () => {
  test('finds a sound folder healthy, counts what is in it and changes nothing', async () => {
    const disk = await filled()
    const before = contents(disk)
    const seen: string[] = []
    const found = await examine(disk, { onProgress: ({ file }) => seen.push(file), limits: tinyLimits })
    assert.deepEqual(contents(disk), before)
    assert.deepEqual(found.problems, [])
    assert.equal(found.isHealthy, true)
    assert.equal(
      found.files.reduce((sum, file) => sum + file.entries, 0),
      60,
    )
    assert.equal(
      found.files.reduce((sum, file) => sum + file.live, 0),
      40,
    )
    assert.deepEqual(
      seen,
      found.files.map((file) => file.name),
    )
    assert.deepEqual(
      found.queues.map(({ name, ready, delayed }) => ({ name, ready, delayed })),
      [
        { name: 'queue 1', ready: 16, delayed: 4 },
        { name: 'queue 2', ready: 16, delayed: 4 },
      ],
    )
  })

  test('says who holds a folder in use', async () => {
    const disk = new SimulatedDisk({ random: new Random(1) })
    const { store } = await openWorld(disk)
    const found = await examine(disk)
    assert.equal(found.lockedBy, 'the simulation')
    assert.equal(found.isHealthy, false)
    await assert.rejects(repair(disk), { code: 'DIRECTORY_LOCKED' })
    await store.close()
  })

  test('finds damage anywhere, and repairs it so that the folder opens without a complaint', async () => {
    const disk = await filled()
    for (const path of disk.paths()) {
      if (!path.startsWith('log/')) continue
      const { length } = disk.file(path)
      for (let byte = 0; byte < length; byte += 41) {
        const broken = disk.clone()
        broken.flipBit(path, byte, byte % 8)
        const before = contents(broken)
        const found = await examine(broken, { limits: tinyLimits })
        assert.deepEqual(contents(broken), before)
        const where = `${path} byte ${byte}`
        assert.ok(found.problems.length > 0, `nothing was found in ${where}`)
        const repaired = await repair(broken, { limits: tinyLimits })
        assert.equal(
          repaired.examination.isHealthy,
          true,
          `${where}: ${JSON.stringify(repaired.examination.problems)}`,
        )
        assert.deepEqual(repaired.examination.problems, [], where)
        const live = repaired.examination.files.reduce((sum, file) => sum + file.live, 0)
        assert.ok(live >= 37, `${where}: ${live} messages are left`)
        const { store, warnings } = await openWorld(broken)
        assert.deepEqual(warnings, [], where)
        await store.close()
      }
    }
  })

  test('refuses to repair what is not ours', async () => {
    const disk = new SimulatedDisk({ random: new Random(1) })
    await assert.rejects(repair(disk), { code: 'DIRECTORY_UNUSABLE' })
    disk.setFile('notes.txt', Buffer.from('mine'))
    await assert.rejects(examine(disk), { code: 'DIRECTORY_UNUSABLE' })
  })
})
