/** Lines 53 to 68: what happens later, or not at all: delay, expiry, dead letters, deduplication. */
import assert from 'node:assert/strict'
import { deadLetterLines } from './dead-letter.ts'
import { deduplicationLines } from './deduplication.ts'
import { assertFigures } from './figures.ts'
import {
  at,
  declareQueue,
  fill,
  Inbox,
  publishOne,
  quietMs,
  range,
  refusal,
  store,
  text,
  to,
} from './inbox.ts'
import type { Driver } from '../client/driver.ts'
import type { Chapter } from './line.ts'
import { assertCode, rejection } from './trial.ts'
import type { Trial } from './trial.ts'

export const delay: Chapter = {
  heading: 'Delay, expiry, dead-letter, dedupe',
  lines: [
    { number: 53, title: 'never early', run: (trial) => withDelay(trial, neverEarly) },
    { number: 54, title: 'late within the stated resolution', run: (trial) => withDelay(trial, lateWithin) },
    {
      number: 55,
      title: 'a delay longer than the lease delivers once',
      run: (trial) => withDelay(trial, longerThanLease),
    },
    {
      number: 56,
      title: 'a short delay is not stuck behind a long one',
      run: (trial) => withDelay(trial, shortBehindLong),
    },
    {
      number: 57,
      title: 'what is delayed survives a restart',
      run: (trial) => withDelay(trial, delayedSurvives),
    },
    {
      number: 58,
      title: 'a delayed message can be cancelled',
      run: (trial) => withDelay(trial, cancelDelayed),
    },
    {
      number: 59,
      title: 'a delay over the maximum is refused',
      run: (trial) => withDelay(trial, overMaximum),
    },
    ...deadLetterLines,
    {
      number: 63,
      title: 'a deleted delay target blocks no other',
      run: (trial) => withDelay(trial, deletedTarget),
    },
    { number: 64, title: 'an expired message is not delivered', run: expired },
    ...deduplicationLines,
  ],
}

/** How late a message may be on a busy machine, over and above the engine's resolution. */
const slackMs = 1_500

/** Who is always late is too late every time; a machine that stands still is not. */
const lateTries = 6

/** Clocks that count in whole milliseconds may differ by one. */
const granularityMs = 1

/** An engine without delay refuses it; with one, the line's test decides. */
async function withDelay(trial: Trial, run: (trial: Trial) => Promise<void>): Promise<void> {
  const { driver, capabilities } = await trial.open()
  if (capabilities.delay.level !== 'none') return run(trial)
  await declareQueue(driver, 'q')
  await trial.refuses('delay', async () => {
    throw await refusal(driver, to('q', 'a', { delayMs: 100 }))
  })
}

async function neverEarly(trial: Trial): Promise<void> {
  const driver = await trial.connect()
  await declareQueue(driver, 'q')
  const arrivals = new Map<string, number>()
  await driver.consume('q', { prefetch: 100 }, (delivery) => {
    arrivals.set(text(delivery.message), trial.now())
    void delivery.settle({ type: 'ack' })
  })
  const delays = [0, 1, 20, 50, 51, 120, 200]
  const startMs = trial.now()
  await store(driver, ...delays.map((delayMs) => to('q', `${delayMs}`, { delayMs })))
  await trial.eventually('all arrive', () => arrivals.size === delays.length)
  for (const delayMs of delays) {
    const tookMs = (arrivals.get(`${delayMs}`) ?? 0) - startMs
    assert.ok(tookMs >= delayMs - granularityMs, `a delay of ${delayMs} ms took ${tookMs} ms`)
  }
}

async function lateWithin(trial: Trial): Promise<void> {
  const { driver, capabilities } = await trial.open()
  const toleratedMs = capabilities.delay.resolutionMs + slackMs
  let late: { readonly delayMs: number; readonly lateMs: number } | undefined
  for (let tries = 0; tries < lateTries; tries += 1) {
    late = await latest(trial, driver, `q${tries}`)
    if (late.lateMs <= toleratedMs) break
  }
  assert.ok(late && late.lateMs <= toleratedMs, `${late?.delayMs} ms was late by ${late?.lateMs} ms`)
  trial.note(`resolution ${capabilities.delay.resolutionMs} ms`)
}

