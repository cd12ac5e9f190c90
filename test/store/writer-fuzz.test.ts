/** A store at work on a disk whose operations end in any order and which fails at some time, for some time or for good. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { Store, StoreState, SyncPolicy } from '../../src/store/store.ts'
import { SimulatedDisk } from '../sim/disk.ts'
import { Turns } from '../sim/turns.ts'
import { Random } from '../std/random.ts'
import { nextTurn, timedBy } from './stepped.ts'
import { Oracle, declareAll, openWorld, readEverything, workTurn } from './world.ts'

/** One seed alone: `SEED=7 node --import tsx --test test/store/writer-fuzz.test.ts` */
const only = process.env['SEED']
const seeds = only === undefined ? 60 : 1
const first = Number(only ?? 1)

interface Run {
  readonly sync: SyncPolicy
  readonly random: Random
  readonly oracle: Oracle
  readonly turns: Turns
  readonly disk: SimulatedDisk
  /** What takes long at this disk. */
  readonly slow: string
  /** What somebody waits for; each settles without a failure of its own. */
  readonly waits: Promise<unknown>[]
}

function step({ random, disk, slow }: Run): void {
  disk.step(random.below(8) > 0 ? slow : undefined)
}

/** Steps the disk and lets time pass until that is settled, either way. */
async function settle(run: Run, until: Promise<unknown>, what: string): Promise<void> {
  const { random, turns } = run
  let done = false
  const settled = (): void => {
    done = true
  }
  until.then(settled, settled)
  for (let turn = 0; !done; turn += 1) {
    assert.ok(turn < 30_000, `${what} never settles`)
    if (random.below(3) > 0) step(run)
    if (random.below(3) === 0) turns.advance(1)
    await nextTurn()
  }
}

function breakDisk({ random, disk }: Run): void {
  const operation = random.pick(['write', 'sync'] as const)
  const code = random.pick(['EIO', 'ENOSPC', 'ENOSPC'])
  const times = random.below(2) === 0 ? 2 : Infinity
  disk.faults.push({ operation, path: /^log\/\d+\.log$/, code, times })
}

async function work(run: Run, store: Store): Promise<void> {
  const { sync, random, oracle, turns, waits } = run
  const rounds = 30 + random.below(60)
  const breaksAt = random.below(3) > 0 ? random.below(rounds) : rounds
  for (let round = 0; round < rounds; round += 1) {
    if (round === breaksAt) breakDisk(run)
    workTurn(store, oracle, random)
    store.invariants()
    if (random.below(6) === 0) store.barrier()
    store.invariants()
    if (random.below(2) === 0) {
      const confirm = sync === 'group' ? oracle.pending() : () => undefined
      waits.push(store.whenSynced().then(confirm, () => undefined))
    }
    if (random.below(6) === 0) waits.push(readEverything(store).catch(() => undefined))
    for (let left = random.below(5); left > 0; left -= 1) {
      step(run)
      if (random.below(2) === 0) await nextTurn()
    }
    store.invariants()
    if (random.below(2) === 0) turns.advance(1)
    if (random.below(3) === 0) await nextTurn()
  }
}

async function close(run: Run, store: Store): Promise<void> {
  const { random, oracle, disk, waits } = run
  if (random.below(2) === 0) waits.push(store.whenQuiet().catch(() => undefined))
  const confirm = oracle.pending()
  const closing = store.close()
  closing.then(confirm, () => undefined)
  await settle(run, closing, `the close of a store that is ${store.state}`)
  const from = disk.history.length
  while (disk.step()) await nextTurn()
  const late = disk.history
    .slice(from)
    .filter((line) => /^\d+ (write|sync|rename|unlink|truncate)/.test(line))
  assert.deepEqual(late, [], 'nothing changes on the disk after the close')
  await settle(run, Promise.all(waits), 'what somebody waits for')
}

/** Says in what state the store was at the end. */
async function liveAndCrash(seed: number, sync: SyncPolicy): Promise<StoreState> {
  const random = new Random(seed)
  const disk = new SimulatedDisk({ random, stepped: true })
  const slow = random.pick(['write', 'sync', 'nothing'])
  const run: Run = { sync, random, oracle: new Oracle(), turns: new Turns(0), disk, slow, waits: [] }
  try {
    const limits = { openFiles: 1 + random.below(2) }
    const opening = openWorld(disk, { sync, folderId: 'sim', limits, scheduler: timedBy(run.turns) })
    await settle(run, opening, 'the opening')
    const { store } = await opening
    declareAll(store)
    await work(run, store)
    if (random.below(3) > 0) await close(run, store)
    const found = disk.crash(random.pick(['chance', 'nothing']), { stepped: false })
    const again = await openWorld(found, { sync })
    run.oracle.check(await readEverything(again.store, again.recovered))
    const damage = again.warnings.filter((text) => !text.includes('not written completely'))
    assert.deepEqual(damage, [])
    await again.store.close()
    return store.state
  } catch (error) {
    const where = `seed ${seed}, sync ${JSON.stringify(sync)}`
    const message = error instanceof Error ? (error.stack ?? error.message) : String(error)
    throw new Error(`${where}: ${message}\n${disk.history.slice(-20).join('\n')}`, { cause: error })
  }
}

for (const sync of ['group', 'os', { intervalMs: 1 }] as const) {
  test(`a disk that fails at any time: all settles, nothing confirmed is lost, sync ${JSON.stringify(sync)}`, async () => {
    const states = new Set<StoreState>()
    for (let seed = first; seed < first + seeds; seed += 1) states.add(await liveAndCrash(seed, sync))
    if (only !== undefined) return
    assert.ok(states.has('ok') && states.has('failed'), 'some runs went well, and some did not')
  })
}
