/** Lines 29 to 46: receiving and settling. */
import assert from 'node:assert/strict'
import type { Delivery } from '../client/driver.ts'
import type { Properties } from '../model/properties.ts'
import { assertFigures } from './figures.ts'
import { at, declareQueue, fill, Inbox, numbered, quietMs, range, store, text, via } from './inbox.ts'
import type { Chapter } from './line.ts'
import { orderLines } from './order.ts'
import { assertCode, rejection } from './trial.ts'
import type { Trial } from './trial.ts'

export const consume: Chapter = {
  heading: 'Consume and settle',
  lines: [
    { number: 29, title: 'ack removes', run: ackRemoves },
    { number: 30, title: 'credit is never exceeded', run: creditHolds },
    { number: 31, title: 'credit changes live', run: creditChanges },
    { number: 32, title: 'competing consumers: one each', run: competing },
    { number: 33, title: 'no idle consumer starves', run: noStarvation },
    { number: 34, title: 'a second settle is harmless', run: secondSettle },
    { number: 35, title: 'settle after close is false or typed', run: settleAfterClose },
    { number: 36, title: 'retry raises the attempt', run: retryRaises },
    { number: 37, title: 'release does not', run: releaseKeeps },
    { number: 38, title: 'retry touches only this queue', run: retryStaysHere },
    { number: 39, title: 'retry keeps id and headers', run: retryKeeps },
    { number: 40, title: 'acks out of order', run: acksOutOfOrder },
    ...orderLines,
    { number: 44, title: 'cancel drains', run: cancelDrains },
    { number: 45, title: 'fifty opens and closes at once', run: fiftyAtOnce },
    { number: 46, title: 'an exclusive consumer refuses a second', run: exclusive },
  ],
}

async function ackRemoves(trial: Trial): Promise<void> {
  const driver = await trial.connect()
  await declareQueue(driver, 'q')
  await fill(driver, 'q', 'a', 'b')
  const inbox = await Inbox.open(trial, driver, 'q')
  await inbox.ack('a')
  const held = await driver.stats('q')
  assertFigures(held, { unacked: 1 })
  assert.equal(held.ready, 0)
  await inbox.ack('b')
  const after = await driver.stats('q')
  assertFigures(after, { ready: 0, unacked: 0, delayed: 0 })
  await driver.close()
  const other = await Inbox.open(trial, await trial.connect(), 'q')
  await other.quiet()
}

async function creditHolds(trial: Trial): Promise<void> {
  const driver = await trial.connect()
  await declareQueue(driver, 'q')
  await fill(driver, 'q', ...numbered(20))
  let held = 0
  let most = 0
  const deliveries: Delivery[] = []
  await driver.consume('q', { prefetch: 3 }, (delivery) => {
    held += 1
    most = Math.max(most, held)
    deliveries.push(delivery)
  })
  for (const index of range(20)) {
    await trial.eventually(`delivery ${index}`, () => deliveries.length > index)
    if (index === 0) {
      await trial.eventually('three are held', () => held >= 3)
      await trial.sleep(quietMs)
    }
    held -= 1
    const settled = at(deliveries, index).settle({ type: 'ack' })
    assert.equal(await settled, true)
  }
  assert.equal(most, 3, 'three at a time, no more and no fewer')
}

async function creditChanges(trial: Trial): Promise<void> {
  const driver = await trial.connect()
  await declareQueue(driver, 'q')
  await fill(driver, 'q', ...numbered(20))
  const inbox = await Inbox.open(trial, driver, 'q', { prefetch: 1 })
  const first = await inbox.next()
  await inbox.quiet()
  inbox.consumer.setPrefetch(5)
  const four = await inbox.take(4)
  await inbox.quiet()
  inbox.consumer.setPrefetch(2)
  for (const delivery of [first, ...four.slice(0, 2)]) await delivery.settle({ type: 'ack' })
  await inbox.quiet()
  await at(four, 2).settle({ type: 'ack' })
  await inbox.next()
  await inbox.quiet()
}

