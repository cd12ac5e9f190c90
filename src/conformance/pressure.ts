/** Lines 92, 94 and 100: what is slow, what is full, and what goes on for long. */
import assert from 'node:assert/strict'
import { setTimeout as delay } from 'node:timers/promises'
import type { Driver } from '../client/driver.ts'
import { ClosedError } from '../model/errors.ts'
import { assertFigures } from './figures.ts'
import { declareQueue, fill, Inbox, numbered, publishOne, range, text, to } from './inbox.ts'
import type { Line } from './line.ts'
import { assertMemory, memoryBytes } from './publish-memory.ts'
import { assertCode, within } from './trial.ts'
import type { Trial } from './trial.ts'

export const pressureLines: readonly Line[] = [
  { number: 92, title: 'a slow consumer stalls no other', run: slowConsumer },
  { number: 94, title: 'broker blocked, disk full, out of memory: typed, resumes', run: blocked },
  { number: 100, title: 'a soak: memory, sockets, timers steady', run: soak },
]

async function slowConsumer(trial: Trial): Promise<void> {
  const driver = await trial.connect()
  const stuckConnection = await trial.connect()
  await declareQueue(driver, 'shared')
  await declareQueue(driver, 'stuck')
  await declareQueue(driver, 'brisk')
  const stuck = await Inbox.open(trial, stuckConnection, 'stuck', { prefetch: 500 })
  await fill(driver, 'stuck', ...numbered(500))
  await stuck.take(500)
  const slow = await Inbox.open(trial, stuckConnection, 'shared', { prefetch: 5 })
  const done: string[] = []
  for (const queue of ['shared', 'brisk']) {
    await driver.consume(queue, { prefetch: 5 }, (delivery) => {
      done.push(text(delivery.message))
      void delivery.settle({ type: 'ack' })
    })
  }
  await fill(driver, 'shared', ...numbered(100, 'shared '))
  await fill(driver, 'brisk', ...numbered(100, 'brisk '))
  await trial.eventually('all but what the slow one holds is done', () => done.length >= 195)
  assert.ok(slow.deliveries.length <= 5, 'it holds no more than its credit')
  for (const delivery of slow.deliveries) assert.equal(await delivery.settle({ type: 'release' }), true)
  await slow.consumer.cancel()
  for (const delivery of slow.deliveries) await delivery.settle({ type: 'release' })
  await trial.eventually('and then the rest', () => new Set(done).size === 200)
}

async function blocked(trial: Trial): Promise<void> {
  const { highWaterBytes } = trial.harness
  if (trial.harness.diskFull !== undefined) return diskIsFull(trial)
  if (highWaterBytes !== undefined) return memoryIsFull(trial, highWaterBytes)
  trial.notApplicable('the harness can neither fill a disk nor names a high-water mark')
}

/** How a publish ended, or that it waits. */
type Fate = 'stored' | 'waits' | { readonly error: unknown }

/** It waits when the engine has said so and it has not ended a while later. */
async function fateOf(
  trial: Trial,
  publishing: Promise<{ type: string; error?: unknown }>,
  isBlocked: () => boolean,
): Promise<Fate> {
  let ended = false
  const fate = publishing
    .then(
      (result): Fate => (result.type === 'stored' ? 'stored' : { error: result.error ?? result.type }),
      (error: unknown): Fate => ({ error }),
    )
    .finally(() => (ended = true))
  const told = trial.eventually('it ends, or says that it is blocked', () => ended || isBlocked())
  return Promise.race([fate, told.then(() => delay(500)).then((): Fate => 'waits')])
}

