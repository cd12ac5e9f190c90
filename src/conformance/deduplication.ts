/** Lines 65 to 68: a message sent twice, stored once. */
import assert from 'node:assert/strict'
import type { Driver, Outgoing } from '../client/driver.ts'
import { at, declareQueue, fill, Inbox, publishOne, range, refusal, store, text, to, via } from './inbox.ts'
import type { Line } from './line.ts'
import { assertCode } from './trial.ts'
import type { Trial } from './trial.ts'

export const deduplicationLines: readonly Line[] = [
  {
    number: 65,
    title: 'a duplicate inside the window is not stored',
    run: (trial) => withDeduplication(trial, insideWindow),
  },
  {
    number: 66,
    title: 'it is stored after the window',
    run: (trial) => withDeduplication(trial, afterWindow),
  },
  {
    number: 67,
    title: 'a failed first try is no duplicate',
    run: (trial) => withDeduplication(trial, failedFirst),
  },
  {
    number: 68,
    title: 'of concurrent duplicates one is stored',
    run: (trial) => withDeduplication(trial, concurrent),
  },
]

async function withDeduplication(
  trial: Trial,
  run: (trial: Trial, driver: Driver) => Promise<void>,
): Promise<void> {
  const { driver, capabilities } = await trial.open()
  await declareQueue(driver, 'q')
  if (capabilities.deduplication.level !== 'none') return run(trial, driver)
  await trial.refuses('deduplication', async () => {
    throw await refusal(driver, keyed('a', 'k', 60_000))
  })
}

/** A message to 'q' whose id is its body. */
function keyed(body: string, key: string, windowMs: number): Outgoing {
  return to('q', body, { properties: { messageId: body, deliveryMode: 2 }, dedupe: { key, windowMs } })
}

async function insideWindow(trial: Trial, driver: Driver): Promise<void> {
  await store(driver, keyed('first', 'k', 60_000))
  assert.deepEqual(await publishOne(driver, keyed('second', 'k', 60_000)), {
    type: 'duplicate',
    messageId: 'first',
  })
  await store(driver, keyed('another', 'other key', 60_000))
  const inbox = await Inbox.open(trial, driver, 'q')
  await inbox.ack('first')
  await inbox.ack('another')
  const after = await publishOne(driver, keyed('third', 'k', 60_000))
  assert.equal(after.type, 'duplicate', 'the window outlives the message')
  await inbox.quiet()
  const stats = await driver.stats('q')
  assert.deepEqual([stats.ready, stats.unacked ?? 0, stats.delayed ?? 0], [0, 0, 0])
  if (!trial.capabilities(driver).durable || trial.harness.restart === undefined) return
  await trial.restart()
  const again = await publishOne(await trial.connect(), keyed('fourth', 'k', 60_000))
  assert.deepEqual(again, { type: 'duplicate', messageId: 'first' }, 'and a restart')
}

async function afterWindow(trial: Trial, driver: Driver): Promise<void> {
  await store(driver, keyed('first', 'k', 100))
  await trial.sleep(200)
  await store(driver, keyed('second', 'k', 100))
  const inbox = await Inbox.open(trial, driver, 'q')
  await inbox.ack('first')
  await inbox.ack('second')
}

async function failedFirst(trial: Trial, driver: Driver): Promise<void> {
  const again: Outgoing = {
    ...via('late', 'k', 'again'),
    properties: { messageId: 'again' },
    dedupe: { key: 'k', windowMs: 60_000 },
  }
  assertCode(await refusal(driver, again), 'NOT_FOUND')
  await driver.declare({ exchanges: [{ name: 'late', kind: 'direct' }] })
  assert.equal((await publishOne(driver, again)).type, 'dropped')
  await driver.declare({ bindings: [{ source: 'late', destination: 'q', routingKey: 'k' }] })
  await store(driver, again)

  if (trial.capabilities(driver).maxLength.level === 'none') return
  await declareQueue(driver, 'full', { maxLength: 1, overflow: 'reject-publish' })
  await fill(driver, 'full', 'in the way')
  const dedupe = { key: 'k2', windowMs: 60_000 }
  const overflowing = to('full', 'overflowing', { properties: { messageId: 'o' }, dedupe })
  assertCode(await refusal(driver, overflowing), 'QUEUE_FULL')
  const inbox = await Inbox.open(trial, driver, 'full')
  await inbox.ack('in the way')
  await store(driver, overflowing)
  await inbox.ack('overflowing')
}

async function concurrent(trial: Trial, driver: Driver): Promise<void> {
  const other = await trial.connect()
  const results = await Promise.all(
    range(40).map((index) => publishOne(index % 2 === 0 ? driver : other, keyed(`m${index}`, 'k', 60_000))),
  )
  const stored = results.filter((result) => result.type === 'stored')
  assert.equal(stored.length, 1)
  const winner = `m${results.findIndex((result) => result.type === 'stored')}`
  for (const result of results) {
    if (result.type !== 'stored') assert.deepEqual(result, { type: 'duplicate', messageId: winner })
  }
  const inbox = await Inbox.open(trial, driver, 'q')
  await inbox.next()
  await inbox.quiet()
  assert.equal(text(at(inbox.deliveries, 0).message), winner)
}
