/** A store on a disk that is stepped: what is under way at the disk, and which of it ends first, is in the test's hands. */
import assert from 'node:assert/strict'
import type { Scheduler } from '../../src/store/scheduler.ts'
import { nodeScheduler } from '../../src/store/scheduler.ts'
import type { Store, StoreOptions } from '../../src/store/store.ts'
import { SimulatedDisk } from '../sim/disk.ts'
import type { Turns } from '../sim/turns.ts'
import { Random } from '../std/random.ts'
import { declareAll, entryOf, openWorld } from './world.ts'

export const roomy: StoreOptions = {
  limits: { fileBytes: 1_000_000, eagerBatchBytes: 1_000_000, chunkBytes: 4096 },
}
/** A batch of so much does not wait for the end of a sync before it is written. */
export const eager: StoreOptions = { limits: { ...roomy.limits, eagerBatchBytes: 1000 } }
export const large = 'x'.repeat(2000)

export const nextTurn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve))

/** Turns are those of the process; what is due later is due when the test says so. */
export function timedBy(turns: Turns): Scheduler {
  return { ...nodeScheduler, after: (ms, callback) => turns.after(ms, callback) }
}

export interface SteppedStore {
  readonly disk: SimulatedDisk
  readonly store: Store
  /** Steps until that is settled, either way. */
  readonly settle: (until: Promise<unknown>) => Promise<void>
}

/** With what it needs declared, and nothing left to do. */
export async function openStepped(seed: number, options: StoreOptions): Promise<SteppedStore> {
  const disk = new SimulatedDisk({ random: new Random(seed), stepped: true })
  const settle = async (until: Promise<unknown>): Promise<void> => {
    let done = false
    const settled = (): void => {
      done = true
    }
    until.then(settled, settled)
    for (let turn = 0; !done; turn += 1) {
      assert.ok(turn < 100_000, 'it never settles')
      disk.step()
      await nextTurn()
    }
  }
  const opening = openWorld(disk, options)
  await settle(opening)
  const { store } = await opening
  declareAll(store)
  await settle(store.whenSynced())
  await settle(store.whenQuiet())
  return { disk, store, settle }
}

export interface Overlapping extends SteppedStore {
  /** What the disk did since. */
  readonly steps: () => string[]
  /** For each message, that it is stored. */
  readonly stored: Promise<void>[]
}

/** The second message is written while the first is being synced; the disk decides which of the two ends first. */
export async function overlapping(seed: number, options: StoreOptions = eager): Promise<Overlapping> {
  const { disk, store, settle } = await openStepped(seed, options)
  const from = disk.history.length
  const steps = (): string[] => disk.history.slice(from).map((line) => line.replace(/^\d+ /, ''))
  store.published([entryOf({ seq: 1 }, large)], 0)
  const stored = [store.whenSynced()]
  disk.step()
  await nextTurn()
  store.published([entryOf({ seq: 2 }, large)], 0)
  stored.push(store.whenSynced())
  await nextTurn()
  assert.equal(disk.waiting, 2, 'the sync of the first, and the write of the second')
  return { disk, store, settle, steps, stored }
}

/** The messages that a store finds on this disk. */
export async function seqsOf(disk: SimulatedDisk): Promise<number[]> {
  const { store } = await openWorld(disk, eager)
  const bounds = { afterSeq: 0, limit: 1000, limitBytes: Infinity }
  const entries = await store.readLane({ queueId: 1, lane: 0, ...bounds })
  await store.close()
  return entries.map((entry) => entry.seq)
}