/** Of messages with many delays, the one that came latest. */
async function latest(
  trial: Trial,
  driver: Driver,
  queue: string,
): Promise<{ readonly delayMs: number; readonly lateMs: number }> {
  await declareQueue(driver, queue)
  const delays = range(50).map((index) => 20 + index * 5)
  const arrivals = new Map<string, number>()
  await driver.consume(queue, { prefetch: 100 }, (delivery) => {
    arrivals.set(text(delivery.message), trial.now())
    void delivery.settle({ type: 'ack' })
  })
  await store(driver, ...delays.map((delayMs) => to(queue, `${delayMs}`, { delayMs })))
  const storedMs = trial.now()
  await trial.eventually('all arrive', () => arrivals.size === delays.length)
  const lateness = delays.map((delayMs) => ({
    delayMs,
    lateMs: (arrivals.get(`${delayMs}`) ?? Infinity) - storedMs - delayMs,
  }))
  return lateness.reduce((late, each) => (each.lateMs > late.lateMs ? each : late))
}

async function longerThanLease(trial: Trial): Promise<void> {
  const { driver, capabilities } = await trial.open()
  const other = await trial.connect()
  // A machine that stood still meanwhile saw nothing of the delay: then once more, with a longer one.
  let delayMs = Math.max(200, capabilities.leaseMs * 2)
  let inboxes: Inbox[] = []
  for (let seen = false; !seen; delayMs *= 2) {
    const queue = await declareQueue(driver, `${delayMs}`)
    inboxes = [await Inbox.open(trial, driver, queue), await Inbox.open(trial, other, queue)]
    const startMs = trial.now()
    await store(driver, to(queue, 'a', { delayMs }))
    const stats = await driver.stats(queue)
    seen = trial.now() - startMs < delayMs
    if (seen) assertFigures(stats, { delayed: 1 })
  }
  await trial.sleep(delayMs / 2)
  const count = (): number => inboxes.reduce((sum, inbox) => sum + inbox.deliveries.length, 0)
  await trial.eventually('it arrives', () => count() > 0)
  const delivery = at(
    inboxes.flatMap((inbox) => inbox.deliveries),
    0,
  )
  assert.equal(delivery.attempt, 1, 'the wait is no attempt')
  assert.equal(await delivery.settle({ type: 'ack' }), true)
  await trial.sleep(quietMs)
  assert.equal(count(), 1)
}

async function shortBehindLong(trial: Trial): Promise<void> {
  const driver = await trial.connect()
  await declareQueue(driver, 'q')
  await store(driver, to('q', 'long', { delayMs: 60_000 }), to('q', 'longer', { delayMs: 120_000 }))
  await store(driver, to('q', 'short', { delayMs: 60 }))
  const inbox = await Inbox.open(trial, driver, 'q')
  await inbox.ack('short')
  await fill(driver, 'q', 'now')
  await inbox.ack('now')
  await inbox.quiet()
  assertFigures(await driver.stats('q'), { delayed: 2 })
}

async function delayedSurvives(trial: Trial): Promise<void> {
  const driver = await trial.connect()
  trial.needsDurability(driver)
  await declareQueue(driver, 'q')
  await fill(driver, 'q', 'retried')
  const first = await Inbox.open(trial, driver, 'q', { prefetch: 1 })
  const retried = await first.next()
  // Who consumes still would be handed it once more, were the restart late.
  await first.consumer.cancel()
  const startMs = trial.now()
  assert.equal(await retried.settle({ type: 'retry', delayMs: 300 }), true)
  await store(driver, to('q', 'soon', { delayMs: 400 }), to('q', 'far', { delayMs: 3_600_000 }))
  await trial.restart()
  const again = await trial.connect()
  const inbox = await Inbox.open(trial, again, 'q')
  // Both are due by then, or nearly: they may come in either order.
  const attempts = new Map<string, number>()
  for (const delivery of await inbox.take(2)) {
    attempts.set(text(delivery.message), delivery.attempt)
    assert.equal(await delivery.settle({ type: 'ack' }), true)
  }
  assert.deepEqual([attempts.get('retried'), attempts.get('soon')], [2, 1], 'each with its attempts')
  assert.ok(trial.now() - startMs >= 400 - granularityMs, 'not early')
  await inbox.quiet()
  assertFigures(await again.stats('q'), { delayed: 1 })
}

