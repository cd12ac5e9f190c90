/** Records that have the right checksum and make no sense: as a newer Millrace, or a bug, may leave them. */
import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import type { Definition } from '../../src/model/record.ts'
import { SimulatedDisk } from '../sim/disk.ts'
import { Random } from '../std/random.ts'
import { declareAll, definitions, entryOf, openWorld } from './world.ts'

const strange = { type: 'queue.turned', id: 1 } as unknown as Definition

async function reopened(disk: SimulatedDisk) {
  const { store, recovered, warnings } = await openWorld(disk)
  const entries = await store.readLane({ queueId: 1, lane: 0, afterSeq: 0, limit: 99, limitBytes: 1e6 })
  await store.close()
  const { store: again, warnings: second } = await openWorld(disk)
  await again.close()
  const kinds = recovered.definitions.map(({ type }) => type)
  return { seqs: entries.map(({ seq }) => seq), kinds, warnings, second }
}

const sound = definitions.map(({ type }) => type)

describe('a definition of an unknown kind', () => {
  test('is passed over and said', async () => {
    const disk = new SimulatedDisk({ random: new Random(1) })
    const { store } = await openWorld(disk)
    declareAll(store)
    store.published([entryOf({ seq: 1 })], 0)
    store.defined(strange)
    store.published([entryOf({ seq: 2 })], 0)
    await store.whenQuiet()
    const found = await reopened(disk.crash('nothing'))
    assert.deepEqual(found.seqs, [1, 2])
    assert.deepEqual(found.kinds, sound)
    assert.match(found.warnings.join(), /passed over: 1;/)
    assert.deepEqual(found.second, [])
  })

  test('is passed over in a checkpoint too', async () => {
    const disk = new SimulatedDisk({ random: new Random(1) })
    const { store } = await openWorld(disk)
    store.attach({
      snapshot: () => ({
        definitions: [...definitions, strange],
        deliveryCounts: [],
        nextSeq: 0,
        nextQueueId: 1,
      }),
    })
    declareAll(store)
    for (let seq = 1; seq <= 60; seq += 1) {
      store.published([entryOf({ seq }, 'x'.repeat(80))], 0)
      if (seq % 5 === 0) await store.whenSynced()
    }
    await store.whenQuiet()
    const found = await reopened(disk.crash('nothing'))
    assert.equal(found.seqs.length, 60)
    assert.deepEqual(found.kinds, sound)
    assert.match(found.warnings.join(), /passed over: 1;/)
    assert.deepEqual(found.second, [])
  })
})

test('what is told of an entry that has left changes nothing', async () => {
  const disk = new SimulatedDisk({ random: new Random(1) })
  const { store } = await openWorld(disk)
  declareAll(store)
  store.published([entryOf({ seq: 1 }), entryOf({ seq: 2 })], 0)
  store.settled(1)
  await store.whenSynced()
  store.settled(1)
  store.delivered(1)
  store.released(1)
  await store.whenQuiet()
  const found = await reopened(disk.crash('nothing'))
  assert.deepEqual(found.seqs, [2])
  assert.deepEqual(found.warnings, [])
})
