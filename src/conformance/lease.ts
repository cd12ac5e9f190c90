/**
 * Lines 47 to 52: who holds a message. An engine whose hold lasts as long as the connection (leaseMs 0) keeps the same
 * promises with the connection's end in the place of the lease's.
 */
import assert from 'node:assert/strict'
import type { Delivery } from '../client/driver.ts'
import type { Queue } from '../client/queue.ts'
import { Deferred } from '../std/deferred.ts'
import { assertFigures } from './figures.ts'
import { at, declareQueue, fill, Inbox, quietMs, text } from './inbox.ts'
import type { Chapter } from './line.ts'
import { assertCode } from './trial.ts'
import type { Trial } from './trial.ts'

export const lease: Chapter = {
  heading: 'Lease',
  lines: [
    { number: 47, title: "a dead consumer's messages are redelivered", run: deadConsumer },
    { number: 48, title: 'extend keeps the hold', run: extendKeeps },
    { number: 49, title: 'a late settle is fenced off', run: lateSettle },
    { number: 50, title: 'lost fires', run: lostFires },
    { number: 51, title: 'a blocked event loop loses the lease, not the message', run: blockedLoop },
    { number: 52, title: 'a job ten leases long runs once', run: tenLeases },
  ],
}

/** How long a lease test lasts where the engine knows no lease. */
const withoutLeaseMs = 300

async function deadConsumer(trial: Trial): Promise<void> {
  const doomed = await trial.connect()
  const survivor = await trial.connect()
  await declareQueue(survivor, 'q')
  await fill(survivor, 'q', 'a', 'b', 'c')
  const lostInbox = await Inbox.open(trial, doomed, 'q', { prefetch: 2 })
  await lostInbox.take(2)
  const inbox = await Inbox.open(trial, survivor, 'q')
  await inbox.ack('c')
  await inbox.quiet()
  await trial.kill(doomed)
  const again = await inbox.take(2)
  assert.deepEqual(
    again.map((delivery) => text(delivery.message)),
    ['a', 'b'],
    'in their order',
  )
  for (const delivery of again) {
    if (trial.harness.kill !== undefined) assert.equal(delivery.attempt, 2, 'a death counts as an attempt')
    assert.equal(await delivery.settle({ type: 'ack' }), true)
  }
  await inbox.quiet()
  assert.equal((await survivor.stats('q')).consumers, 1)
}

async function extendKeeps(trial: Trial): Promise<void> {
  const { driver, capabilities } = await trial.open()
  await declareQueue(driver, 'q')
  await fill(driver, 'q', 'a')
  const inbox = await Inbox.open(trial, driver, 'q', { prefetch: 1 })
  const delivery = await inbox.next()
  const other = await Inbox.open(trial, await trial.connect(), 'q')
  const holdMs = capabilities.leaseMs === 0 ? withoutLeaseMs : capabilities.leaseMs * 2.5
  const stepMs = holdMs / 8
  for (let heldMs = 0; heldMs < holdMs; heldMs += stepMs) {
    await trial.sleep(stepMs)
    assert.equal(await delivery.extend(Math.max(stepMs * 3, capabilities.leaseMs * 2)), true)
  }
  await other.quiet()
  assert.equal(delivery.lost.aborted, false)
  assert.equal(await delivery.settle({ type: 'ack' }), true)
  assert.equal(await delivery.extend(1_000), false, 'there is nothing left to extend')
  await other.quiet()
  if (capabilities.leaseMs === 0) trial.note('no lease to extend: the hold lasts as long as the connection')
}

async function lateSettle(trial: Trial): Promise<void> {
  const doomed = await trial.connect()
  const survivor = await trial.connect()
  await declareQueue(survivor, 'q')
  await fill(survivor, 'q', 'a')
  const late = await (await Inbox.open(trial, doomed, 'q')).next()
  await trial.kill(doomed)
  const inbox = await Inbox.open(trial, survivor, 'q')
  const current = await inbox.next()
  assert.notEqual(current.token, late.token, 'each delivery has a token of its own')
  for (const outcome of [{ type: 'ack' }, { type: 'dead', reason: 'late' }] as const) {
    assert.equal(await settledOrClosed(late, outcome), false)
  }
  assertFigures(await survivor.stats('q'), { unacked: 1 }, 'the late settle changed nothing')
  assert.equal(await current.settle({ type: 'retry', delayMs: 0 }), true)
  await inbox.ack('a')
  await inbox.quiet()
}

