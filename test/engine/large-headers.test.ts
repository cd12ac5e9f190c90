/** Headers have a limit, and what a publisher put there may leave no room for what the broker has to say. */
import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import type { FieldTable, FieldValue } from '../../src/model/field-value.ts'
import { Message } from '../../src/model/message.ts'
import { encodeProperties, maximumStoredPropertyBytes } from '../../src/model/properties.ts'
import { persistentPublish } from '../../src/engine/publish.ts'
import { Bench } from './harness.ts'

/** Properties that leave so many bytes of the limit. */
function filling(freeBytes: number, headers: Record<string, FieldValue> = {}): Uint8Array {
  const empty = encodeProperties({ expiration: '60000', headers: { ...headers, filler: '' } }).length
  const filler = 'x'.repeat(maximumStoredPropertyBytes - empty - freeBytes)
  const bytes = encodeProperties({ expiration: '60000', headers: { ...headers, filler } })
  assert.equal(bytes.length, maximumStoredPropertyBytes - freeBytes)
  return bytes
}

/** As a client may write it: a table of many numbers of one byte each (`b`), which take five bytes as `I`. */
function narrow(headers: FieldTable): Uint8Array {
  const fields: Buffer[] = []
  for (let index = 0; index < 20_000; index += 1) {
    const name = index.toString(36).padStart(3, '0')
    fields.push(Buffer.from([name.length]), Buffer.from(name), Buffer.from('b'), Buffer.from([7]))
  }
  const own = Buffer.from(encodeProperties({ headers }))
  const length = own.readUInt32BE(2)
  const table = Buffer.concat([own.subarray(6, 6 + length), ...fields])
  const head = Buffer.alloc(6)
  head.writeUInt16BE(0x2000, 0)
  head.writeUInt32BE(table.length, 2)
  return Buffer.concat([head, table])
}

/** Property bytes with one more header, a number of one byte (`b`), in front. */
function withByte(name: string, value: number, bytes: Uint8Array): Uint8Array {
  const field = Buffer.concat([Buffer.of(name.length), Buffer.from(name), Buffer.from('b'), Buffer.of(value)])
  const head = Buffer.from(bytes.subarray(0, 6))
  head.writeUInt32BE(head.readUInt32BE(2) + field.length, 2)
  return Buffer.concat([head, field, bytes.subarray(6)])
}

function setUp() {
  const bench = Bench.create()
  const client = bench.client()
  client.queue('dead')
  client.queue('q', { 'x-dead-letter-exchange': '', 'x-dead-letter-routing-key': 'dead' })
  const letterOf = (propertyBytes: Uint8Array) => {
    client.session.publish(Message.ofBytes('', 'q', propertyBytes, 'body'), persistentPublish, bench.nowMs)
    const got = client.session.get({ queue: 'q', noAck: false }, bench.nowMs)
    client.session.reject(got!.delivery.deliveryTag, { requeue: false }, bench.nowMs)
    const letter = client.session.get({ queue: 'dead', noAck: true }, bench.nowMs)!.delivery.entry.message
    assert.ok(letter.propertyBytes.length <= maximumStoredPropertyBytes)
    assert.equal(letter.routingKey, 'dead')
    return letter.properties
  }
  return { bench, client, letterOf }
}

describe('a dead letter', () => {
  const older = {
    count: 1n,
    reason: 'expired',
    queue: 'other',
    time: new Date(0),
    exchange: '',
    'routing-keys': ['k'],
  }

  test('tells of all deaths where there is room', () => {
    const { letterOf } = setUp()
    const { headers, expiration } = letterOf(filling(1000, { 'x-death': [older] }))
    assert.equal((headers!['x-death'] as FieldValue[]).length, 2)
    assert.equal(expiration, undefined)
  })

  test('leaves the older ones out where there is room for one', () => {
    const { letterOf } = setUp()
    const { headers } = letterOf(filling(160, { 'x-death': [older] }))
    const deaths = headers?.['x-death'] as FieldTable[]
    assert.deepEqual(
      deaths.map((death) => death['queue']),
      ['q'],
    )
    assert.equal(headers?.['x-last-death-queue'], 'q')
  })

  test('leaves its history out where there is no room for one', () => {
    const { letterOf } = setUp()
    const { headers } = letterOf(filling(200))
    assert.ok(!Object.hasOwn(headers ?? {}, 'x-death'))
    assert.equal(headers?.['x-last-death-reason'], 'rejected')
  })

  test('says nothing of its death where there is no room at all, and arrives', () => {
    const { letterOf } = setUp()
    assert.deepEqual(Object.keys(letterOf(filling(0)).headers ?? {}), ['filler'])
  })
})

