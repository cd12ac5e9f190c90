import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import type { SyncPolicy } from '../../src/store/store.ts'
import type { CrashKind } from '../sim/disk.ts'
import { SimulatedDisk } from '../sim/disk.ts'
import { Random, seedOfRun } from '../std/random.ts'
import { Oracle, declareAll, openWorld, readEverything, workTurn } from './world.ts'

const turns = 25

/** Works until it is done or the disk halts. */
async function live(disk: SimulatedDisk, oracle: Oracle, random: Random, sync: SyncPolicy): Promise<void> {
  const { store, recovered } = await openWorld(disk, { sync, folderId: 'sim' })
  oracle.check(await readEverything(store, recovered))
  declareAll(store)
  for (let turn = 0; turn < turns; turn += 1) {
    workTurn(store, oracle, random)
    store.invariants()
    if (random.below(10) === 0) store.barrier()
    if (random.below(3) === 0) {
      const confirm = oracle.pending()
      await store.whenSynced()
      confirm()
    } else if (random.below(2) === 0) await new Promise((resolve) => setImmediate(resolve))
    store.invariants()
    if (random.below(8) === 0) await readEverything(store)
  }
  const confirm = oracle.pending()
  if (random.below(2) === 0) {
    await store.close()
    confirm()
  } else await store.whenQuiet().then(sync === 'group' ? confirm : () => undefined)
}

/** Completes operations one at a time, in any order between files, with any number of turns between them. */
async function stepThrough(disk: SimulatedDisk, outcome: Promise<void>, random: Random): Promise<void> {
  let isOver = false
  const over = (): void => {
    isOver = true
  }
  outcome.then(over, over)
  while (!isOver) {
    if (random.below(3) > 0) disk.step()
    await new Promise((resolve) => setImmediate(resolve))
  }
}

/** Lives through one crash after another, each after so many operations; what is left must fit the oracle each time. */
async function survive(
  seed: number,
  haltAt: number,
  kind: CrashKind,
  sync: SyncPolicy,
  stepped = false,
): Promise<boolean> {
  const random = new Random(seed)
  const oracle = new Oracle()
  let disk = new SimulatedDisk({ random, haltAt, stepped })
  let finished = false
  try {
    const work = async (): Promise<void> => {
      await live(disk, oracle, random, sync)
      finished = true
    }
    const outcome = Promise.race([work(), disk.whenHalted])
    if (stepped) await stepThrough(disk, outcome, random)
    await outcome
    // What the store confirmed before the halt has told its waiters by now.
    await new Promise((resolve) => setImmediate(resolve))
    for (let round = 0; round < 2; round += 1) {
      disk = disk.crash(kind, { haltAt: Infinity, stepped: false })
      const { store, recovered, warnings } = await openWorld(disk, { sync })
      oracle.check(await readEverything(store, recovered))
      assert.deepEqual(
        warnings.filter((text) => !text.includes('not written completely')),
        [],
      )
      if (oracle.definitionsConfirmed) assert.equal(recovered.definitions.length, 4)
      declareAll(store)
      for (let turn = 0; turn < 6; turn += 1) workTurn(store, oracle, random)
      const confirm = oracle.pending()
      await store.whenSynced()
      if (sync === 'group' || kind === 'process') confirm()
      await store.whenQuiet()
      store.invariants()
    }
    return finished
  } catch (error) {
    const where = `seed ${seed}, halt at ${haltAt}, crash '${kind}', sync ${JSON.stringify(sync)}`
    const message = `${where}: ${error instanceof Error ? (error.stack ?? error.message) : String(error)}`
    throw new Error(`${message}\n${disk.history.slice(-20).join('\n')}`, { cause: error })
  }
}

describe('a crash after any disk operation loses nothing that was confirmed', () => {
  const seed = seedOfRun()
  for (const kind of ['chance', 'nothing', 'process'] as const) {
    test(`what was not synced is left to ${kind}`, async () => {
      for (let haltAt = 1; ; haltAt += 1) if (await survive(seed + (haltAt % 7), haltAt, kind, 'group')) break
    })
  }

  test('without a sync, a killed process loses nothing that was written', async () => {
    for (let haltAt = 1; ; haltAt += 3) if (await survive(seed, haltAt, 'process', 'os')) break
  })

  test('with a sync now and then, a killed process loses nothing that was written', async () => {
    for (let haltAt = 1; ; haltAt += 3) if (await survive(seed, haltAt, 'process', { intervalMs: 1 })) break
  })

  test('the disk may finish its operations in any order between files', async () => {
    for (let run = 0; run < 60; run += 1) {
      await survive(seed + run, 20 + ((run * 7) % 150), run % 2 === 0 ? 'chance' : 'nothing', 'group', true)
    }
  })
})
