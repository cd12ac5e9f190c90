/** Lines 77 to 83: looking after queues, and living with others. */
import assert from 'node:assert/strict'
import type { Delivery, Driver, QueueStats } from '../client/driver.ts'
import { assertFigures } from './figures.ts'
import { at, declareQueue, fill, Inbox, numbered, quietMs, store, text, to } from './inbox.ts'
import type { Chapter } from './line.ts'
import type { Trial } from './trial.ts'

export const operations: Chapter = {
  heading: 'Operations',
  lines: [
    { number: 77, title: 'statistics reconcile', run: statisticsReconcile },
    { number: 78, title: 'browse perturbs nothing', run: browsePerturbsNothing },
    { number: 79, title: 'purge by state', run: purgeByState },
    { number: 80, title: 'two namespaces are isolated', run: namespacesIsolated },
    { number: 81, title: 'trace context passes', run: traceContext },
    { number: 82, title: 'a Python program publishes and Node consumes, and the reverse', run: python },
    { number: 83, title: 'a foreign message is accepted', run: foreignMessage },
  ],
}

async function statisticsReconcile(trial: Trial): Promise<void> {
  const { driver, capabilities } = await trial.open()
  await driver.declare({
    queues: [{ name: 'dead' }, { name: 'q', deadLetter: { exchange: '', routingKey: 'dead' } }],
  })
  if (capabilities.statistics.level === 'none') return readyAndConsumers(trial, driver)
  assert.deepEqual(counts(await driver.stats('q')), [0, 0, 0])
  await fill(driver, 'q', ...numbered(12))
  await reconciles(driver, 12)
  const inbox = await Inbox.open(trial, driver, 'q', { prefetch: 8 })
  const taken = await inbox.take(8)
  assert.equal((await driver.stats('q')).consumers, 1)
  await inbox.consumer.cancel()
  for (const delivery of taken.slice(0, 3)) await delivery.settle({ type: 'ack' })
  await at(taken, 3).settle({ type: 'retry', delayMs: 60_000 })
  await at(taken, 4).settle({ type: 'dead', reason: 'poison' })
  await at(taken, 5).settle({ type: 'release' })
  await at(taken, 6).settle({ type: 'retry', delayMs: 0 })
  const stats = await reconciles(driver, 12)
  assert.deepEqual(counts(stats), [6, 1, 1], 'ready, unacked, delayed')
  assert.deepEqual(
    { acked: stats.acked, retried: stats.retried, dead: stats.deadLettered, delivered: stats.delivered },
    { acked: 3, retried: 2, dead: 1, delivered: 8 },
  )
  assert.equal(stats.consumers, 0)
  assert.equal(stats.paused, false)
  assert.ok(stats.oldestMs >= 0 && stats.oldestMs < 60_000)
  assert.equal((await driver.stats('dead')).ready, 1)
}

/** All that an engine without statistics tells; that it does not tell the rest is told by undefined, not by a zero. */
async function readyAndConsumers(trial: Trial, driver: Driver): Promise<void> {
  await fill(driver, 'q', ...numbered(12))
  const inbox = await Inbox.open(trial, driver, 'q', { prefetch: 8 })
  await inbox.take(8)
  const { ready, consumers, paused, ...rest } = await driver.stats('q')
  assert.deepEqual({ ready, consumers, paused }, { ready: 4, consumers: 1, paused: false })
  for (const [name, figure] of Object.entries(rest)) assert.equal(figure, undefined, name)
  trial.unsupported('statistics beyond ready messages and consumers')
}

type Told = { readonly [Name in keyof QueueStats]: Exclude<QueueStats[Name], undefined> }

/** What came in is what is there and what has left. */
async function reconciles(driver: Driver, published: number): Promise<Told> {
  const stats = (await driver.stats('q')) as Told
  for (const [name, figure] of Object.entries(stats)) assert.notEqual(figure, undefined, name)
  assert.equal(stats.published, published, 'published: a retry is no new message')
  assert.equal(
    stats.ready + stats.unacked + stats.delayed,
    stats.published - stats.acked - stats.deadLettered - stats.expired - stats.dropped,
    JSON.stringify(stats),
  )
  return stats
}

function counts(stats: QueueStats): (number | undefined)[] {
  return [stats.ready, stats.unacked, stats.delayed]
}

