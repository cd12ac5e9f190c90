/** Messages to the wire and back: what a program of another language sees, and what comes back of ours. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { Outgoing } from '../../../src/client/driver.ts'
import { deadLetter } from '../../../src/drivers/amqp/dead-letter.ts'
import {
  attemptOf,
  heldBack,
  moved,
  ReceivedMessage,
  republished,
  toWire,
} from '../../../src/drivers/amqp/envelope.ts'
import type { Wire } from '../../../src/drivers/amqp/envelope.ts'
import type { Incoming } from '../../../src/drivers/amqp/amqplib.ts'
import type { FieldTable } from '../../../src/model/field-value.ts'

const nowMs = 1_700_000_000_123

function outgoing(extra: Partial<Outgoing> = {}): Outgoing {
  return { exchange: '', routingKey: 'q', properties: {}, body: 'body', ...extra }
}

/** What amqplib hands a consumer of what it was handed; numbers lose their width on the way, and no more. */
function delivered(wire: Wire, change: { headers?: object; redelivered?: boolean } = {}): Incoming {
  const { mandatory: _mandatory, ...properties } = wire.fields
  const fields = {
    exchange: wire.exchange,
    routingKey: wire.routingKey,
    deliveryTag: 1,
    consumerTag: 'c',
    redelivered: change.redelivered ?? false,
  }
  const table: Record<string, unknown> = { ...properties.headers, ...change.headers }
  const headers = Object.fromEntries(Object.entries(table).map(([name, value]) => [name, numbersOnly(value)]))
  return { content: wire.content, fields, properties: { ...properties, headers } } as unknown as Incoming
}

function numbersOnly(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(numbersOnly)
  if (typeof value !== 'object' || value === null || Buffer.isBuffer(value)) return value
  const { '!': type, value: inner } = value as { '!'?: string; value?: unknown }
  if (type === 'int64' || type === 'double') return Number(inner)
  if (type !== undefined) return value
  return Object.fromEntries(Object.entries(value).map(([name, each]) => [name, numbersOnly(each)]))
}

test('a plain message needs no header of ours', () => {
  const { fields, content } = toWire(outgoing({ properties: { messageId: 'id', type: 't' } }), 100, nowMs)
  const said = Object.entries(fields).filter(([, value]) => value !== undefined)
  assert.deepEqual(Object.fromEntries(said), {
    messageId: 'id',
    type: 't',
    deliveryMode: 2,
    timestamp: 1_700_000_000,
    mandatory: true,
  })
  assert.equal(String(content), 'body')
})

test('the time it was sent is the timestamp; beside a timestamp of its own it is a header', () => {
  assert.equal(
    new ReceivedMessage(delivered(toWire(outgoing(), 100, nowMs))).publishedAtMs,
    1_700_000_000_000,
  )
  const own = toWire(outgoing({ properties: { timestamp: 5, headers: { a: 1 } } }), 100, nowMs)
  const received = new ReceivedMessage(delivered(own))
  assert.equal(received.publishedAtMs, nowMs)
  assert.equal(received.properties.timestamp, 5)
  assert.deepEqual(received.properties.headers, { a: 1 })
})

test('headers of every type come back as they were', () => {
  const headers: FieldTable = {
    text: 'grüße',
    integer: -42,
    big: 9_007_199_254_740_993n,
    small: 7n,
    fraction: 2.5,
    huge: -1e300,
    yes: true,
    nothing: null,
    time: new Date(1_700_000_000_000),
    bytes: Buffer.from([0, 255]),
    list: ['a', { deep: 9_007_199_254_740_995n }],
    '!': 'no type',
    nested: { inner: { innermost: 'x' } },
  }
  const received = new ReceivedMessage(delivered(toWire(outgoing({ properties: { headers } }), 100, nowMs)))
  assert.deepEqual({ ...received.properties.headers }, { ...headers, small: 7 })
})

test('the attempt is what the message carries and how often it came back', () => {
  const wire = toWire(outgoing(), 100, nowMs)
  assert.equal(attemptOf(delivered(wire)), 1)
  assert.equal(attemptOf(delivered(wire, { redelivered: true })), 2, 'a classic queue says no more')
  assert.equal(attemptOf(delivered(wire, { redelivered: true, headers: { 'x-delivery-count': 4 } })), 5)
  const third = republished(delivered(wire), { attempt: 3, routingKey: 'q', held: false })
  assert.equal(attemptOf(delivered(third)), 3)
  assert.equal(attemptOf(delivered(third, { redelivered: true, headers: { 'x-delivery-count': 1 } })), 4)
})

test('a retried message keeps where it came from, its properties and its time to live', () => {
  const first = toWire(
    outgoing({
      exchange: 'x',
      routingKey: 'k',
      ttlMs: 5_000,
      properties: { messageId: 'id', headers: { tenant: 'acme' } },
    }),
    100,
    nowMs,
  )
  let wire = first
  for (const [attempt, held] of [
    [2, true],
    [3, false],
    [4, true],
  ] as const) {
    wire = republished(delivered(wire, { headers: { 'x-delivery-count': 2 } }), {
      attempt,
      routingKey: 'q',
      held,
    })
    assert.equal(wire.exchange, '')
    assert.equal(wire.routingKey, 'q')
    assert.equal(wire.fields.expiration, held ? undefined : '5000', 'on a delay the server would drop it')
    const received = new ReceivedMessage(delivered(wire))
    assert.deepEqual([received.exchange, received.routingKey], ['x', 'k'])
    assert.equal(received.properties.messageId, 'id')
    assert.equal(received.properties.expiration, '5000')
    assert.deepEqual(received.properties.headers, { tenant: 'acme' })
  }
})