async function competing(trial: Trial): Promise<void> {
  const driver = await trial.connect()
  await declareQueue(driver, 'q')
  const received: string[] = []
  let double = 0
  for (const index of range(4)) {
    const connection = index === 0 ? driver : await trial.connect()
    await connection.consume('q', { prefetch: 5 }, (delivery) => {
      const body = text(delivery.message)
      if (received.includes(body)) double += 1
      received.push(body)
      void delivery.settle({ type: 'ack' })
    })
  }
  await fill(driver, 'q', ...numbered(200))
  await trial.eventually('all 200 are received', () => received.length >= 200)
  await trial.sleep(quietMs)
  assert.equal(double, 0, 'no message went to two consumers')
  assert.deepEqual([...received].sort(), numbered(200).sort())
}

async function noStarvation(trial: Trial): Promise<void> {
  const driver = await trial.connect()
  await declareQueue(driver, 'q')
  const busy = await Inbox.open(trial, driver, 'q', { prefetch: 2 })
  await fill(driver, 'q', 'held 1', 'held 2')
  await busy.take(2)
  const idle = await Inbox.open(trial, await trial.connect(), 'q', { prefetch: 2 })
  await fill(driver, 'q', 'for the idle one')
  await idle.ack('for the idle one')

  await declareQueue(driver, 'shared')
  const inboxes: Inbox[] = []
  for (const _ of range(3)) inboxes.push(await Inbox.open(trial, driver, 'shared', { prefetch: 10 }))
  await fill(driver, 'shared', ...numbered(30))
  await trial.eventually(
    'all 30 are received',
    () => inboxes.reduce((sum, inbox) => sum + inbox.deliveries.length, 0) === 30,
  )
  for (const inbox of inboxes) assert.ok(inbox.deliveries.length > 0, 'each consumer with credit got some')
}

async function secondSettle(trial: Trial): Promise<void> {
  const driver = await trial.connect()
  await declareQueue(driver, 'q')
  await fill(driver, 'q', 'a', 'b')
  const inbox = await Inbox.open(trial, driver, 'q', { prefetch: 1 })
  const first = await inbox.next()
  assert.deepEqual(await Promise.all([first.settle({ type: 'ack' }), first.settle({ type: 'ack' })]), [
    true,
    false,
  ])
  assert.equal(await first.settle({ type: 'retry', delayMs: 0 }), false)
  assert.equal(await first.settle({ type: 'release' }), false)
  assert.equal(await first.settle({ type: 'dead', reason: 'twice' }), false)
  assert.equal(await first.extend(1_000), false)
  const second = await inbox.next()
  assert.equal(text(second.message), 'b', 'the second settle neither brought a back nor acknowledged b')
  assertFigures(await driver.stats('q'), { unacked: 1 })
  assert.equal(await second.settle({ type: 'ack' }), true)
  await inbox.quiet()
}

async function settleAfterClose(trial: Trial): Promise<void> {
  const driver = await trial.connect()
  await declareQueue(driver, 'q')
  await fill(driver, 'q', 'a')
  const inbox = await Inbox.open(trial, driver, 'q')
  const delivery = await inbox.next()
  await driver.close({ drainMs: 0 })
  let settled: unknown
  try {
    settled = await delivery.settle({ type: 'ack' })
  } catch (error) {
    assertCode(error, 'CLOSED')
    settled = false
  }
  assert.equal(settled, false)
  const other = await Inbox.open(trial, await trial.connect(), 'q')
  await other.ack('a')
}