async function cancelDelayed(trial: Trial): Promise<void> {
  const { driver, capabilities } = await trial.open()
  await declareQueue(driver, 'q')
  const delayed = (messageId: string, delayMs: number) =>
    to('q', messageId, { delayMs, properties: { messageId } })
  await store(driver, delayed('goes', 60_000), delayed('not meant', 60_000))
  if (capabilities.cancelDelayed.level === 'none') {
    return trial.refuses('cancelling a delayed message', () => driver.cancelDelayed('q', 'goes'))
  }
  assert.equal(await driver.cancelDelayed('q', 'goes'), 1)
  assert.equal(await driver.cancelDelayed('q', 'goes'), 0, 'it is gone')
  assert.equal(await driver.cancelDelayed('q', 'never sent'), 0)
  assertFigures(await driver.stats('q'), { delayed: 1 })
  await store(driver, delayed('stays', 100))
  const inbox = await Inbox.open(trial, driver, 'q')
  await inbox.ack('stays')
  await inbox.quiet()
  assert.equal(await driver.cancelDelayed('q', 'stays'), 0, 'too late')
}

async function overMaximum(trial: Trial): Promise<void> {
  const { driver, capabilities } = await trial.open()
  await declareQueue(driver, 'q')
  const { maximumMs } = capabilities.delay
  assert.ok(Number.isFinite(maximumMs), 'the maximum is a number')
  const typed = ['INVALID_ARGUMENT', 'INVALID_OPTION', 'UNSUPPORTED']
  for (const delayMs of [maximumMs + 1, -1, Number.NaN]) {
    assertCode(await refusal(driver, to('q', 'never', { delayMs })), ...typed)
  }
  const client = await trial.client()
  for (const wrong of ['100000d', '-5s', -1, Number.NaN] as const) {
    assertCode(await rejection(client.queue('p').send('never', { delay: wrong })), ...typed)
  }
  const stats = await driver.stats('q')
  assertFigures(stats, { ready: 0, delayed: 0 }, 'nothing was stored')
  await store(driver, to('q', 'at the maximum', { delayMs: maximumMs }))
  assertFigures(await driver.stats('q'), { delayed: 1 })
}

async function deletedTarget(trial: Trial): Promise<void> {
  const driver = await trial.connect()
  await driver.declare({
    exchanges: [{ name: 'x', kind: 'fanout' }],
    queues: [{ name: 'deleted' }, { name: 'kept' }],
    bindings: ['deleted', 'kept'].map((destination) => ({ source: 'x', destination, routingKey: '' })),
  })
  await store(driver, to('deleted', 'alone', { delayMs: 50 }))
  await store(driver, to('kept', 'own', { delayMs: 600 }))
  await store(driver, { exchange: 'x', routingKey: '', properties: {}, body: 'shared', delayMs: 300 })
  await driver.undeclare({ queues: [{ name: 'deleted' }] })
  const inbox = await Inbox.open(trial, driver, 'kept')
  const due: string[] = []
  for (const delivery of await inbox.take(2)) {
    due.push(text(delivery.message))
    assert.equal(await delivery.settle({ type: 'ack' }), true)
  }
  assert.deepEqual(due.sort(), ['own', 'shared'])
  await inbox.quiet()
  assert.deepEqual(await trial.queueNames(driver), ['kept'], 'nothing brought the deleted queue back')
}

async function expired(trial: Trial): Promise<void> {
  const { driver, capabilities } = await trial.open()
  await declareQueue(driver, 'q')
  if (capabilities.expiry.level === 'none') {
    return trial.refuses('message ttl', async () => {
      throw await refusal(driver, to('q', 'a', { ttlMs: 50 }))
    })
  }
  await fill(driver, 'q', 'head')
  await store(driver, to('q', 'short-lived', { ttlMs: 60 }))
  await store(driver, to('q', 'long-lived', { ttlMs: 60_000 }))
  await fill(driver, 'q', 'immortal')
  const inbox = await Inbox.open(trial, driver, 'q', { prefetch: 1 })
  const head = await inbox.next()
  await trial.sleep(150)
  assert.equal(await head.settle({ type: 'ack' }), true)
  await inbox.ack('long-lived')
  await inbox.ack('immortal')
  await inbox.quiet()

  await declareQueue(driver, 'by queue', { messageTtlMs: 500 })
  await fill(driver, 'by queue', 'old')
  await trial.sleep(700)
  await publishOne(driver, to('by queue', 'young'))
  const second = await Inbox.open(trial, driver, 'by queue')
  // One that was delivered too late to be young is followed by another.
  await trial.eventually('what is young is delivered', async () => {
    await trial.sleep(quietMs)
    if (second.deliveries.length > 0) return true
    await publishOne(driver, to('by queue', 'young'))
    return false
  })
  assert.ok(
    second.texts.every((body) => body === 'young'),
    'the old one is not',
  )
}
