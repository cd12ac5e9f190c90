/** The real disk: locks between real processes, folders that cannot be used. */
import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import type { ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import fs from 'node:fs'
import os from 'node:os'
import path from 'node:path'
import { after, describe, test } from 'node:test'
import { fileURLToPath } from 'node:url'
import { NodeDisk } from '../../src/store/node-disk.ts'
import { Store } from '../../src/store/store.ts'
import { declareAll, definitions, entryOf } from './world.ts'

const root = fs.mkdtempSync(path.join(os.tmpdir(), 'millrace-store-'))
after(() => fs.rmSync(root, { recursive: true, force: true }))
const holder = fileURLToPath(new URL('lock-holder.ts', import.meta.url))

let folders = 0
function newFolder(): string {
  folders += 1
  return path.join(root, `folder ${folders}`)
}

function touch(file: string): void {
  const seconds = Date.now() / 1000
  if (fs.existsSync(file)) fs.utimesSync(file, seconds, seconds)
}

/** Another process that holds the folder, once it says so. */
async function holdElsewhere(folder: string): Promise<ChildProcess> {
  const child = spawn(process.execPath, ['--import', 'tsx', holder, folder], {
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  await once(child.stdout, 'data')
  return child
}

describe('the lock', () => {
  test('a second process is refused and told who has the folder; after a kill it need not wait', async (t) => {
    const folder = newFolder()
    const child = await holdElsewhere(folder)
    const exited = once(child, 'exit')
    const refused = { code: 'DIRECTORY_LOCKED', message: new RegExp(`in use by process ${child.pid}`) }
    await assert.rejects(Store.open(new NodeDisk(folder)), refused)
    assert.match((await new NodeDisk(folder).lockHolder()) ?? '', new RegExp(`process ${child.pid}`))
    child.kill('SIGKILL')
    await exited
    assert.equal(await new NodeDisk(folder).lockHolder(), undefined)
    // As if its owner were alive: who waits until nobody has touched it for long does not get it.
    const touching = setInterval(() => touch(path.join(folder, 'LOCK')), 100)
    t.after(() => clearInterval(touching))
    const { store, recovered } = await Store.open(new NodeDisk(folder))
    clearInterval(touching)
    assert.equal(recovered.unclean, true)
    assert.equal(recovered.queues[0]?.lanes[0]?.count, 1)
    const [entry] = await store.readLane({ queueId: 1, lane: 0, afterSeq: 0, limit: 9, limitBytes: 99 })
    assert.equal(entry?.message.body.toString(), 'from the other process')
    await store.close()
    assert.equal(fs.existsSync(path.join(folder, 'LOCK')), false)
  })

  test('one process does not open a folder twice', async () => {
    const folder = newFolder()
    const { store } = await Store.open(new NodeDisk(folder))
    await assert.rejects(Store.open(new NodeDisk(folder)), { code: 'DIRECTORY_LOCKED' })
    await store.close()
    const { store: again } = await Store.open(new NodeDisk(folder))
    await again.close()
  })

  test('of many that want a dead owner’s folder one gets it', async () => {
    const folder = newFolder()
    fs.mkdirSync(folder)
    const dead = {
      pid: 999_999_999,
      bootId: 'x',
      pidNamespace: 'y',
      startTime: '1',
      host: 'gone',
      nonce: 'n',
    }
    fs.writeFileSync(path.join(folder, 'LOCK'), JSON.stringify(dead))
    await assert.rejects(Store.open(new NodeDisk(folder)), { code: 'DIRECTORY_LOCKED', message: /on gone/ })
    const longAgo = Date.now() / 1000 - 60
    fs.utimesSync(path.join(folder, 'LOCK'), longAgo, longAgo)
    const attempts = await Promise.allSettled(
      Array.from({ length: 8 }, () => Store.open(new NodeDisk(folder))),
    )
    const opened = attempts.filter((attempt) => attempt.status === 'fulfilled')
    assert.equal(opened.length, 1)
    await opened[0]?.value.store.close()
    assert.deepEqual(
      fs.readdirSync(folder).filter((name) => name.startsWith('LOCK')),
      [],
    )
  })
})

describe('a folder that cannot be used', () => {
  test('a file in its place is named', async () => {
    const folder = newFolder()
    fs.writeFileSync(folder, 'a file')
    await assert.rejects(Store.open(new NodeDisk(folder)), {
      code: 'DIRECTORY_UNUSABLE',
      message: /it is a file/,
    })
    await assert.rejects(Store.open(new NodeDisk(path.join(folder, 'below'))), { code: 'DIRECTORY_UNUSABLE' })
  })

  test('one that cannot be made says why', async () => {
    await assert.rejects(Store.open(new NodeDisk('/proc/millrace')), { code: 'DIRECTORY_UNUSABLE' })
  })

  test('one that holds other things is left as it is', async () => {
    const folder = newFolder()
    fs.mkdirSync(folder)
    fs.writeFileSync(path.join(folder, 'notes.txt'), 'mine')
    await assert.rejects(Store.open(new NodeDisk(folder)), {
      code: 'DIRECTORY_UNUSABLE',
      message: /not a Millrace folder/,
    })
    assert.deepEqual(fs.readdirSync(folder), ['notes.txt'])
  })
})

test('messages survive on the real disk, over many files', async () => {
  const folder = newFolder()
  const limits = { fileBytes: 100_000 }
  const { store } = await Store.open(new NodeDisk(folder), { limits })
  store.attach({ snapshot: () => ({ definitions, deliveryCounts: [], nextSeq: 0, nextQueueId: 0 }) })
  declareAll(store)
  for (let seq = 1; seq <= 2000; seq += 1) {
    store.published([entryOf({ seq }, 'x'.repeat(300))], 0)
    if (seq % 100 === 0) await store.whenSynced()
  }
  for (let seq = 1; seq <= 1800; seq += 1) store.settled(seq)
  for (let seq = 2001; seq <= 4000; seq += 1) {
    store.published([entryOf({ seq, queueId: 2 }, 'x'.repeat(300))], 0)
    store.settled(seq)
    if (seq % 100 === 0) await store.whenSynced()
  }
  await store.whenQuiet()
  store.invariants()
  await store.close()
  const used = fs.readdirSync(path.join(folder, 'log')).length
  assert.ok(used < 14, `${used} files are left`)
  const { store: again, recovered, warnings } = await Store.open(new NodeDisk(folder), { limits })
  assert.deepEqual(warnings, [])
  assert.equal(recovered.queues[0]?.lanes[0]?.count, 200)
  const entries = await again.readLane({ queueId: 1, lane: 0, afterSeq: 0, limit: 500, limitBytes: 1e9 })
  assert.deepEqual([entries.length, entries[0]?.seq], [200, 1801])
  await again.close()
})

test('large bodies, which are written from where they are, survive among small ones', async () => {
  const folder = newFolder()
  const limits = { chunkBytes: 4096, batchBytes: 50_000, fileBytes: 1_000_000 }
  const { store } = await Store.open(new NodeDisk(folder), { limits })
  store.attach({ snapshot: () => ({ definitions, deliveryCounts: [], nextSeq: 0, nextQueueId: 0 }) })
  declareAll(store)
  const bodyOf = (seq: number): Buffer => Buffer.alloc([10, 32_767, 32_768, 300_000, 0][seq % 5]!, `${seq} `)
  for (let seq = 1; seq <= 100; seq += 1) {
    store.published([entryOf({ seq }, bodyOf(seq))], 0)
    if (seq % 7 === 0) await store.whenSynced()
  }
  await store.close()
  const { store: again, warnings } = await Store.open(new NodeDisk(folder), { limits })
  assert.deepEqual(warnings, [])
  const entries = await again.readLane({ queueId: 1, lane: 0, afterSeq: 0, limit: 500, limitBytes: 1e9 })
  assert.equal(entries.length, 100)
  for (const { seq, message } of entries) assert.ok(bodyOf(seq).equals(message.body as Uint8Array), `${seq}`)
  await again.close()
})
