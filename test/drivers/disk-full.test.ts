/** A disk that is full, seen through the public API: sends wait, consumers go on, and all of it resumes by itself. */
import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { writeFile } from 'node:fs/promises'
import { join, resolve } from 'node:path'
import { test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { promisify } from 'node:util'
import { fileDriver } from '../../src/drivers/file.ts'
import { Client } from '../../src/index.ts'
import { NodeDisk } from '../../src/store/node-disk.ts'
import { FaultyDisk } from '../conformance/faulty-disk.ts'
import { SimulatedDisk } from '../sim/disk.ts'
import { Random } from '../std/random.ts'
import { withFolder } from './folder.ts'

const store = { limits: { fullRetryMs: 10, freeCheckMs: 10, lowFreeBytes: 1_000 } }

/** Resolves when senders are told to wait. */
function blocked(mq: Client): Promise<unknown> {
  return new Promise((resolve) => mq.on('blocked', resolve))
}

async function withDisk(run: (mq: Client, disk: FaultyDisk, reopen: () => Promise<Client>) => Promise<void>) {
  await withFolder(async (folder) => {
    const disk = new FaultyDisk(new NodeDisk(join(folder, 'data')))
    const open = async (): Promise<Client> => {
      const driver = fileDriver(`file:${folder}/data`, { disk, store })
      return new Client(driver, await driver.open())
    }
    await run(await open(), disk, open)
  })
}

test('sends wait, consumers go on, events tell, and it resumes by itself', () =>
  withDisk(async (mq, disk, reopen) => {
    const events: string[] = []
    mq.on('blocked', (reason) => events.push(`blocked: ${reason}`))
    mq.on('unblocked', () => events.push('unblocked'))
    const queue = mq.queue<number>('q')
    await queue.sendMany([1, 2, 3])
    const shut = blocked(mq)
    disk.fill(true)
    const stored: number[] = []
    const sending = [4, 5, 6].map(async (n) => {
      await queue.send(n)
      stored.push(n)
    })
    await shut
    const late = queue.send(7).then(() => stored.push(7))
    await sleep(20)
    assert.deepEqual(stored, [])
    assert.deepEqual(events, ['blocked: disk full'])
    const handled: number[] = []
    const worker = queue.work((job) => void handled.push(job.data))
    while (handled.length < 6) await sleep(5)
    disk.fill(false)
    await Promise.all([...sending, late])
    assert.deepEqual(stored, [4, 5, 6, 7])
    while (handled.length < 7) await sleep(5)
    assert.deepEqual(handled, [1, 2, 3, 4, 5, 6, 7])
    assert.deepEqual(events, ['blocked: disk full', 'unblocked'])
    await worker.close()
    await mq.close()
    await using again = await reopen()
    assert.equal((await again.queue('q').stats()).ready, 0)
  }))

test('a send that waits can be called off, and is not stored later', () =>
  withDisk(async (mq, disk) => {
    const queue = mq.queue<string>('q')
    await queue.send('before')
    const shut = blocked(mq)
    disk.fill(true)
    const first = queue.send('under way')
    await shut
    const controller = new AbortController()
    const refused = assert.rejects(queue.send('called off', { signal: controller.signal }), {
      code: 'ABORTED',
    })
    await sleep(10)
    controller.abort()
    await refused
    disk.fill(false)
    await first
    await queue.send('after')
    assert.deepEqual(
      (await queue.browse()).map((job) => job.data),
      ['before', 'under way', 'after'],
    )
    await mq.close()
  }))

test('close with a timeout ends on a full disk: what was not stored rejects, nothing confirmed is lost', () =>
  withDisk(async (mq, disk, reopen) => {
    const queue = mq.queue<string>('q')
    await queue.send('confirmed')
    const shut = blocked(mq)
    disk.fill(true)
    const written = assert.rejects(queue.send('under way'), { code: 'DISK_FULL' })
    await shut
    const held = assert.rejects(queue.send('at the gate'), { code: 'CLOSED' })
    await assert.rejects(mq.close({ timeout: 20 }), { code: 'DISK_FULL' })
    await Promise.all([written, held])
    disk.fill(false)
    await using again = await reopen()
    assert.deepEqual(
      (await again.queue('q').browse()).map((job) => job.data),
      ['confirmed'],
    )
  }))

test('a program that only waits for its send stays until there is room', () =>
  withFolder(async (folder) => {
    const root = resolve(import.meta.dirname, '../..')
    const path = join(folder, 'program.mts')
    await writeFile(
      path,
      [
        `import { fileDriver } from '${root}/src/drivers/file.ts'`,
        `import { Client } from '${root}/src/index.ts'`,
        `import { NodeDisk } from '${root}/src/store/node-disk.ts'`,
        `import { FaultyDisk } from '${root}/test/conformance/faulty-disk.ts'`,
        `const disk = new FaultyDisk(new NodeDisk('${folder}/data'))`,
        `const store = ${JSON.stringify(store)}`,
        `const driver = fileDriver('file:${folder}/data', { disk, store })`,
        'const mq = new Client(driver, await driver.open())',
        "await mq.queue('q').send('before')",
        'disk.fill(true)',
        "mq.on('blocked', () => setTimeout(() => disk.fill(false), 100).unref())",
        "await mq.queue('q').send('waited')",
        "console.log('stored')",
        'await mq.close()',
      ].join('\n'),
    )
    const { stdout } = await promisify(execFile)(process.execPath, ['--import', 'tsx', path], { cwd: root })
    assert.equal(stdout, 'stored\n')
  }))

test('an opening that meets a full disk is typed, and works when there is room', () =>
  withFolder(async (folder) => {
    const disk = new FaultyDisk(new NodeDisk(join(folder, 'data')))
    disk.fill(true)
    const driver = fileDriver(`file:${folder}/data`, { disk, store })
    await assert.rejects(driver.open(), { name: 'StoreError', code: 'DISK_FULL' })
    await driver.close()
    disk.fill(false)
    const next = fileDriver(`file:${folder}/data`, { disk, store })
    await next.open()
    await next.close()
  }))

test('a folder that is there opens on a full disk, so that its consumers can make room', async () => {
  const disk = new SimulatedDisk({ random: new Random(1) })
  const open = async (): Promise<Client> => {
    const driver = fileDriver('file:./simulated', { disk, store })
    return new Client(driver, await driver.open())
  }
  const before = await open()
  await before.queue('q').sendMany([1, 2])
  await before.close()
  disk.capacityBytes = 0
  const mq = await open()
  const handled: unknown[] = []
  const worker = mq.queue('q').work((job) => void handled.push(job.data))
  while (handled.length < 2) await sleep(5)
  assert.deepEqual(handled, [1, 2])
  disk.capacityBytes = Infinity
  await worker.close()
  await mq.close()
})
