import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import type { Definition } from '../../src/model/record.ts'
import { examine, repair } from '../../src/store/doctor.ts'
import { encodeFileHeader, formatVersion } from '../../src/store/file-format.ts'
import { SimulatedDisk } from '../sim/disk.ts'
import { Random } from '../std/random.ts'
import { declareAll, entryOf, openWorld, queueDeclared, tinyLimits } from './world.ts'

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

  test('makes FORMAT anew where it is missing or damaged, and tells how far it is', async () => {
    const disk = await filled()
    for (const broken of [undefined, Buffer.from('millrace 3 abc 00000000')]) {
      const copy = disk.clone()
      if (broken === undefined) copy.removeFile('FORMAT')
      else copy.setFile('FORMAT', broken)
      const { problems, isHealthy } = await examine(copy, { limits: tinyLimits })
      assert.equal(isHealthy, false)
      assert.deepEqual(
        problems.filter(({ file }) => file === 'FORMAT'),
        [{ severity: 'warning', file: 'FORMAT', text: 'it is missing or damaged' }],
      )
      const seen: string[] = []
      const onProgress = ({ file, done }: { file: string; done: number }) => seen.push(`${done} ${file}`)
      const { actions, examination } = await repair(copy, { limits: tinyLimits, onProgress })
      assert.ok(actions.includes('FORMAT was made anew'))
      assert.equal(seen[0], '0 log/0000000001.log')
      assert.deepEqual(examination.problems, [])
    }
  })

  test('finds nothing wrong with a folder in which nothing was stored yet', async () => {
    const disk = new SimulatedDisk({ random: new Random(1) })
    assert.deepEqual(await examine(disk), {
      path: disk.path,
      lockedBy: undefined,
      files: [],
      queues: [],
      problems: [],
      isHealthy: true,
    })
  })

  test('says what an index file looks like: cut short, of an older file, gone', async () => {
    const disk = await filled()
    const path = 'log/0000000001.idx'
    const whole = disk.file(path)
    const indexAfter = async (change: (copy: SimulatedDisk) => void) => {
      const copy = disk.clone()
      change(copy)
      const { files, problems } = await examine(copy, { limits: tinyLimits })
      const { store, warnings } = await openWorld(copy)
      await store.close()
      return [files[0]?.index, problems.filter(({ file }) => file === path)[0]?.severity, warnings.length > 0]
    }
    for (const length of [0, 30, 70, whole.length - 1]) {
      const cut = (copy: SimulatedDisk) => copy.setFile(path, whole.subarray(0, length))
      assert.deepEqual(await indexAfter(cut), ['damaged', 'warning', true], `${length} bytes`)
    }
    assert.deepEqual(await indexAfter((copy) => copy.removeFile(path)), ['missing', 'note', false])
  })

  test('names a queue that holds back for an exchange by that exchange', async () => {
    const disk = new SimulatedDisk({ random: new Random(1) })
    const { store } = await openWorld(disk)
    store.defined({ type: 'vhost.declared', vhost: '/' })
    store.defined({ ...queueDeclared(1), name: '', holdsFor: 'later' } as Definition)
    store.published([entryOf({ seq: 1, dueAtMs: 7 })], 0)
    await store.whenQuiet()
    const { queues } = await examine(disk.crash('nothing'))
    assert.deepEqual(
      queues.map(({ vhost, name, delayed }) => ({ vhost, name, delayed })),
      [{ vhost: '/', name: "held back for exchange 'later'", delayed: 1 }],
    )
  })

  test('refuses a log of a newer format, and so does a store', async () => {
    const disk = await filled()
    const header = {
      version: formatVersion + 1,
      number: 90,
      generation: 0,
      salt: 0,
      baseSeq: 1,
      firstBatch: 0,
    }
    disk.setFile('log/0000000090.log', encodeFileHeader(header))
    const refusal = { code: 'FORMAT_TOO_NEW', message: /0000000090\.log/ }
    await assert.rejects(examine(disk), refusal)
    await assert.rejects(repair(disk), refusal)
    await assert.rejects(openWorld(disk), refusal)
  })
})
