/** Lines 1 to 15: what a publisher can rely on. */
import assert from 'node:assert/strict'
import type { Driver, Outgoing } from '../client/driver.ts'
import { bodyBytes } from '../model/message.ts'
import type { FieldTable } from '../model/field-table.ts'
import type { Properties } from '../model/properties.ts'
import { assertFigures } from './figures.ts'
import { declareQueue, fill, Inbox, numbered, publishOne, range, refusal, store, to, via } from './inbox.ts'
import type { Chapter } from './line.ts'
import { publishMemory } from './publish-memory.ts'
import { assertCode, rejection, within } from './trial.ts'
import type { Trial } from './trial.ts'

export const publish: Chapter = {
  heading: 'Publish',
  lines: [
    { number: 1, title: 'bytes, headers and properties round-trip', run: roundTrip },
    { number: 2, title: 'an empty body arrives empty', run: (trial) => bodyArrives(trial, Buffer.alloc(0)) },
    {
      number: 3,
      title: 'a body that is not UTF-8 arrives byte for byte',
      run: (trial) => bodyArrives(trial, Buffer.from([0xff, 0xfe, 0x00, 0xc3, 0x28, 0x80, 0x0a, 0x0d])),
    },
    { number: 4, title: 'Unicode names of queues, exchanges and routing keys', run: unicodeNames },
    { number: 5, title: 'a resolved send survives a restart', run: survivesRestart },
    { number: 6, title: 'a batch has one result per message, in order', run: batchResults },
    { number: 7, title: 'mandatory and unroutable is a typed result', run: mandatory },
    { number: 8, title: 'not mandatory and unroutable is dropped, and told', run: dropped },
    { number: 9, title: 'an undeclared exchange is an error', run: undeclaredExchange },
    { number: 10, title: 'abort settles a publish once', run: abort },
    { number: 11, title: 'back-pressure bounds memory', run: publishMemory },
    { number: 12, title: 'a message at the limit passes', run: atTheLimit },
    { number: 13, title: 'over the limit is a typed error and the connection survives', run: overTheLimit },
    { number: 14, title: '100 KB of headers is a clean error', run: bigHeaders },
    { number: 15, title: 'close during publishing: each resolves or rejects', run: closeDuringPublishing },
  ],
}

/** The engine has a clock of its own, which may be set, or stand still with its machine. */
const clocksApartMs = 60_000

async function roundTrip(trial: Trial): Promise<void> {
  const driver = await trial.connect()
  await declareQueue(driver, 'q')
  const headers: FieldTable = {
    text: 'grüße',
    integer: -42,
    big: 9_007_199_254_740_993n,
    fraction: 2.5,
    yes: true,
    nothing: null,
    time: new Date(1_700_000_000_000),
    bytes: new Uint8Array([0, 1, 255]),
    list: ['a', 1, { deep: false }],
    nested: { inner: { innermost: 'x' } },
  }
  const properties: Properties = {
    contentType: 'application/x-test',
    contentEncoding: 'identity',
    headers,
    deliveryMode: 2,
    correlationId: 'correlation',
    replyTo: 'answers',
    messageId: 'message-1',
    timestamp: 1_700_000_000,
    type: 'greeting',
    appId: 'conformance',
  }
  const body = Buffer.from(range(256))
  const beforeMs = trial.now()
  await store(driver, to('q', body, { properties }))
  const inbox = await Inbox.open(trial, driver, 'q')
  const { message } = await inbox.next()
  assert.deepEqual(Buffer.from(bodyBytes(message.body)), body)
  assert.equal(message.exchange, '')
  assert.equal(message.routingKey, 'q')
  assertProperties(message.properties, properties)
  const { publishedAtMs } = message
  assert.ok(publishedAtMs >= beforeMs - clocksApartMs && publishedAtMs <= trial.now() + clocksApartMs)
}

/** Each property and header that was sent is there; an engine may add its own beside them. */
function assertProperties(actual: Properties, expected: Properties): void {
  const { headers: actualHeaders = {}, ...actualRest } = actual
  const { headers: expectedHeaders = {}, ...expectedRest } = expected
  const actualByName = new Map<string, unknown>(Object.entries(actualRest))
  for (const [name, value] of Object.entries(expectedRest)) {
    assert.deepEqual(actualByName.get(name), value, `property ${name}`)
  }
  for (const [name, value] of Object.entries(expectedHeaders)) {
    assert.deepEqual(plain(actualHeaders[name]), plain(value), `header ${name}`)
  }
}