async function diskIsFull(trial: Trial): Promise<void> {
  const driver = await trial.connect()
  await declareQueue(driver, 'q')
  await fill(driver, 'q', 'before')
  const heard = { blocked: 0, unblocked: 0 }
  driver.events.on('blocked', () => (heard.blocked += 1))
  driver.events.on('unblocked', () => (heard.unblocked += 1))
  await trial.harness.diskFull?.(true)
  const publishing = publishOne(driver, to('q', 'during'))
  publishing.catch(() => undefined)
  const fate = await fateOf(trial, publishing, () => heard.blocked > 0)
  assert.notEqual(fate, 'stored', 'what no disk took is not confirmed')
  if (fate !== 'stored' && fate !== 'waits') assertCode(fate.error, 'DISK_FULL', 'BLOCKED', 'STORE_FAILED')
  await trial.harness.diskFull?.(false)
  if (fate === 'waits')
    assert.equal(
      (await within(trial.patienceMs, 'the publish that waited goes on', publishing)).type,
      'stored',
    )
  await trial.eventually('it takes messages again', async () => {
    const result = await publishOne(driver, to('q', 'after')).catch(() => undefined)
    return result?.type === 'stored'
  })
  await trial.eventually('every blocked is followed by an unblocked', () => heard.unblocked >= heard.blocked)
  const inbox = await Inbox.open(trial, driver, 'q')
  await inbox.ack('before')
  if (fate === 'waits') await inbox.ack('during')
}

async function memoryIsFull(trial: Trial, highWaterBytes: number): Promise<void> {
  const driver = await trial.connect()
  await declareQueue(driver, 'q')
  const heard = { blocked: 0, unblocked: 0 }
  driver.events.on('blocked', () => (heard.blocked += 1))
  driver.events.on('unblocked', () => (heard.unblocked += 1))
  const bodyBytes = Math.ceil(highWaterBytes / 16)
  const publishing = Promise.all(range(48).map(() => publishOne(driver, to('q', Buffer.alloc(bodyBytes)))))
  await trial.eventually('it says that it is blocked', () => heard.blocked > 0)
  const inbox = await Inbox.open(trial, driver, 'q', { prefetch: 1 })
  for (const _ of range(48)) assert.equal(await (await inbox.next()).settle({ type: 'ack' }), true)
  for (const result of await publishing) assert.equal(result.type, 'stored')
  await trial.eventually('it says that it goes on', () => heard.unblocked === heard.blocked)
}

/** However slow the machine: what the first rounds take is taken for good. */
const warmUpRounds = 5

/** A shortened hour: the same work over and over, connections coming and going; nothing may pile up. */
async function soak(trial: Trial): Promise<void> {
  const driver = await trial.connect()
  await declareQueue(driver, 'q', { deadLetter: { exchange: '', routingKey: 'dead' } })
  await declareQueue(driver, 'dead')
  await work(trial, driver, trial.soakMs / 4, warmUpRounds)
  const before = { memoryBytes: memoryBytes(), resources: process.getActiveResourcesInfo().length }
  const handled = await work(trial, driver, (trial.soakMs * 3) / 4)
  await trial.eventually('sockets and timers are as before', () => {
    return process.getActiveResourcesInfo().length <= before.resources + 2
  })
  const toleratedBytes = 8 * 1_024 * 1_024
  await assertMemory(trial, { what: `${handled} messages`, beforeBytes: before.memoryBytes, toleratedBytes })
  const stats = await driver.stats('q')
  assertFigures(stats, { ready: 0, unacked: 0, delayed: 0, consumers: 0 })
  trial.note(`${trial.soakMs / 1_000} s instead of an hour`)
}

/** Publishes, retries, delays, dead-letters and reconnects until the time is over; says how many messages that were. */
async function work(trial: Trial, driver: Driver, ms: number, leastRounds = 1): Promise<number> {
  const endMs = performance.now() + ms
  let handled = 0
  for (let round = 0; round < leastRounds || performance.now() < endMs; round += 1) {
    const connection = await trial.connect()
    let settled = 0
    await connection.consume('q', { prefetch: 50 }, (delivery) => {
      const index = Number(text(delivery.message))
      const retry = index % 10 === 0 && delivery.attempt === 1
      const outcome = retry ? ({ type: 'retry', delayMs: index % 3 } as const) : ({ type: 'ack' } as const)
      delivery.settle(index % 97 === 1 ? { type: 'dead', reason: 'soak' } : outcome).then(
        (ok) => (settled += ok && !retry ? 1 : 0),
        (error: unknown) => assert.ok(error instanceof ClosedError),
      )
    })
    const batch = range(200).map((index) => to('q', `${index}`, index % 20 === 0 ? { delayMs: 5 } : {}))
    await driver.publish(batch)
    await trial.eventually('the round is done', () => settled === batch.length)
    await driver.purge('dead')
    await trial.release(connection)
    handled += batch.length
  }
  return handled
}
