/** A small log, cut at every byte and flipped at every byte. */
import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import type { Recovered } from '../../src/model/record.ts'
import type { Store } from '../../src/store/store.ts'
import { SimulatedDisk } from '../sim/disk.ts'
import { Random } from '../std/random.ts'
import { definitions, entryOf, openWorld } from './world.ts'

const limits = { fileBytes: 1_000_000, eagerBatchBytes: 1_000_000, chunkBytes: 4096 }
const path = 'log/0000000001.log'

interface Batch {
  readonly from: number
  readonly to: number
  readonly seqs: readonly number[]
  readonly isDefinitions: boolean
}

/** Batches of some messages each, and one of definitions. */
async function smallLog(closed: boolean): Promise<{ disk: SimulatedDisk; batches: Batch[] }> {
  const disk = new SimulatedDisk({ random: new Random(1) })
  const { store } = await openWorld(disk, { limits, folderId: 'small' })
  const batches: Batch[] = []
  let seq = 0
  const batch = async (append: () => number[]): Promise<void> => {
    const from = disk.file(path).length
    const seqs = append()
    await store.whenSynced()
    batches.push({ from, to: disk.file(path).length, seqs, isDefinitions: seqs.length === 0 })
  }
  await batch(() => {
    for (const definition of definitions) store.defined(definition)
    return []
  })
  for (let round = 0; round < 5; round += 1) {
    await batch(() => {
      const seqs: number[] = []
      for (let left = 3; left > 0; left -= 1) {
        seq += 1
        store.published([entryOf({ seq, queueId: 1 + (seq % 2), lane: seq % 2 })], 0)
        seqs.push(seq)
      }
      return seqs
    })
  }
  if (closed) await store.close()
  else await store.whenQuiet()
  return { disk: disk.crash('nothing'), batches }
}

async function readAll(store: Store, recovered: Recovered): Promise<number[]> {
  const seqs: number[] = []
  for (const queueId of [1, 2]) {
    const lane = queueId - 1
    const entries = await store.readLane({ queueId, lane, afterSeq: 0, limit: 100, limitBytes: 1e6 })
    const counted = recovered.queues.find((queue) => queue.queueId === queueId)?.lanes[0]?.count ?? 0
    assert.equal(counted, entries.length)
    for (const entry of entries) {
      assert.equal(entry.message.body.toString(), `body ${entry.seq}`)
      seqs.push(entry.seq)
    }
  }
  return seqs.sort((a, b) => a - b)
}

/** Opens, reads, closes, and opens again: the second time without a complaint, and with the same messages. */
async function openTwice(
  disk: SimulatedDisk,
): Promise<{ seqs: number[]; warnings: string[]; recovered: Recovered }> {
  const { store, recovered, warnings } = await openWorld(disk, { limits })
  const seqs = await readAll(store, recovered)
  store.invariants()
  await store.close()
  const second = await openWorld(disk, { limits })
  assert.deepEqual(second.warnings, [])
  assert.deepEqual(await readAll(second.store, second.recovered), seqs)
  assert.equal(second.recovered.unclean, false)
  await second.store.close()
  return { seqs, warnings, recovered }
}

describe('a log that ends anywhere', () => {
  test('keeps every batch that is whole and nothing else', async () => {
    const { disk, batches } = await smallLog(false)
    const whole = disk.file(path)
    for (let length = 0; length <= whole.length; length += 1) {
      const cut = disk.clone()
      cut.setFile(path, whole.subarray(0, length))
      const { seqs, warnings } = await openTwice(cut)
      const wanted = batches.filter((batch) => batch.to <= length).flatMap((batch) => batch.seqs)
      assert.deepEqual(seqs, wanted, `cut at byte ${length}`)
      const isAtEdge = batches.some((batch) => batch.to === length || batch.from === length)
      if (length > batches[0]!.from) assert.equal(warnings.length, isAtEdge ? 0 : 1, `cut at byte ${length}`)
    }
  })
})

describe('a log with a flipped bit anywhere', () => {
  for (const closed of [true, false]) {
    test(`keeps what is not in the damaged batch, and says so (${closed ? 'closed' : 'not closed'})`, async () => {
      const { disk, batches } = await smallLog(closed)
      const all = batches.flatMap((batch) => batch.seqs)
      const { length } = disk.file(path)
      for (let byte = 0; byte < length; byte += 1) {
        const flipped = disk.clone()
        flipped.flipBit(path, byte, byte % 8)
        const { seqs, warnings } = await openTwice(flipped)
        const hit = batches.find((batch) => byte >= batch.from && byte < batch.to)
        assert.ok(warnings.length > 0, `nothing was said of byte ${byte}`)
        if (hit?.isDefinitions === true) assert.match(warnings.join('\n'), /quarantine/)
        else {
          const others = all.filter((seq) => hit?.seqs.includes(seq) !== true)
          assert.deepEqual(
            seqs.filter((seq) => others.includes(seq)),
            others,
            `byte ${byte} took others along`,
          )
          if (hit === undefined) assert.deepEqual(seqs, all, `byte ${byte} lost something`)
        }
        const isTail = hit === undefined ? byte >= batches.at(-1)!.to : hit === batches.at(-1) && !closed
        const copies = flipped.paths().filter((name) => name.startsWith('quarantine/'))
        // The first batch is the file's checkpoint: it holds nothing that the rest does not say again.
        if (!isTail && hit !== undefined) assert.equal(copies.length, 1, `byte ${byte} was not quarantined`)
      }
    })
  }
})

test('a file whose start was lost before it was ever synced was never promised, whatever else of it was kept', async () => {
  const disk = new SimulatedDisk({ random: new Random(1), stepped: true })
  const opening = openWorld(disk, { folderId: 'barrier' })
  let isOpen = false
  const opened = opening.then(({ store }) => {
    isOpen = true
    return store
  })
  while (!isOpen || disk.waiting > 0) {
    disk.step()
    await new Promise((resolve) => setImmediate(resolve))
  }
  const store = await opened
  for (const definition of definitions) store.defined(definition)
  // From here nothing completes: what the barriers write is not synced.
  store.published([entryOf({ seq: 1 }, 'x'.repeat(4000))], 0)
  store.barrier()
  store.published([entryOf({ seq: 2 })], 0)
  store.barrier()
  const found = disk.crash('process', { stepped: false })
  const second = Buffer.from(found.file('log/0000000002.log'))
  const checkpointEnd = 64 + 40 + second.readUInt32LE(64 + 8)
  assert.ok(second.length > checkpointEnd, 'a batch follows the checkpoint')
  found.setFile('log/0000000002.log', second.fill(0, 0, checkpointEnd))
  const { store: again, recovered, warnings } = await openWorld(found)
  assert.deepEqual(warnings, [])
  assert.equal(recovered.queues[0]?.lanes[0]?.count, 1)
  const entries = await again.readLane({ queueId: 1, lane: 0, afterSeq: 0, limit: 9, limitBytes: 9 })
  assert.deepEqual(
    entries.map((entry) => entry.seq),
    [1],
  )
  await again.close()
})