/** Buffers and other byte arrays are one and the same here. */
function plain(value: unknown): unknown {
  if (value instanceof Uint8Array) return [...value]
  if (Array.isArray(value)) return value.map(plain)
  if (typeof value === 'object' && value !== null && !(value instanceof Date)) {
    return Object.fromEntries(Object.entries(value).map(([name, inner]) => [name, plain(inner)]))
  }
  return value
}

async function bodyArrives(trial: Trial, body: Buffer): Promise<void> {
  const driver = await trial.connect()
  await declareQueue(driver, 'q')
  await store(driver, to('q', body))
  const inbox = await Inbox.open(trial, driver, 'q')
  const delivery = await inbox.next()
  assert.deepEqual(Buffer.from(bodyBytes(delivery.message.body)), body)
  assert.equal(await delivery.settle({ type: 'ack' }), true)
}

async function unicodeNames(trial: Trial): Promise<void> {
  const driver = await trial.connect()
  const queue = '邮件 – ünïcödé 😀'
  const exchange = 'обмен 🐎'
  const key = 'схема.Ключ.鍵'
  await driver.declare({
    exchanges: [{ name: exchange, kind: 'topic' }],
    queues: [{ name: queue }],
    bindings: [{ source: exchange, destination: queue, routingKey: 'схема.*.鍵' }],
  })
  await store(driver, via(exchange, key, 'by exchange'), to(queue, 'by name'))
  const inbox = await Inbox.open(trial, driver, queue)
  const first = await inbox.ack('by exchange')
  assert.equal(first.message.exchange, exchange)
  assert.equal(first.message.routingKey, key)
  assert.equal(first.queue, queue)
  await inbox.ack('by name')
  assert.ok((await trial.queueNames(driver)).includes(queue), 'the queue is listed under its name')
}

async function survivesRestart(trial: Trial): Promise<void> {
  const driver = await trial.connect()
  trial.needsDurability(driver)
  await driver.declare({
    exchanges: [{ name: 'x', kind: 'direct' }],
    queues: [{ name: 'q' }],
    bindings: [{ source: 'x', destination: 'q', routingKey: 'k' }],
  })
  const bodies = numbered(100)
  await Promise.all(bodies.map((body) => store(driver, via('x', 'k', body))))
  await trial.restart()
  const again = await trial.connect()
  assert.equal((await again.stats('q')).ready, 100)
  await store(again, via('x', 'k', 'after'))
  const inbox = await Inbox.open(trial, again, 'q')
  for (const body of [...bodies, 'after']) await inbox.ack(body)
  await trial.restart()
  const third = await trial.connect()
  assert.equal((await third.stats('q')).ready, 0, 'and what was acknowledged stays away')
}

async function batchResults(trial: Trial): Promise<void> {
  const driver = await trial.connect()
  await declareQueue(driver, 'q')
  const results = await driver.publish([
    to('q', 'a'),
    via('no such exchange', 'k', 'b'),
    to('no such queue', 'c', { mandatory: true }),
    to('no such queue', 'd'),
    to('q', 'e'),
  ])
  assert.deepEqual(
    results.map((result) => result.type),
    ['stored', 'rejected', 'unroutable', 'dropped', 'stored'],
  )
  const inbox = await Inbox.open(trial, driver, 'q')
  await inbox.ack('a')
  await inbox.ack('e')
  await inbox.quiet()
  assert.deepEqual(await driver.publish([]), [], 'an empty batch has no results')
}

async function mandatory(trial: Trial): Promise<void> {
  const driver = await trial.connect()
  await driver.declare({ exchanges: [{ name: 'x', kind: 'direct' }] })
  assert.deepEqual(await publishOne(driver, via('x', 'k', 'a', { mandatory: true })), { type: 'unroutable' })
  await driver.declare({
    queues: [{ name: 'q' }],
    bindings: [{ source: 'x', destination: 'q', routingKey: 'k' }],
  })
  assert.deepEqual(await publishOne(driver, via('x', 'k', 'b', { mandatory: true })), { type: 'stored' })
}

async function dropped(trial: Trial): Promise<void> {
  const driver = await trial.connect()
  await driver.declare({ exchanges: [{ name: 'x', kind: 'topic' }], queues: [{ name: 'q' }] })
  assert.deepEqual(await publishOne(driver, via('x', 'nobody.cares', 'a')), { type: 'dropped' })
  assert.deepEqual(await publishOne(driver, to('nowhere', 'b')), { type: 'dropped' })
  assert.deepEqual(await trial.queueNames(driver), ['q'], 'and no queue was made for it')
  assertFigures(await driver.stats('q'), { ready: 0, published: 0 })
}