test('the account of a former death, or one that a publisher made up, is not that of the next', () => {
  const { bench, client } = setUp()
  const { session } = client
  const forged = { 'x-millrace-error': 'made up', 'x-millrace-attempts': 9 }
  const die = (headers: FieldTable, account: { reason: string; error?: string }): FieldTable => {
    session.publish(Message.of('', 'q', { headers }, 'body'), persistentPublish, bench.nowMs)
    const { deliveryTag } = session.get({ queue: 'q', noAck: false }, bench.nowMs)!.delivery
    session.settleDead(deliveryTag, account, bench.nowMs)
    return session.get({ queue: 'dead', noAck: true }, bench.nowMs)!.delivery.entry.message.properties
      .headers!
  }
  const first = die(forged, { reason: 'first', error: 'FIRST' })
  assert.deepEqual([first['x-millrace-error'], first['x-millrace-attempts']], ['FIRST', 1])
  const second = die(first, { reason: 'second' })
  assert.deepEqual([second['x-millrace-reason'], second['x-millrace-error']], ['second', undefined])
})

test('a message with as many headers as it may have is delivered with its count', () => {
  const { bench, client } = setUp()
  client.session.publish(Message.ofBytes('', 'q', filling(0), 'body'), persistentPublish, bench.nowMs)
  client.consume('q', { tag: 'c', arguments: { 'x-millrace-delivery-count': true } })
  bench.settle()
  client.session.settleRetry(1, 0, bench.nowMs)
  bench.settle()
  assert.equal(client.deliveries.at(-1)?.message.properties.headers?.['x-delivery-count'], 1)
})

describe('what is passed on with other headers', () => {
  test('a message that was held back arrives as it was sent where its delay cannot be negated', () => {
    const { bench, client } = setUp()
    const table = { 'x-delayed-type': 'fanout' }
    client.session.declareExchange({ name: 'x', kind: 'x-delayed-message', arguments: table })
    client.session.bindQueue({ queue: 'dead', exchange: 'x', routingKey: '' })
    const message = Message.ofBytes('x', '', withByte('x-delay', 10, filling(12)), 'body')
    client.session.publish(message, { ...persistentPublish, hasHeaders: true }, bench.nowMs)
    bench.pass(10)
    assert.equal(client.headers('dead')['x-delay'], 10)
  })

  test('numbers stay as narrow in a message that was held back, and it shows no blind copies', () => {
    const { bench, client } = setUp()
    const table = { 'x-delayed-type': 'direct' }
    client.session.declareExchange({ name: 'x', kind: 'x-delayed-message', arguments: table })
    client.session.bindQueue({ queue: 'dead', exchange: 'x', routingKey: 'blind' })
    const message = Message.ofBytes('x', '', narrow({ 'x-delay': 10, BCC: ['blind'] }), 'body')
    client.session.publish(message, { ...persistentPublish, hasHeaders: true }, bench.nowMs)
    bench.pass(10)
    const got = client.session.get({ queue: 'dead', noAck: true }, bench.nowMs)
    const { headers } = got!.delivery.entry.message.properties
    assert.equal(headers?.['x-delay'], -10)
    assert.ok(!Object.hasOwn(headers ?? {}, 'BCC'))
    assert.equal(got!.delivery.entry.message.propertyBytes.length, narrow({ 'x-delay': -10 }).length)
  })

  test('narrow numbers stay as narrow in what a quorum queue delivers again', () => {
    const { bench, client } = setUp()
    client.queue('quorum', { 'x-queue-type': 'quorum' })
    const message = Message.ofBytes('', 'quorum', narrow({}), 'body')
    client.session.publish(message, { ...persistentPublish, hasHeaders: true }, bench.nowMs)
    const first = client.session.get({ queue: 'quorum', noAck: false }, bench.nowMs)!.delivery
    assert.equal(first.message.propertyBytes.length, narrow({ 'x-delivery-count': 0n }).length)
    client.session.reject(first.deliveryTag, { requeue: true }, bench.nowMs)
    const again = client.session.get({ queue: 'quorum', noAck: true }, bench.nowMs)!.delivery.message
    assert.equal(again.properties.headers?.['x-delivery-count'], 1)
    assert.equal(again.propertyBytes.length, narrow({ 'x-delivery-count': 1n }).length)
  })

  test('narrow numbers stay as narrow without BCC, and in a dead letter', () => {
    const { bench, client, letterOf } = setUp()
    const message = Message.ofBytes('', 'q', narrow({ BCC: ['dead'] }), 'body')
    client.session.publish(message, { ...persistentPublish, hasHeaders: true }, bench.nowMs)
    const got = client.session.get({ queue: 'q', noAck: true }, bench.nowMs)
    assert.deepEqual(Buffer.from(got!.delivery.entry.message.propertyBytes), narrow({}))
    client.session.get({ queue: 'dead', noAck: true }, bench.nowMs)
    assert.equal(Object.keys(letterOf(narrow({})).headers ?? {}).length, 20_007)
  })
})
