/** Log files over time: filled, sealed, indexed, rewritten, deleted. */
import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import type { Entry } from '../../src/model/entry.ts'
import { Message } from '../../src/model/message.ts'
import { encodeProperties } from '../../src/model/properties.ts'
import type { Store } from '../../src/store/store.ts'
import { SimulatedDisk } from '../sim/disk.ts'
import { Random } from '../std/random.ts'
import { declareAll, entryOf, openWorld, tinyLimits } from './world.ts'

const body = 'x'.repeat(80)

async function openFilled(count: number): Promise<{ disk: SimulatedDisk; store: Store }> {
  const disk = new SimulatedDisk({ random: new Random(1) })
  const { store } = await openWorld(disk, { folderId: 'files' })
  declareAll(store)
  for (let seq = 1; seq <= count; seq += 1) {
    store.published([entryOf({ seq }, `${body}${seq}`)], 0)
    if (seq % 5 === 0) await store.whenSynced()
  }
  await store.whenQuiet()
  store.invariants()
  return { disk, store }
}

async function readAll(store: Store, limit = 1000): Promise<Entry[]> {
  const all: Entry[] = []
  for (;;) {
    const afterSeq = all.at(-1)?.seq ?? 0
    const entries = await store.readLane({ queueId: 1, lane: 0, afterSeq, limit, limitBytes: 1000 })
    if (entries.length === 0) return all
    all.push(...entries)
  }
}

/** A message of one byte, with headers of 1 KB. */
function headed(): Message {
  return Message.ofBytes('', 'q', encodeProperties({ headers: { note: 'x'.repeat(1_000) } }), 'x')
}

function seqs(entries: readonly Entry[]): number[] {
  return entries.map((entry) => entry.seq)
}

function range(from: number, to: number, step = 1): number[] {
  return Array.from({ length: Math.floor((to - from) / step) + 1 }, (_, index) => from + index * step)
}

function logs(disk: SimulatedDisk): string[] {
  return disk.paths().filter((path) => path.endsWith('.log') && disk.file(path).length > 0)
}

function logBytes(disk: SimulatedDisk): number {
  return logs(disk).reduce((sum, path) => sum + disk.file(path).length, 0)
}

/** Fills files with messages that leave at once. */
async function churn(store: Store, from: number, count: number): Promise<void> {
  for (let seq = from; seq < from + count; seq += 1) {
    store.published([entryOf({ seq, queueId: 2 }, body)], 0)
    store.settled(seq)
    if (seq % 5 === 0) await store.whenSynced()
  }
  await store.whenQuiet()
  store.invariants()
}