async function undeclaredExchange(trial: Trial): Promise<void> {
  const driver = await trial.connect()
  await declareQueue(driver, 'q')
  assertCode(await refusal(driver, via('never declared', 'q', 'a')), 'NOT_FOUND')
  await fill(driver, 'q', 'the connection lives on')
  assert.equal((await driver.stats('q')).ready, 1)
}

async function abort(trial: Trial): Promise<void> {
  const driver = await trial.connect()
  await declareQueue(driver, 'q')
  const error = await rejection(driver.publish([to('q', 'never')], { signal: AbortSignal.abort() }))
  assertCode(error, 'ABORTED')
  await trial.sleep(20)
  assert.equal((await driver.stats('q')).ready, 0, 'aborted before it began: nothing is stored')

  const controller = new AbortController()
  let settled = 0
  const publishing = driver.publish(
    numbered(200).map((body) => to('q', body)),
    { signal: controller.signal },
  )
  const outcome = publishing.then(
    (results) => {
      settled += 1
      return results.length
    },
    (reason: unknown) => {
      settled += 1
      assertCode(reason, 'ABORTED')
      return -1
    },
  )
  controller.abort()
  const count = await within(trial.patienceMs, 'the aborted publish did not settle', outcome)
  await trial.sleep(20)
  assert.equal(settled, 1)
  if (count >= 0) assert.equal((await driver.stats('q')).ready, 200, 'it resolved, so all of it is stored')
  await fill(driver, 'q', 'after')
}

async function atTheLimit(trial: Trial): Promise<void> {
  const { driver, capabilities } = await trial.open()
  await declareQueue(driver, 'q')
  const body = Buffer.alloc(capabilities.maximumBodyBytes, 'x')
  body[0] = 1
  body[body.length - 1] = 2
  await store(driver, to('q', body))
  const inbox = await Inbox.open(trial, driver, 'q')
  const delivery = await inbox.next()
  assert.equal(Buffer.compare(bodyBytes(delivery.message.body), body), 0)
  assert.equal(await delivery.settle({ type: 'ack' }), true)
}

async function overTheLimit(trial: Trial): Promise<void> {
  const { driver, capabilities } = await trial.open()
  await declareQueue(driver, 'q')
  const body = Buffer.alloc(capabilities.maximumBodyBytes + 1)
  assertCode(await refusal(driver, to('q', body)), 'MESSAGE_TOO_LARGE')
  await fill(driver, 'q', 'small')
  const inbox = await Inbox.open(trial, driver, 'q')
  await inbox.ack('small')
  await inbox.quiet()
}

async function bigHeaders(trial: Trial): Promise<void> {
  const driver = await trial.connect()
  await declareQueue(driver, 'q')
  const headers = { big: 'h'.repeat(100 * 1_024) }
  const error = await refusal(driver, to('q', 'a', { properties: { headers } }))
  assertCode(error, 'HEADERS_TOO_LARGE')
  await fill(driver, 'q', 'small')
  const inbox = await Inbox.open(trial, driver, 'q')
  await inbox.ack('small')
  await inbox.quiet()
}

async function closeDuringPublishing(trial: Trial): Promise<void> {
  const watcher = await trial.connect()
  await declareQueue(watcher, 'q')
  const driver = await trial.connect()
  const sends = numbered(300).map((body) => outcomeOf(driver, to('q', body)))
  const closing = driver.close()
  const late = outcomeOf(driver, to('q', 'late'))
  const outcomes = await within(
    trial.patienceMs,
    'a publish hung when its driver was closed',
    Promise.all(sends),
  )
  await closing
  assert.equal(await late, 'CLOSED', 'a publish after close is refused')
  const stored = numbered(300).filter((_body, index) => outcomes[index] === 'stored')
  for (const outcome of outcomes) assert.ok(['stored', 'CLOSED'].includes(outcome), `settled as ${outcome}`)
  const inbox = await Inbox.open(trial, watcher, 'q')
  await trial.eventually('all that resolved is there', () => {
    const there = new Set(inbox.texts)
    return stored.every((body) => there.has(body))
  })
  assert.equal(new Set(inbox.texts).size, inbox.texts.length, 'and nothing twice')
}

/** 'stored', or the code of what came instead. */
async function outcomeOf(driver: Driver, outgoing: Outgoing): Promise<string> {
  try {
    const result = await publishOne(driver, outgoing)
    return result.type === 'rejected' ? codeOf(result.error) : result.type
  } catch (error) {
    return codeOf(error)
  }
}

function codeOf(error: unknown): string {
  return error instanceof Error && 'code' in error ? String(error.code) : String(error)
}
