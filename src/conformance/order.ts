/** Lines 41 to 43: which message comes next. */
import assert from 'node:assert/strict'
import type { Delivery } from '../client/driver.ts'
import { at, declareQueue, fill, Inbox, numbered, range, refusal, store, text, to } from './inbox.ts'
import type { Line } from './line.ts'
import type { Trial } from './trial.ts'

export const orderLines: readonly Line[] = [
  { number: 41, title: 'first in, first out with one consumer', run: fifo },
  { number: 42, title: 'order per key under concurrency', run: orderPerKey },
  { number: 43, title: 'priorities go first', run: priorities },
]

async function fifo(trial: Trial): Promise<void> {
  const driver = await trial.connect()
  await declareQueue(driver, 'q')
  const bodies = numbered(500)
  await Promise.all([
    fill(driver, 'q', ...bodies.slice(0, 250)),
    fill(driver, 'q', ...bodies.slice(250, 400)),
  ])
  const inbox = await Inbox.open(trial, driver, 'q', { prefetch: 7 })
  await fill(driver, 'q', ...bodies.slice(400))
  for (const body of bodies) await inbox.ack(body)
}

async function orderPerKey(trial: Trial): Promise<void> {
  const { driver, capabilities } = await trial.open()
  await declareQueue(driver, 'q')
  if (capabilities.ordering.level === 'none') {
    return trial.refuses('ordering by key', async () => {
      throw await refusal(driver, to('q', 'a', { key: 'k' }))
    })
  }
  const keys = ['red', 'green', 'blue', 'white']
  const batch = range(60).map((index) => to('q', `${index}`, { key: at(keys, index % 4) }))
  await store(driver, ...batch)
  const inHand = new Set<string>()
  const done = new Map<string, number[]>(keys.map((key) => [key, []]))
  const overlaps: string[] = []
  const handle = async (delivery: Delivery): Promise<void> => {
    const index = Number(text(delivery.message))
    const key = at(keys, index % 4)
    if (inHand.has(key)) overlaps.push(`${key} ${index}`)
    inHand.add(key)
    await trial.sleep(index % 3)
    inHand.delete(key)
    if (index % 13 === 5 && delivery.attempt === 1) {
      await delivery.settle({ type: 'retry', delayMs: index % 2 === 0 ? 0 : 30 })
    } else {
      done.get(key)?.push(index)
      await delivery.settle({ type: 'ack' })
    }
  }
  const handling: Promise<void>[] = []
  for (const connection of [driver, await trial.connect()]) {
    await connection.consume('q', { prefetch: 8 }, (delivery) => handling.push(handle(delivery)))
  }
  await trial.eventually('all 60 are handled', () => [...done.values()].flat().length >= 60)
  await Promise.all(handling)
  assert.deepEqual(overlaps, [], 'one message of a key at a time')
  for (const [offset, key] of keys.entries()) {
    assert.deepEqual(
      done.get(key),
      range(15).map((step) => step * 4 + offset),
      `${key} in order`,
    )
  }
}

async function priorities(trial: Trial): Promise<void> {
  const { driver, capabilities } = await trial.open()
  if (capabilities.priority.level === 'none') {
    return trial.refuses('priority', () => declareQueue(driver, 'q', { maxPriority: 5 }))
  }
  await declareQueue(driver, 'q', { maxPriority: 5 })
  const levels = [0, 5, 2, 5, undefined, 1, 9, 2]
  for (const [index, priority] of levels.entries()) {
    const properties = priority === undefined ? {} : { priority }
    await store(driver, to('q', `${index}`, { properties }))
  }
  const inbox = await Inbox.open(trial, driver, 'q', { prefetch: 1 })
  for (const body of ['1', '3', '6', '2', '7', '5', '0', '4']) await inbox.ack(body)
}