describe('log files', () => {
  test('a full file is sealed with an index and the next one begins with a checkpoint', async () => {
    const { disk, store } = await openFilled(100)
    const files = logs(disk)
    assert.ok(files.length >= 4, `${files.length} files`)
    for (const path of files.slice(0, -1))
      assert.ok(disk.paths().includes(path.replace('.log', '.idx')), path)
    assert.deepEqual(seqs(await readAll(store)), range(1, 100))
    assert.deepEqual(seqs(await readAll(store, 3)), range(1, 100))
    await store.close()
    const { store: again, recovered } = await openWorld(disk)
    assert.equal(recovered.queues[0]?.lanes[0]?.count, 100)
    assert.deepEqual(seqs(await readAll(again)), range(1, 100))
    await again.close()
  })

  test('a next file that cannot be made is tried again, and warned of once', async () => {
    const { disk, store } = await openFilled(0)
    const warnings: string[] = []
    store.onWarning = (text) => warnings.push(text)
    const open = disk.open.bind(disk)
    let refusals = 20
    disk.open = (path, mode) => {
      if (!path.endsWith('.log') || mode !== 'create' || (refusals -= 1) < 0) return open(path, mode)
      return Promise.reject(Object.assign(new Error('too many open files'), { code: 'EMFILE' }))
    }
    for (let seq = 1; seq <= 400; seq += 1) {
      store.published([entryOf({ seq }, body)], 0)
      if (seq % 5 === 0) await store.whenSynced()
    }
    await store.whenQuiet()
    assert.ok(refusals < 0, 'it was tried again')
    assert.ok(logs(disk).length >= 4, logs(disk).join())
    assert.equal(warnings.length, 1, warnings.join('; '))
    assert.deepEqual(seqs(await readAll(store)), range(1, 400))
    await store.close()
  })

  test('a file that outgrows what its index can point at, for want of a next one, ends the store', async () => {
    const disk = new SimulatedDisk({ random: new Random(1) })
    const limits = { ...tinyLimits, maximumFileBytes: 20_000 }
    const { store } = await openWorld(disk, { limits })
    declareAll(store)
    await store.whenQuiet()
    const open = disk.open.bind(disk)
    disk.open = (path, mode) => {
      if (!path.endsWith('.log') || mode !== 'create') return open(path, mode)
      return Promise.reject(Object.assign(new Error('too many open files'), { code: 'EMFILE' }))
    }
    let confirmed = 0
    const filling = async (): Promise<void> => {
      for (let seq = 1; seq <= 1000; seq += 1) {
        store.published([entryOf({ seq }, body)], 0)
        await store.whenSynced()
        confirmed = seq
      }
    }
    await assert.rejects(filling(), { code: 'STORE_FAILED', message: /next one could not be made/ })
    assert.ok(confirmed > 20)
    const { store: again } = await openWorld(disk.crash('nothing'), { limits })
    assert.deepEqual(seqs(await readAll(again)).slice(0, confirmed), range(1, confirmed))
    await again.close()
  })

  test('files of which nothing is live are deleted', async () => {
    const { disk, store } = await openFilled(0)
    await churn(store, 1, 400)
    assert.ok(logs(disk).length <= 4, logs(disk).join())
    assert.ok(!disk.paths().includes('log/0000000001.log'))
    await store.close()
  })

  test('a file of which little is live is rewritten: same messages, same order, less room', async () => {
    const { disk, store } = await openFilled(200)
    const before = logBytes(disk)
    for (const seq of range(1, 200)) if (seq % 10 !== 0) store.settled(seq)
    await churn(store, 1000, 150)
    assert.deepEqual(seqs(await readAll(store)), range(10, 200, 10))
    assert.ok(logBytes(disk) < before / 2, `${logBytes(disk)} of ${before} bytes`)
    const { store: again, recovered, warnings } = await openWorld(disk.crash('nothing'))
    assert.deepEqual(warnings, [])
    assert.equal(recovered.queues[0]?.lanes[0]?.count, 20)
    const entries = await readAll(again)
    assert.deepEqual(seqs(entries), range(10, 200, 10))
    for (const entry of entries) assert.equal(entry.message.body.toString(), `${body}${entry.seq}`)
    await again.close()
  })

  test('the room on disk is bounded by what is live', async () => {
    const { disk, store } = await openFilled(50)
    for (let round = 0; round < 10; round += 1) {
      for (const seq of range(1, 50)) if (seq % 10 === 0) store.delivered(seq)
      await churn(store, 1000 * (round + 1), 100)
    }
    assert.deepEqual(seqs(await readAll(store)), range(1, 50))
    const liveBytes = 50 * 130
    assert.ok(logBytes(disk) < liveBytes / 0.3 + 4 * 4500, `${logBytes(disk)} bytes`)
    await store.close()
  })

  test('a message in many queues is stored once, and lives as long as one of them has it', async () => {
    const { disk, store } = await openFilled(0)
    const { message } = entryOf({ seq: 1 }, 'y'.repeat(500))
    const entries = range(1, 100).map((seq) => entryOf({ seq, queueId: seq, message }, 'y'.repeat(500)))
    const before = logBytes(disk)
    store.published(entries, 0)
    await store.whenSynced()
    assert.ok(logBytes(disk) - before < 1200)
    for (const seq of range(1, 100)) if (seq !== 70) store.settled(seq)
    await churn(store, 1000, 150)
    const [entry] = await store.readLane({ queueId: 70, lane: 0, afterSeq: 0, limit: 9, limitBytes: 9 })
    assert.equal(entry?.seq, 70)
    assert.equal(entry.bodyBytes, 500)
    await store.close()
  })

  test('what is read at once is bounded by what the records take, headers included', async () => {
    const { store } = await openFilled(0)
    for (const seq of range(1, 20)) store.published([entryOf({ seq, message: headed() }, 'x')], 0)
    await store.whenSynced()
    const entries = await store.readLane({ queueId: 1, lane: 0, afterSeq: 0, limit: 99, limitBytes: 5_000 })
    assert.deepEqual(seqs(entries), range(1, 5))
    await store.close()
  })

  test('a purge takes what it names and nothing else, over all files and a crash', async () => {
    const { disk, store } = await openFilled(100)
    store.published([entryOf({ seq: 101, dueAtMs: 9 }, body), entryOf({ seq: 102, queueId: 2 }, body)], 0)
    store.purged({ queueId: 1, throughSeq: 101, state: 'ready', survivors: [3, 50, 99] })
    assert.deepEqual(seqs(await readAll(store)), [3, 50, 99], 'at once')
    store.published([entryOf({ seq: 103 }, body)], 0)
    await store.whenSynced()
    const copy = disk.crash('nothing')
    const { store: again, recovered } = await openWorld(copy)
    assert.deepEqual(seqs(await readAll(again)), [3, 50, 99, 103])
    assert.equal(recovered.queues.find((queue) => queue.queueId === 1)?.lanes[0]?.count, 4)
    assert.equal(recovered.queues.find((queue) => queue.queueId === 1)?.delayed.seqs.length, 1)
    assert.equal(recovered.queues.find((queue) => queue.queueId === 2)?.lanes[0]?.count, 1)
    again.defined({ type: 'queue.deleted', id: 1 })
    assert.deepEqual(seqs(await readAll(again)), [])
    // In a consumer's hands while its queue was deleted.
    again.settled(3)
    await churn(again, 2000, 200)
    assert.ok(!logs(copy).includes('log/0000000002.log'), 'the files of a deleted queue go')
    await again.close()
  })

  test('a gap in the numbers costs nothing but the gap', async () => {
    const { disk, store } = await openFilled(10)
    store.published([entryOf({ seq: 5000 }, body)], 0)
    await churn(store, 6000, 100)
    assert.deepEqual(seqs(await readAll(store)), [...range(1, 10), 5000])
    await store.close()
    const { store: again, recovered } = await openWorld(disk)
    assert.equal(recovered.nextSeq, 6100)
    assert.deepEqual(seqs(await readAll(again)), [...range(1, 10), 5000])
    await again.close()
  })
})