async function settledOrClosed(
  delivery: Delivery,
  outcome: Parameters<Delivery['settle']>[0],
): Promise<boolean> {
  try {
    return await delivery.settle(outcome)
  } catch (error) {
    assertCode(error, 'CLOSED')
    return false
  }
}

async function lostFires(trial: Trial): Promise<void> {
  const driver = await trial.connect()
  await declareQueue(driver, 'q')
  await fill(driver, 'q', 'settled', 'held')
  const inbox = await Inbox.open(trial, driver, 'q')
  await inbox.ack('settled')
  const held = await inbox.next()
  let fired = 0
  held.lost.addEventListener('abort', () => (fired += 1))
  assert.equal(held.lost.aborted, false)
  await trial.kill(driver)
  await trial.eventually('lost fires', () => held.lost.aborted)
  assert.equal(fired, 1)
}

async function blockedLoop(trial: Trial): Promise<void> {
  const { driver, capabilities } = await trial.open()
  await declareQueue(driver, 'q')
  await fill(driver, 'q', 'a')
  const inbox = await Inbox.open(trial, driver, 'q')
  const delivery = await inbox.next()
  block(Math.max(withoutLeaseMs, capabilities.leaseMs * 1.5))
  const kept = await delivery.settle({ type: 'ack' })
  if (kept) {
    await inbox.quiet()
    assertFigures(await driver.stats('q'), { ready: 0, unacked: 0 })
  } else {
    assert.ok(capabilities.leaseMs > 0, 'without a lease there is none to lose')
    const again = await inbox.next()
    assert.ok(again.attempt >= 2)
    assert.equal(await again.settle({ type: 'ack' }), true)
  }
  if (capabilities.leaseMs === 0) trial.note('no lease to lose: the hold lasts as long as the connection')
}

/** Keeps the thread busy with nothing: no timer fires and no promise goes on. */
function block(ms: number): void {
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, ms)
}

async function tenLeases(trial: Trial): Promise<void> {
  const client = await trial.client()
  const other = await trial.client()
  const { leaseMs } = client.capabilities
  const jobMs = Math.max(withoutLeaseMs, leaseMs * 10)
  // Who stands still loses its lease, as it must: what it then saw is no answer.
  for (let tries = 1, isAnswered = false; !isAnswered; tries += 1) {
    const gaps = watchGaps()
    const seen = await runsOfLongJob(
      [client, other].map((each) => each.queue(`q${tries}`)),
      { trial, jobMs },
    )
    isAnswered = seen.runs === 1 || leaseMs === 0 || gaps.longestMs() < leaseMs / 4
    if (isAnswered) assert.deepEqual(seen, { runs: 1, completed: 1 })
  }
}

/** How often a job so long runs, and is completed, where several wait for it. */
async function runsOfLongJob(
  queues: readonly Queue[],
  { trial, jobMs }: { trial: Trial; jobMs: number },
): Promise<{ runs: number; completed: number }> {
  let runs = 0
  let completed = 0
  const over = new Deferred<void>()
  const handler = async (): Promise<void> => {
    runs += 1
    await Promise.race([trial.sleep(jobMs), over.promise])
  }
  const workers = queues.map((queue) => queue.work(handler))
  for (const worker of workers) {
    worker.on('completed', () => (completed += 1))
    await worker.ready
  }
  await at(queues, 0).send('long')
  const isSeen = (): boolean => completed > 0 || runs > 1
  // Patience begins when it should be done: a lease may be long.
  for (let part = 0; part < 40 && !isSeen(); part += 1) await trial.sleep(jobMs / 40)
  await trial.eventually('the job is done', isSeen)
  await trial.sleep(quietMs)
  over.resolve()
  await Promise.all(workers.map((worker) => worker.close()))
  return { runs, completed }
}

/** Measures for how long this process ran nothing. */
function watchGaps(): { longestMs: () => number } {
  let longestMs = 0
  let lastMs = performance.now()
  const look = (): void => {
    const nowMs = performance.now()
    longestMs = Math.max(longestMs, nowMs - lastMs)
    lastMs = nowMs
  }
  const timer = setInterval(look, 10).unref()
  return {
    longestMs: () => {
      clearInterval(timer)
      look()
      return longestMs
    },
  }
}
