/** Lines 16 to 28: where messages go. */
import assert from 'node:assert/strict'
import type { BindingSpec, Capabilities, Driver, QueueSpec, Topology } from '../client/driver.ts'
import { ConflictError } from '../model/errors.ts'
import type { FieldTable } from '../model/field-table.ts'
import type { ExchangeKind } from '../model/record.ts'
import { at, declareQueue, fill, Inbox, publishOne, quietMs, store, text, via } from './inbox.ts'
import type { Chapter } from './line.ts'
import { assertCode, assertUnsupported, rejection } from './trial.ts'
import type { Trial } from './trial.ts'

export const routing: Chapter = {
  heading: 'Routing',
  lines: [
    { number: 16, title: 'a direct exchange matches the routing key exactly', run: direct },
    { number: 17, title: 'a fanout exchange copies to every queue', run: fanout },
    { number: 18, title: '* is exactly one word', run: star },
    { number: 19, title: '# matches zero words', run: hash },
    { number: 20, title: '# in the middle', run: hashInTheMiddle },
    { number: 21, title: 'a headers exchange matches all or any', run: headers },
    { number: 22, title: 'two matching bindings deliver once', run: deliverOnce },
    { number: 23, title: 'unbind stops the flow', run: unbind },
    { number: 24, title: 'exchange to exchange, safe in a cycle', run: exchangeToExchange },
    { number: 25, title: 'a publisher elsewhere sees new bindings', run: bindingsSeenElsewhere },
    { number: 26, title: 'an equal redeclare is idempotent', run: equalRedeclare },
    { number: 27, title: 'an unequal redeclare is a conflict and changes nothing', run: unequalRedeclare },
    { number: 28, title: 'what is unsupported throws at declare', run: unsupportedThrows },
  ],
}

/** Publishes each key once and asserts which of them reached a queue bound so. */
async function assertMatches(
  trial: Trial,
  kind: ExchangeKind,
  bindingKeys: readonly string[],
  expectations: Readonly<Record<string, boolean>>,
): Promise<void> {
  const driver = await trial.connect()
  await driver.declare({
    exchanges: [{ name: 'x', kind }],
    queues: [{ name: 'q' }],
    bindings: bindingKeys.map((routingKey) => ({ source: 'x', destination: 'q', routingKey })),
  })
  const keys = Object.keys(expectations)
  const results = await driver.publish(keys.map((key) => via('x', key, `[${key}]`)))
  const expected = keys.filter((key) => expectations[key] === true).map((key) => `[${key}]`)
  assert.deepEqual(
    results.map((result) => result.type),
    keys.map((key) => (expectations[key] === true ? 'stored' : 'dropped')),
  )
  const inbox = await Inbox.open(trial, driver, 'q')
  assert.deepEqual(
    (await inbox.take(expected.length)).map((delivery) => text(delivery.message)),
    expected,
  )
  await inbox.quiet(quietMs / 2)
}

function direct(trial: Trial): Promise<void> {
  return assertMatches(trial, 'direct', ['red', ''], {
    red: true,
    redder: false,
    re: false,
    Red: false,
    '*': false,
    '#': false,
    '': true,
  })
}

async function fanout(trial: Trial): Promise<void> {
  const driver = await trial.connect()
  const queues = ['a', 'b', 'c']
  await driver.declare({
    exchanges: [{ name: 'x', kind: 'fanout' }],
    queues: [...queues.map((name) => ({ name })), { name: 'unbound' }],
    bindings: queues.map((destination) => ({ source: 'x', destination, routingKey: '' })),
  })
  await store(driver, via('x', 'any key', 'copied'))
  for (const queue of queues) {
    const inbox = await Inbox.open(trial, driver, queue)
    const delivery = await inbox.ack('copied')
    assert.equal(delivery.queue, queue)
    assert.equal(delivery.message.routingKey, 'any key')
    await inbox.quiet(20)
  }
  assert.equal((await driver.stats('unbound')).ready, 0)
}

function star(trial: Trial): Promise<void> {
  return assertMatches(trial, 'topic', ['order.*.eu'], {
    'order.created.eu': true,
    'order..eu': true,
    'order.eu': false,
    'order.created.late.eu': false,
    'order.created.us': false,
    'my.order.created.eu': false,
    'order.*.eu': true,
  })
}

function hash(trial: Trial): Promise<void> {
  return assertMatches(trial, 'topic', ['order.#'], {
    order: true,
    'order.created': true,
    'order.created.eu': true,
    orders: false,
    'my.order': false,
    '': false,
  })
}

function hashInTheMiddle(trial: Trial): Promise<void> {
  return assertMatches(trial, 'topic', ['a.#.z', 'one.#.*.#.end'], {
    'a.z': true,
    'a.b.z': true,
    'a.b.c.d.z': true,
    'a.z.z': true,
    'a.z.b': false,
    a: false,
    z: false,
    'one.end': false,
    'one.x.end': true,
    'one.x.y.end': true,
    'one.end.end': true,
  })
}

