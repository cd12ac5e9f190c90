/**
 * Line 11, back-pressure. Where an engine has a high-water mark, publishers must wait at it; where it has a disk
 * instead, a backlog must not be kept in memory.
 */
import assert from 'node:assert/strict'
import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import type { Driver } from '../client/driver.ts'
import { declareQueue, Inbox, publishOne, range, to } from './inbox.ts'
import { assertCode, rejection, within } from './trial.ts'
import type { Trial } from './trial.ts'

const bodyBytes = 64 * 1_024
const lanes = 16
const backlogBytes = 96 * 1_024 * 1_024
const toleratedBytes = 48 * 1_024 * 1_024

export async function publishMemory(trial: Trial): Promise<void> {
  const driver = await trial.connect()
  await declareQueue(driver, 'q')
  const highWaterBytes = trial.harness.highWaterBytes
  if (highWaterBytes !== undefined) return publishersWait(trial, driver, highWaterBytes)
  if (!trial.capabilities(driver).durable) {
    trial.notApplicable('the harness names no high-water mark, and the engine has no disk to page to')
  }
  const beforeBytes = memoryBytes()
  let left = backlogBytes / bodyBytes
  await Promise.all(
    range(lanes).map(async () => {
      while (left > 0) {
        left -= 1
        const result = await publishOne(driver, to('q', Buffer.alloc(bodyBytes, left)))
        assert.equal(result.type, 'stored')
      }
    }),
  )
  assert.equal((await driver.stats('q')).ready, backlogBytes / bodyBytes)
  const what = `a backlog of ${backlogBytes >> 20} MB`
  await assertMemory(trial, { what, beforeBytes, toleratedBytes })
}

/** Nobody consumes: some publish must wait. Then somebody does: each publish ends, and nothing is lost. */
async function publishersWait(trial: Trial, driver: Driver, highWaterBytes: number): Promise<void> {
  const count = Math.ceil((highWaterBytes * 3) / bodyBytes)
  let stored = 0
  const sending = range(count).map(async (index) => {
    const result = await publishOne(driver, to('q', Buffer.alloc(bodyBytes, index)))
    assert.equal(result.type, 'stored')
    stored += 1
  })
  const all = Promise.all(sending)
  await trial.sleep(300)
  assert.ok(stored < count, `all ${count} publishes resolved though the engine holds at most a third of them`)
  assert.ok(stored * bodyBytes <= highWaterBytes * 2, `${stored * bodyBytes} bytes were taken`)
  const abort = new AbortController()
  const calledOff = rejection(driver.publish([to('q', 'called off')], { signal: abort.signal }))
  abort.abort()
  assertCode(
    await within(trial.patienceMs, 'a publish that waits ends with its signal', calledOff),
    'ABORTED',
  )
  const consumer = await trial.connect()
  const inbox = await Inbox.open(trial, consumer, 'q', { prefetch: 16 })
  for (let received = 0; received < count; received++) {
    const delivery = await inbox.next()
    assert.equal(await delivery.settle({ type: 'ack' }), true)
  }
  await all
  assert.equal(stored, count)
  await inbox.quiet()
}

/** Memory is soon as it was, but for so much: what was handled a moment ago may be in buffers still. */
export async function assertMemory(
  trial: Trial,
  { what, beforeBytes, toleratedBytes }: { what: string; beforeBytes: number; toleratedBytes: number },
): Promise<void> {
  let grownBytes = Infinity
  const settled = trial.eventually('memory is as it was', () => {
    grownBytes = memoryBytes() - beforeBytes
    return grownBytes < toleratedBytes
  })
  await settled.catch(() => undefined)
  assert.ok(grownBytes < toleratedBytes, `${what} grew memory by ${Math.round(grownBytes / 1_024)} KB`)
}

/** Heap and buffers in use, after a collection. */
export function memoryBytes(): number {
  setFlagsFromString('--expose-gc')
  const collect: unknown = runInNewContext('gc')
  assert.ok(typeof collect === 'function')
  collect()
  const usage = process.memoryUsage()
  return usage.heapUsed + usage.external
}