test('deaths are put aside on a delay, and the deaths of the delay are nobody’s concern', () => {
  const deaths = { 'x-death': [{ queue: 'q', reason: 'expired' }], 'x-first-death-queue': 'q' }
  const first = delivered(toWire(outgoing(), 100, nowMs), { headers: deaths })
  const held = republished(first, { attempt: 2, routingKey: 'q', held: true })
  const headers: FieldTable = { ...held.fields.headers }
  assert.equal(headers['x-death'], undefined, 'or the server would take it for a circle')
  const levels = {
    'millrace-delay-4s': true,
    'x-death': [{ queue: 'millrace.delay.4s', reason: 'expired' }],
    'x-first-death-queue': 'millrace.delay.4s',
  }
  const back = new ReceivedMessage(delivered(held, { headers: levels }))
  assert.deepEqual(back.properties.headers, deaths)
})

test('a death after a delay is told, before those that came before the delay', () => {
  const before = { 'x-death': [{ queue: 'old', reason: 'rejected' }], 'x-first-death-queue': 'old' }
  const first = delivered(toWire(outgoing(), 100, nowMs), { headers: before })
  const held = republished(first, { attempt: 2, routingKey: 'q', held: true })
  const died = {
    'millrace-delay-4s': true,
    'x-death': [
      { queue: 'q', reason: 'expired' },
      { queue: 'millrace.delay.4s', reason: 'expired' },
    ],
    'x-first-death-queue': 'millrace.delay.4s',
    'x-last-death-queue': 'q',
  }
  assert.deepEqual(new ReceivedMessage(delivered(held, { headers: died })).properties.headers, {
    'x-death': [
      { queue: 'q', reason: 'expired' },
      { queue: 'old', reason: 'rejected' },
    ],
    'x-first-death-queue': 'old',
    'x-last-death-queue': 'q',
  })
})

test('what is held back says where it was published to', () => {
  const wire = toWire(outgoing({ exchange: 'x', routingKey: 'k' }), 100, nowMs)
  assert.deepEqual(heldBack(wire), { 'x-millrace-exchange': 'x', 'x-millrace-routing-key': 'k' })
  const again = republished(delivered(wire), { attempt: 2, routingKey: 'q', held: true })
  assert.equal(heldBack(again)['x-millrace-exchange'], 'x')
})

test('a dead letter says why, and has the history that RabbitMQ would write', () => {
  const incoming = delivered(toWire(outgoing({ exchange: 'x', routingKey: 'k' }), 100, nowMs))
  const death = { incoming, queue: 'q', attempt: 3, reason: 'attempts', error: 'no stock' }
  const once = deadLetter(death, { exchange: 'dlx', routingKey: 'dead' }, nowMs)
  assert.deepEqual([once.exchange, once.routingKey], ['dlx', 'dead'])
  const headers = new ReceivedMessage(delivered(once)).properties.headers
  assert.deepEqual(headers, {
    'x-millrace-reason': 'attempts',
    'x-millrace-error': 'no stock',
    'x-millrace-attempts': 3,
    'x-first-death-exchange': 'x',
    'x-first-death-queue': 'q',
    'x-first-death-reason': 'rejected',
    'x-last-death-exchange': 'x',
    'x-last-death-queue': 'q',
    'x-last-death-reason': 'rejected',
    'x-death': [
      {
        count: 1,
        reason: 'rejected',
        queue: 'q',
        time: new Date(1_700_000_000_000),
        exchange: 'x',
        'routing-keys': ['k'],
      },
    ],
  })
  const redriven = moved(delivered(once), 'q')
  assert.equal(attemptOf(delivered(redriven)), 1, 'the attempts start anew')
  const twice = deadLetter({ ...death, incoming: delivered(redriven) }, { exchange: 'dlx' }, nowMs)
  const { headers: second = {} } = new ReceivedMessage(delivered(twice)).properties
  const [latest] = second['x-death'] as readonly FieldTable[]
  assert.equal(latest?.['count'], 2)
})

test('what is too large or wrong is typed', () => {
  const codes = (extra: Partial<Outgoing>): string => {
    try {
      toWire(outgoing(extra), 10, nowMs)
      return 'none'
    } catch (error) {
      return (error as { code: string }).code
    }
  }
  assert.equal(codes({ body: 'x'.repeat(11) }), 'MESSAGE_TOO_LARGE')
  assert.equal(codes({ properties: { headers: { long: 'x'.repeat(70_000) } } }), 'HEADERS_TOO_LARGE')
  assert.equal(codes({ routingKey: 'k'.repeat(256) }), 'INVALID_NAME')
  assert.equal(codes({ properties: { headers: { table: { '!': 'int8' } } } }), 'INVALID_ARGUMENT')
  assert.equal(codes({ ttlMs: -1 }), 'INVALID_ARGUMENT')
  assert.equal(codes({ ttlMs: Number.NaN }), 'INVALID_ARGUMENT')
})