async function headers(trial: Trial): Promise<void> {
  const driver = await trial.connect()
  const bound = (destination: string, args: FieldTable): BindingSpec => ({
    source: 'x',
    destination,
    routingKey: '',
    arguments: args,
  })
  await driver.declare({
    exchanges: [{ name: 'x', kind: 'headers' }],
    queues: [{ name: 'all' }, { name: 'any' }, { name: 'default' }],
    bindings: [
      bound('all', { 'x-match': 'all', format: 'pdf', pages: 2 }),
      bound('any', { 'x-match': 'any', format: 'pdf', pages: 2 }),
      bound('default', { format: 'pdf', pages: 2 }),
    ],
  })
  const cases: readonly (readonly [string, FieldTable])[] = [
    ['both', { format: 'pdf', pages: 2, more: true }],
    ['one', { format: 'pdf', pages: 3 }],
    ['none', { format: 'txt' }],
    ['bare', {}],
  ]
  for (const [body, table] of cases) {
    await publishOne(driver, via('x', '', body, { properties: { headers: table } }))
  }
  const expected = { all: ['both'], any: ['both', 'one'], default: ['both'] }
  for (const [queue, bodies] of Object.entries(expected)) {
    const inbox = await Inbox.open(trial, driver, queue)
    for (const body of bodies) await inbox.ack(body)
    await inbox.quiet(20)
  }
}

async function deliverOnce(trial: Trial): Promise<void> {
  const driver = await trial.connect()
  await driver.declare({
    exchanges: [{ name: 'x', kind: 'topic' }],
    queues: [{ name: 'q' }],
    bindings: ['a.b', 'a.*', '#', '*.b'].map((routingKey) => ({ source: 'x', destination: 'q', routingKey })),
  })
  await store(driver, via('x', 'a.b', 'once'))
  const inbox = await Inbox.open(trial, driver, 'q')
  await inbox.ack('once')
  await inbox.quiet()
}

async function unbind(trial: Trial): Promise<void> {
  const driver = await trial.connect()
  const bindings: readonly BindingSpec[] = [
    { source: 'x', destination: 'q', routingKey: 'stays' },
    { source: 'x', destination: 'q', routingKey: 'goes' },
  ]
  await driver.declare({ exchanges: [{ name: 'x', kind: 'direct' }], queues: [{ name: 'q' }], bindings })
  await store(driver, via('x', 'goes', 'before'))
  const going: Topology = { bindings: [at(bindings, 1)] }
  await driver.undeclare(going)
  await driver.undeclare(going)
  assert.equal((await publishOne(driver, via('x', 'goes', 'after'))).type, 'dropped')
  await store(driver, via('x', 'stays', 'other'))
  const inbox = await Inbox.open(trial, driver, 'q')
  await inbox.ack('before')
  await inbox.ack('other')
  await inbox.quiet()
}

async function exchangeToExchange(trial: Trial): Promise<void> {
  const { driver, capabilities } = await trial.open()
  const topology: Topology = {
    exchanges: [
      { name: 'first', kind: 'fanout' },
      { name: 'second', kind: 'fanout' },
      { name: 'third', kind: 'topic' },
    ],
    queues: [{ name: 'q' }],
    bindings: [
      { source: 'first', destination: 'second', destinationType: 'exchange', routingKey: '' },
      { source: 'second', destination: 'third', destinationType: 'exchange', routingKey: '' },
      { source: 'third', destination: 'first', destinationType: 'exchange', routingKey: '#' },
      { source: 'third', destination: 'q', routingKey: 'k.#' },
    ],
  }
  if (capabilities.exchangeBindings.level === 'none') {
    return trial.refuses('exchange-to-exchange bindings', () => driver.declare(topology))
  }
  await driver.declare(topology)
  await store(driver, via('first', 'k.1', 'round'), via('second', 'k.2', 'and round'))
  assert.equal((await publishOne(driver, via('first', 'other', 'no'))).type, 'dropped')
  const inbox = await Inbox.open(trial, driver, 'q')
  const first = await inbox.ack('round')
  assert.equal(first.message.exchange, 'first', 'the exchange it was published to')
  assert.equal(first.message.routingKey, 'k.1')
  await inbox.ack('and round')
  await inbox.quiet()
}

async function bindingsSeenElsewhere(trial: Trial): Promise<void> {
  const here = await trial.connect()
  const elsewhere = await trial.connect()
  await here.declare({ exchanges: [{ name: 'x', kind: 'topic' }], queues: [{ name: 'q' }] })
  assert.equal((await publishOne(elsewhere, via('x', 'a.b', 'too early'))).type, 'dropped')
  await here.declare({ bindings: [{ source: 'x', destination: 'q', routingKey: 'a.*' }] })
  await store(elsewhere, via('x', 'a.b', 'seen'))
  await here.undeclare({ bindings: [{ source: 'x', destination: 'q', routingKey: 'a.*' }] })
  assert.equal((await publishOne(elsewhere, via('x', 'a.b', 'too late'))).type, 'dropped')
  const inbox = await Inbox.open(trial, here, 'q')
  await inbox.ack('seen')
  await inbox.quiet()
  trial.note(
    trial.harness.network === undefined
      ? 'by a second connection: one process owns the engine'
      : 'by a second connection',
  )
}