async function browsePerturbsNothing(trial: Trial): Promise<void> {
  const { driver, capabilities } = await trial.open()
  await declareQueue(driver, 'q')
  await fill(driver, 'q', ...numbered(7))
  await store(driver, to('q', 'delayed', { delayMs: 60_000 }))
  if (capabilities.browse.level === 'none') return trial.refuses('browse', () => driver.browse('q', {}))
  const inbox = await Inbox.open(trial, driver, 'q', { prefetch: 2 })
  const held = await inbox.take(2)
  await inbox.consumer.cancel()
  const before = await driver.stats('q')
  const seen: string[] = []
  let cursor: string | undefined
  let pages = 0
  do {
    const page = await driver.browse('q', { limit: 2, ...(cursor !== undefined && { cursor }) })
    assert.ok(page.messages.length <= 2)
    for (const { message, attempt } of page.messages) {
      seen.push(text(message))
      assert.equal(attempt, 1, 'of its next delivery')
    }
    cursor = page.next
    pages += 1
  } while (cursor !== undefined && pages < 20)
  assert.deepEqual(seen, ['m2', 'm3', 'm4', 'm5', 'm6'])
  const delayed = await driver.browse('q', { state: 'delayed' })
  assert.deepEqual(
    delayed.messages.map(({ message }) => text(message)),
    ['delayed'],
  )
  assert.ok((at(delayed.messages, 0).dueAtMs ?? 0) > trial.now())
  const unacked = await driver.browse('q', { state: 'unacked' })
  assert.deepEqual(unacked.messages.map(({ message }) => text(message)).sort(), ['m0', 'm1'])
  const after = await driver.stats('q')
  assert.deepEqual({ ...after, oldestMs: 0 }, { ...before, oldestMs: 0 })
  for (const delivery of held) assert.equal(await delivery.settle({ type: 'release' }), true)
  const again = await Inbox.open(trial, driver, 'q')
  for (const body of numbered(7)) assert.equal((await again.ack(body)).attempt, 1)
}

async function purgeByState(trial: Trial): Promise<void> {
  const { driver, capabilities } = await trial.open()
  await declareQueue(driver, 'q')
  const delays = capabilities.delay.level !== 'none'
  const load = async (): Promise<void> => {
    await fill(driver, 'q', 'ready 1', 'ready 2', 'ready 3')
    if (delays) await store(driver, to('q', 'delayed', { delayMs: 60_000 }))
  }
  await fill(driver, 'q', 'held')
  const inbox = await Inbox.open(trial, driver, 'q', { prefetch: 1 })
  const held = await inbox.next()
  await load()
  const delayed = delays ? 1 : 0
  if (delays && capabilities.cancelDelayed.level === 'none') return purgeOfReadyOnly(trial, driver, held)
  assert.equal(await driver.purge('q', 'delayed'), delayed)
  assertFigures(await driver.stats('q'), { ready: 3, unacked: 1, delayed: 0 })
  await load()
  assert.equal(await driver.purge('q'), 6, 'those that are ready, unless told')
  assertFigures(await driver.stats('q'), { ready: 0, unacked: 1, delayed })
  await load()
  assert.equal(await driver.purge('q', 'all'), 3 + 2 * delayed)
  assertFigures(
    await driver.stats('q'),
    { ready: 0, unacked: 1, delayed: 0 },
    'never what is in a handler’s hands',
  )
  assert.equal(await driver.purge('q', 'all'), 0)
  assert.equal(await held.settle({ type: 'ack' }), true)
  await fill(driver, 'q', 'after')
  await inbox.ack('after')
}

/** Who cannot call off one delayed message cannot call off all of them; who says so drops nothing. */
async function purgeOfReadyOnly(trial: Trial, driver: Driver, held: Delivery): Promise<void> {
  for (const state of ['delayed', 'all'] as const) {
    await trial.refuses('purging delayed messages', () => driver.purge('q', state))
  }
  assert.equal(await driver.purge('q'), 3, 'those that are ready, unless told')
  assertFigures(await driver.stats('q'), { ready: 0, unacked: 1 })
  assert.equal(await held.settle({ type: 'ack' }), true)
  trial.note('of ready messages only: purging delayed ones is refused')
}