async function retryRaises(trial: Trial): Promise<void> {
  const { driver, capabilities } = await trial.open()
  await declareQueue(driver, 'q')
  await fill(driver, 'q', 'a')
  const inbox = await Inbox.open(trial, driver, 'q')
  if (capabilities.retry.level === 'none') {
    const delivery = await inbox.next()
    return trial.refuses('retry', () => delivery.settle({ type: 'retry', delayMs: 0 }))
  }
  for (const attempt of [1, 2, 3]) {
    const delivery = await inbox.next()
    assert.equal(delivery.attempt, attempt)
    assert.equal(await delivery.settle({ type: 'retry', delayMs: 0 }), true)
  }
  const fourth = await inbox.next()
  assert.equal(fourth.attempt, 4)
  const startMs = trial.now()
  assert.equal(await fourth.settle({ type: 'retry', delayMs: 150 }), true)
  const fifth = await inbox.next()
  assert.equal(fifth.attempt, 5)
  assert.ok(trial.now() - startMs >= 149, 'not before its delay')
  assert.equal(await fifth.settle({ type: 'ack' }), true)
  await inbox.quiet()
}

async function releaseKeeps(trial: Trial): Promise<void> {
  const { driver, capabilities } = await trial.open()
  await declareQueue(driver, 'q')
  const toItsPlace = capabilities.release.level === 'native'
  await fill(driver, 'q', 'a', ...(toItsPlace ? ['b'] : []))
  const inbox = await Inbox.open(trial, driver, 'q', { prefetch: 1 })
  for (const _ of range(3)) {
    const delivery = await inbox.next()
    assert.equal(text(delivery.message), 'a', 'back in its original place')
    assert.equal(delivery.attempt, 1)
    assert.equal(await delivery.settle({ type: 'release' }), true)
  }
  await inbox.ack('a')
  if (!toItsPlace) {
    trial.note('back to the tail: the engine says that it cannot put a message back in its place')
    await fill(driver, 'q', 'b')
  }
  const second = await inbox.next()
  assert.equal(second.attempt, 1)
  if (capabilities.delay.level === 'none') {
    return trial.refuses('delay', () => second.settle({ type: 'release', delayMs: 100 }))
  }
  assert.equal(await second.settle({ type: 'release', delayMs: 100 }), true)
  const again = await inbox.ack('b')
  assert.equal(again.attempt, 1, 'neither does a release with a delay')
}

async function retryStaysHere(trial: Trial): Promise<void> {
  const driver = await trial.connect()
  await driver.declare({
    exchanges: [{ name: 'x', kind: 'fanout' }],
    queues: [{ name: 'flaky' }, { name: 'sibling' }],
    bindings: ['flaky', 'sibling'].map((destination) => ({ source: 'x', destination, routingKey: '' })),
  })
  await store(driver, via('x', 'k', 'a'))
  const sibling = await Inbox.open(trial, driver, 'sibling')
  const siblings = await sibling.ack('a')
  assert.equal(siblings.attempt, 1)
  const flaky = await Inbox.open(trial, driver, 'flaky')
  for (const delayMs of [0, 20, 0]) {
    const delivery = await flaky.next()
    assert.equal(await delivery.settle({ type: 'retry', delayMs }), true)
  }
  const last = await flaky.ack('a')
  assert.equal(last.attempt, 4)
  await sibling.quiet()
  const stats = await driver.stats('sibling')
  assertFigures(stats, { ready: 0, unacked: 0, delayed: 0 })
}