async function equalRedeclare(trial: Trial): Promise<void> {
  const driver = await trial.connect()
  const other = await trial.connect()
  const topology: Topology = {
    exchanges: [{ name: 'x', kind: 'topic' }],
    queues: [{ name: 'q', messageTtlMs: 3_600_000, maxLength: 100 }],
    bindings: [{ source: 'x', destination: 'q', routingKey: 'k' }],
  }
  await driver.declare(topology)
  await store(driver, via('x', 'k', 'kept'))
  await driver.declare(topology)
  await other.declare(topology)
  await Promise.all([driver.declare(topology), other.declare(topology)])
  const inbox = await Inbox.open(trial, other, 'q')
  await inbox.ack('kept')
  await inbox.quiet()
}

async function unequalRedeclare(trial: Trial): Promise<void> {
  const driver = await trial.connect()
  const other = await trial.connect()
  await driver.declare({
    exchanges: [{ name: 'x', kind: 'topic' }],
    queues: [{ name: 'q', messageTtlMs: 3_600_000 }],
    bindings: [{ source: 'x', destination: 'q', routingKey: 'k.*' }],
  })
  await fill(driver, 'q', 'kept')
  const conflicts: readonly Topology[] = [
    { queues: [{ name: 'new' }, { name: 'q', messageTtlMs: 1 }] },
    { queues: [{ name: 'new' }, { name: 'q' }] },
    { queues: [{ name: 'new' }, { name: 'q', messageTtlMs: 3_600_000, durable: false }] },
    { queues: [{ name: 'new' }], exchanges: [{ name: 'x', kind: 'direct' }] },
  ]
  for (const topology of conflicts) {
    for (const connection of [driver, other]) {
      const error = await rejection(connection.declare(topology))
      assert.ok(error instanceof ConflictError, `a ConflictError, not ${String(error)}`)
      assertCode(error, 'CONFLICT')
    }
  }
  assert.deepEqual(
    await trial.queueNames(driver),
    ['q'],
    'what came with the conflict was not declared either',
  )
  await store(other, via('x', 'k.1', 'routed as before'))
  const inbox = await Inbox.open(trial, driver, 'q')
  await inbox.ack('kept')
  await inbox.ack('routed as before')
}

async function unsupportedThrows(trial: Trial): Promise<void> {
  const { driver, capabilities } = await trial.open()
  const cannot = unsupportedQueues(capabilities)
  for (const [feature, spec] of cannot) {
    const error = await rejection(driver.declare({ queues: [{ name: 'fine' }, { name: 'q', ...spec }] }))
    assertUnsupported(error, feature)
  }
  if (capabilities.alternateExchange.level === 'none') {
    const error = await rejection(
      driver.declare({
        exchanges: [{ name: 'x', kind: 'direct', alternate: 'y' }],
        queues: [{ name: 'fine' }],
      }),
    )
    assertUnsupported(error, 'alternate exchanges')
  }
  if (capabilities.priority.level !== 'none') {
    const maxPriority = capabilities.priority.maximum + 1
    const error = await rejection(driver.declare({ queues: [{ name: 'fine' }, { name: 'q', maxPriority }] }))
    assertCode(error, 'UNSUPPORTED', 'INVALID_ARGUMENT', 'INVALID_OPTION')
  }
  assert.deepEqual(await trial.queueNames(driver), [], 'nothing was declared on the way to the refusal')
  await assertWorks(driver, supportedQueues(capabilities))
  trial.note(cannot.length === 0 ? 'nothing in a declaration is unsupported' : `refused: ${names(cannot)}`)
}

const queueFeatures: readonly (readonly [string, Partial<QueueSpec>, (has: Capabilities) => boolean])[] = [
  ['priority', { maxPriority: 3 }, (has) => has.priority.level !== 'none'],
  ['message ttl', { messageTtlMs: 60_000 }, (has) => has.expiry.level !== 'none'],
  ['max length', { maxLength: 10 }, (has) => has.maxLength.level !== 'none'],
  [
    'single active consumer',
    { singleActiveConsumer: true },
    (has) => has.singleActiveConsumer.level !== 'none',
  ],
]

function unsupportedQueues(capabilities: Capabilities): (readonly [string, Partial<QueueSpec>])[] {
  return queueFeatures
    .filter(([, , has]) => !has(capabilities))
    .map(([feature, spec]) => [feature, spec] as const)
}

function supportedQueues(capabilities: Capabilities): (readonly [string, Partial<QueueSpec>])[] {
  return queueFeatures
    .filter(([, , has]) => has(capabilities))
    .map(([feature, spec]) => [feature, spec] as const)
}

/** What is claimed can be declared. */
async function assertWorks(
  driver: Driver,
  features: readonly (readonly [string, Partial<QueueSpec>])[],
): Promise<void> {
  for (const [feature, spec] of features) {
    await declareQueue(driver, feature, spec)
    await fill(driver, feature, 'works')
    assert.equal((await driver.stats(feature)).ready, 1, feature)
  }
}

function names(features: readonly (readonly [string, unknown])[]): string {
  return features.map(([feature]) => feature).join(', ')
}