async function namespacesIsolated(trial: Trial): Promise<void> {
  const left = await trial.connect({ namespace: 'left' })
  const right = await trial.connect({ namespace: 'right' })
  const plain = await trial.connect()
  for (const driver of [left, right]) {
    await driver.declare({
      exchanges: [{ name: 'x', kind: driver === left ? 'fanout' : 'topic' }],
      queues: [{ name: 'q', ...(driver === right && { messageTtlMs: 60_000 }) }],
      bindings: [{ source: 'x', destination: 'q', routingKey: '#' }],
    })
  }
  await fill(left, 'q', 'to the left')
  await store(right, { exchange: 'x', routingKey: 'k', properties: {}, body: 'to the right' })
  assert.deepEqual(await trial.queueNames(left), ['q'])
  assert.deepEqual(await trial.queueNames(plain), [])
  const leftInbox = await Inbox.open(trial, left, 'q')
  const rightInbox = await Inbox.open(trial, right, 'q')
  await leftInbox.ack('to the left')
  await rightInbox.ack('to the right')
  await left.undeclare({ queues: [{ name: 'q' }] })
  await fill(right, 'q', 'still there')
  await rightInbox.ack('still there')
  await leftInbox.quiet()
}

async function traceContext(trial: Trial): Promise<void> {
  const client = await trial.client()
  const queue = client.queue('q')
  const exchange = client.exchange('x', 'fanout')
  await queue.bind(exchange)
  const headers = {
    traceparent: '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01',
    tracestate: 'vendor=1,other=grüße',
    baggage: 'tenant=acme',
  }
  const seen: unknown[] = []
  const worker = queue.work(
    (job) => {
      const { traceparent, tracestate, baggage } = job.headers
      seen.push({ traceparent, tracestate, baggage })
      if (job.attempt === 1) throw new Error('once more')
    },
    { backoff: { type: 'fixed', delay: 5, jitter: 0 } },
  )
  await worker.ready
  await queue.send('sent', { headers })
  await exchange.publish('', 'published', { headers })
  await trial.eventually('both are done, after a retry each', () => seen.length === 4)
  assert.deepEqual(seen, [headers, headers, headers, headers])
}

async function python(trial: Trial): Promise<void> {
  const network = trial.needsNetwork('foreign', 'the harness cannot run a program of another language')
  const driver = await trial.connect()
  await declareQueue(driver, 'q')
  await network.foreign?.('publish', 'q', 'from Python: grüße')
  const inbox = await Inbox.open(trial, driver, 'q')
  await inbox.ack('from Python: grüße')
  await inbox.consumer.cancel()
  await fill(driver, 'q', 'from Node: grüße')
  assert.equal((await network.foreign?.('consume', 'q'))?.trim(), 'from Node: grüße')
  assertFigures(await driver.stats('q'), { ready: 0, unacked: 0, delayed: 0 })
}

/** Without an envelope, as programs that know nothing of Millrace send it. */
async function foreignMessage(trial: Trial): Promise<void> {
  const client = await trial.client()
  const driver = await trial.connect()
  const queue = client.queue('q')
  await queue.declare()
  const received: { id: string; data: unknown; attempt: number }[] = []
  const worker = queue.work((job) => received.push({ id: job.id, data: job.data, attempt: job.attempt }))
  await worker.ready
  await store(
    driver,
    to('q', '{"json":true}', { properties: {} }),
    to('q', Buffer.from([0xff, 0x00, 0xfe]), { properties: {} }),
    to('q', 'plain text', { properties: { contentType: 'text/plain' } }),
    to('q', '{"named":1}', {
      properties: { contentType: 'application/json', messageId: 'theirs', appId: 'legacy' },
    }),
  )
  await trial.eventually('all are received', () => received.length === 4)
  await trial.sleep(quietMs)
  const [json, bytes, plain, named] = received.map(({ data }) => data)
  assert.deepEqual(json, { json: true })
  assert.ok(bytes instanceof Uint8Array)
  assert.deepEqual([...bytes], [0xff, 0x00, 0xfe])
  assert.equal(plain, 'plain text')
  assert.deepEqual(named, { named: 1 })
  for (const { id, attempt } of received) {
    assert.ok(id.length > 0, 'an id is made for it')
    assert.equal(attempt, 1)
  }
  assert.equal(new Set(received.map(({ id }) => id)).size, 4)
  assert.equal(at(received, 3).id, 'theirs')
}