async function retryKeeps(trial: Trial): Promise<void> {
  const driver = await trial.connect()
  await driver.declare({
    exchanges: [{ name: 'x', kind: 'direct' }],
    queues: [{ name: 'q' }],
    bindings: [{ source: 'x', destination: 'q', routingKey: 'k' }],
  })
  const properties: Properties = {
    messageId: 'id-1',
    correlationId: 'c-1',
    type: 'order',
    contentType: 'text/plain',
    headers: { tenant: 'acme', traceparent: '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01' },
    deliveryMode: 2,
  }
  await store(driver, via('x', 'k', 'a', { properties }))
  const inbox = await Inbox.open(trial, driver, 'q')
  const first = await inbox.next()
  for (const delayMs of [0, 30]) {
    const before = delayMs === 0 ? first : await inbox.next()
    assert.equal(await before.settle({ type: 'retry', delayMs }), true)
  }
  const { message } = await inbox.next()
  assert.equal(text(message), 'a')
  assert.equal(message.properties.messageId, 'id-1')
  assert.equal(message.properties.correlationId, 'c-1')
  assert.equal(message.properties.type, 'order')
  assert.equal(message.properties.contentType, 'text/plain')
  assert.equal(message.properties.headers?.['tenant'], 'acme')
  assert.equal(message.properties.headers?.['traceparent'], properties.headers?.['traceparent'])
  assert.equal(message.exchange, 'x')
  assert.equal(message.routingKey, 'k')
  assert.equal(message.publishedAtMs, first.message.publishedAtMs)
}

async function acksOutOfOrder(trial: Trial): Promise<void> {
  const driver = await trial.connect()
  await declareQueue(driver, 'q')
  await fill(driver, 'q', ...numbered(10))
  const inbox = await Inbox.open(trial, driver, 'q')
  const deliveries = await inbox.take(10)
  for (const index of [9, 0, 5, 7, 2, 8, 4])
    assert.equal(await at(deliveries, index).settle({ type: 'ack' }), true)
  assertFigures(await driver.stats('q'), { unacked: 3 })
  await driver.close({ drainMs: 0 })
  const other = await Inbox.open(trial, await trial.connect(), 'q')
  for (const body of ['m1', 'm3', 'm6']) await other.ack(body)
  await other.quiet()
}

async function cancelDrains(trial: Trial): Promise<void> {
  const driver = await trial.connect()
  await declareQueue(driver, 'q')
  await fill(driver, 'q', ...numbered(6))
  const inbox = await Inbox.open(trial, driver, 'q', { prefetch: 3 })
  const held = await inbox.take(3)
  await inbox.consumer.cancel()
  await inbox.consumer.cancel()
  for (const delivery of held) {
    assert.equal(delivery.lost.aborted, false, 'what was delivered stays to be settled')
    assert.equal(await delivery.settle({ type: 'ack' }), true)
  }
  await fill(driver, 'q', 'late')
  await inbox.quiet()
  const stats = await driver.stats('q')
  assertFigures(stats, { ready: 4, unacked: 0, consumers: 0 })
  const other = await Inbox.open(trial, driver, 'q')
  for (const body of ['m3', 'm4', 'm5', 'late']) await other.ack(body)
}

async function fiftyAtOnce(trial: Trial): Promise<void> {
  const watcher = await trial.connect()
  await declareQueue(watcher, 'q')
  await Promise.all(
    range(50).map(async (index) => {
      const driver = await trial.connect()
      await declareQueue(driver, 'q')
      await fill(driver, 'q', `m${index}`)
      await driver.close()
      await driver.close()
    }),
  )
  const inbox = await Inbox.open(trial, watcher, 'q')
  await inbox.take(50)
  assert.deepEqual(inbox.texts.sort(), numbered(50).sort())
  await inbox.quiet()
}

async function exclusive(trial: Trial): Promise<void> {
  const { driver, capabilities } = await trial.open()
  const other = await trial.connect()
  await declareQueue(driver, 'q')
  const consuming = (): Promise<Inbox> => Inbox.open(trial, driver, 'q', { exclusive: true })
  if (capabilities.exclusiveConsumer.level === 'none') return trial.refuses('exclusive consumers', consuming)
  const first = await consuming()
  for (const options of [{}, { exclusive: true }]) {
    assertCode(await rejection(Inbox.open(trial, other, 'q', options)), 'ACCESS_REFUSED')
  }
  await fill(other, 'q', 'a')
  await first.ack('a')
  await first.consumer.cancel()
  const second = await Inbox.open(trial, other, 'q', { exclusive: true })
  await fill(driver, 'q', 'b')
  await second.ack('b')
}