describe('an index', () => {
  test('that is missing is made anew from its log file', async () => {
    const { disk, store } = await openFilled(100)
    await store.close()
    for (const path of disk.paths()) if (path.endsWith('.idx')) disk.removeFile(path)
    const { store: again, warnings } = await openWorld(disk)
    assert.deepEqual(warnings, [])
    assert.deepEqual(seqs(await readAll(again)), range(1, 100))
    await again.close()
    assert.ok(disk.paths().includes('log/0000000001.idx'))
  })

  test('that is damaged anywhere is made anew, at the opening or when it is read', async () => {
    const { disk, store } = await openFilled(40)
    await store.close()
    const { length } = disk.file('log/0000000001.idx')
    for (let byte = 0; byte < length; byte += 1) {
      const copy = disk.clone()
      copy.flipBit('log/0000000001.idx', byte, byte % 8)
      const { store: again, warnings } = await openWorld(copy)
      again.onWarning = (text) => warnings.push(text)
      assert.deepEqual(seqs(await readAll(again)), range(1, 40), `byte ${byte}`)
      await again.whenQuiet()
      again.invariants()
      // A flip in the version, number or generation cannot pass the header's checksum.
      assert.match(warnings.join(), /made anew/, `byte ${byte}`)
      await again.close()
      const { warnings: second, store: third } = await openWorld(copy)
      assert.deepEqual(second, [])
      await third.close()
    }
  })
})

describe('damage in an older file', () => {
  test('costs the messages it hits and no others, is quarantined and said', async () => {
    const { disk, store } = await openFilled(100)
    await store.close()
    const path = 'log/0000000002.log'
    const { length } = disk.file(path)
    for (let byte = 0; byte < length; byte += 37) {
      const copy = disk.clone()
      copy.flipBit(path, byte, byte % 8)
      const { store: again, warnings } = await openWorld(copy)
      again.onWarning = (text) => warnings.push(text)
      const found = seqs(await readAll(again))
      assert.ok(found.length >= 98, `byte ${byte}: ${found.length} messages`)
      if (found.length < 100) {
        assert.match(warnings.join('\n'), /cannot be read and is lost/)
        assert.ok(copy.paths().some((name) => name.startsWith('quarantine/')))
      }
      await again.whenQuiet()
      again.invariants()
      await again.close()
      const { store: third, warnings: last } = await openWorld(copy)
      assert.deepEqual(last, [])
      assert.deepEqual(seqs(await readAll(third)), found)
      await third.close()
    }
  })

  test('a missing file costs what was in it', async () => {
    const { disk, store } = await openFilled(100)
    await store.close()
    disk.removeFile('log/0000000002.log')
    const { store: again, warnings, recovered } = await openWorld(disk)
    assert.match(warnings.join(), /0000000002\.log is missing: \d+ messages/)
    const found = seqs(await readAll(again))
    assert.ok(found.length > 60 && found.length < 100)
    assert.equal(recovered.queues[0]?.lanes[0]?.count, found.length)
    await again.close()
  })

  test('without a single checkpoint everything that was published comes back', async () => {
    const { disk, store } = await openFilled(100)
    await store.close()
    for (const path of logs(disk)) disk.flipBit(path, 64 + 40 + 20)
    const { store: again, warnings, recovered } = await openWorld(disk)
    assert.match(warnings.join(), /no checkpoint/)
    assert.equal(recovered.definitions.length, 4)
    assert.deepEqual(seqs(await readAll(again)), range(1, 100))
    again.invariants()
    await again.close()
    const { warnings: second, store: third } = await openWorld(disk)
    assert.deepEqual(second, [])
    assert.deepEqual(seqs(await readAll(third)), range(1, 100))
    await third.close()
  })
})
