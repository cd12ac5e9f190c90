/** What the doctor's rehearsal writes is there for it and for nobody else. */
import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import type { Disk } from '../../src/store/disk.ts'
import { readWhole, replaceWhole } from '../../src/store/disk.ts'
import { ScratchDisk } from '../../src/store/scratch-disk.ts'
import { SimulatedDisk } from '../sim/disk.ts'
import { Random } from '../std/random.ts'

function create() {
  const below = new SimulatedDisk({ random: new Random(1) })
  below.setFile('FORMAT', Buffer.from('ours'))
  below.setFile('log/1', Buffer.from('first'))
  below.setFile('log/2', Buffer.from('second'))
  const before = contents(below)
  return {
    below,
    scratch: new ScratchDisk(below),
    untouched: () => assert.deepEqual(contents(below), before),
  }
}

function contents(disk: SimulatedDisk): unknown {
  return disk.paths().map((path) => [path, disk.file(path).toString()])
}

async function textOf(disk: Disk, path: string): Promise<string | undefined> {
  return (await readWhole(disk, path))?.toString()
}

describe('a disk on top of another', () => {
  test('shows what is below', async () => {
    const { scratch } = create()
    assert.deepEqual((await scratch.list('')).sort(), ['FORMAT', 'log'])
    assert.deepEqual(await scratch.list('log'), ['1', '2'])
    assert.equal(await textOf(scratch, 'log/1'), 'first')
    assert.equal(await textOf(scratch, 'log/3'), undefined)
    assert.equal(scratch.path, 'a simulated disk')
    assert.equal(await scratch.lockHolder(), undefined)
  })

  test('keeps what is written to itself', async () => {
    const { scratch, untouched } = create()
    const file = await scratch.open('log/1', 'write')
    await file.write([Buffer.from('FIRST'), Buffer.from(' and more')], 0)
    file.writeSync([Buffer.from('!')], 20)
    await file.sync()
    file.syncSync()
    assert.equal(await file.size(), 21)
    await file.truncate(9)
    await file.close()
    await replaceWhole(scratch, 'log/3', [Buffer.from('third')])
    await scratch.makeDirectory()
    assert.equal(await textOf(scratch, 'log/1'), 'FIRST and')
    assert.equal(await textOf(scratch, 'log/3'), 'third')
    assert.deepEqual((await scratch.list('log')).sort(), ['1', '2', '3'])
    untouched()
  })

  test('forgets what is unlinked or renamed', async () => {
    const { scratch, untouched } = create()
    await scratch.unlink('log/1')
    await scratch.rename('log/2', 'log/9')
    await replaceWhole(scratch, 'NEW', [Buffer.from('n')])
    assert.deepEqual(await scratch.list('log'), ['9'])
    assert.deepEqual((await scratch.list('')).sort(), ['FORMAT', 'NEW', 'log'])
    assert.equal(await textOf(scratch, 'log/9'), 'second')
    await assert.rejects(scratch.open('log/1', 'write'), { code: 'ENOENT' })
    await assert.rejects(scratch.rename('log/1', 'log/8'), { code: 'ENOENT' })
    untouched()
  })

  test('takes copies of damaged files and keeps nothing of them', async () => {
    const { scratch, untouched } = create()
    const copy = await scratch.open('quarantine/1', 'create')
    await copy.write([Buffer.from('damaged')], 0)
    assert.equal(await copy.size(), 0)
    await copy.close()
    assert.equal(await textOf(scratch, 'quarantine/1'), '')
    untouched()
  })

  test('is always ready, its own, and never full', async () => {
    const { scratch, untouched } = create()
    await scratch.prepare()
    const locks = await Promise.all([scratch.lock(), scratch.lock()])
    for (const lock of locks) await lock.release()
    assert.equal(await scratch.freeBytes(), Infinity)
    untouched()
  })
})
