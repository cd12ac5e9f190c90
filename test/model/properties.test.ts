import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { MillraceError, ValidationError } from '../../src/model/errors.ts'
import { decodeProperties, encodeProperties, maximumPropertyBytes } from '../../src/model/properties.ts'
import type { Properties } from '../../src/model/properties.ts'
import { Random, seedOfRun } from '../std/random.ts'

const hex = (bytes: Uint8Array): string => Buffer.from(bytes).toString('hex')

const invalid = (error: unknown): boolean =>
  error instanceof MillraceError && error.code === 'INVALID_ARGUMENT'

const all: Required<Properties> = {
  contentType: 'application/json',
  contentEncoding: 'gzip',
  headers: { a: 1, list: ['x', null], when: new Date(0) },
  deliveryMode: 2,
  priority: 255,
  correlationId: 'correlation',
  replyTo: 'amq.rabbitmq.reply-to',
  expiration: '60000',
  messageId: 'ünique',
  timestamp: 4_294_967_296,
  type: 'type',
  userId: 'guest',
  appId: 'app',
  clusterId: '',
}

const names: readonly string[] = Object.keys(all)

/** The properties of `all` whose bit is set. */
function subset(bits: number): Properties {
  return Object.fromEntries(Object.entries(all).filter((_, index) => (bits & (1 << index)) !== 0))
}

describe('properties', () => {
  test('every set of properties comes back as it went in', () => {
    for (let bits = 0; bits < 1 << names.length; bits += 1) {
      const properties = subset(bits)
      assert.deepEqual(decodeProperties(encodeProperties(properties)), properties, `bits ${bits}`)
    }
  })

  test('the bytes are flags, highest first, and the values in their order', () => {
    assert.equal(hex(encodeProperties({})), '0000')
    assert.equal(
      hex(encodeProperties({ messageId: 'id', contentType: 'a/b', deliveryMode: 2 })),
      '908003612f6202026964',
    )
    assert.equal(hex(encodeProperties({ headers: {} })), '200000000000')
    assert.equal(hex(encodeProperties({ priority: 9, timestamp: 1 })), '0840090000000000000001')
    assert.equal(hex(encodeProperties({ clusterId: 'c' })), '00040163')
  })

  test('a property that is undefined is absent', () => {
    const properties: Properties = JSON.parse('{"messageId": 0}', (_, value: unknown) =>
      value === 0 ? undefined : value,
    )
    assert.equal(hex(encodeProperties({ ...properties, type: 't' })), '00200174')
  })

  test('a delivery mode other than 2 counts as 1', () => {
    assert.equal(decodeProperties(Buffer.from('100002', 'hex')).deliveryMode, 2)
    assert.equal(decodeProperties(Buffer.from('100000', 'hex')).deliveryMode, 1)
    assert.equal(decodeProperties(Buffer.from('1000ff', 'hex')).deliveryMode, 1)
  })

  test('any timestamp that a peer sends can be sent on', () => {
    for (const text of ['0000000065e07d40', '000001900000a000', 'fffffffffffff800']) {
      const { timestamp } = decodeProperties(Buffer.from(`0040${text}`, 'hex'))
      assert.equal(hex(encodeProperties({ timestamp: Number(timestamp) })), `0040${text}`)
    }
  })

  test('values of a wrong type or size are refused by name', () => {
    const wrong: readonly [properties: string, message: RegExp][] = [
      ['{"messageId": 7}', /messageId must be text/],
      ['{"replyTo": null}', /replyTo must be text/],
      ['{"headers": 7}', /headers must be an object/],
      ['{"headers": null}', /headers must be an object/],
      ['{"deliveryMode": 3}', /deliveryMode must be 1 or 2/],
      ['{"priority": 256}', /priority must be an integer from 0 to 255/],
      ['{"priority": -1}', /priority/],
      ['{"priority": 1.5}', /priority/],
      ['{"priority": "1"}', /priority/],
      ['{"timestamp": -1}', /timestamp/],
      ['{"timestamp": 1.5}', /timestamp/],
      [JSON.stringify({ correlationId: 'x'.repeat(256) }), /correlationId has 256 bytes; shorten it to 255/],
      [JSON.stringify({ appId: 'é'.repeat(200) }), /appId has 400 bytes/],
    ]
    for (const [text, message] of wrong) {
      const properties: Properties = JSON.parse(text)
      assert.throws(
        () => encodeProperties(properties),
        (error) => error instanceof ValidationError && invalid(error) && message.test(error.message),
        text,
      )
    }
  })

  test('properties that no content header frame has room for are refused', () => {
    const room = maximumPropertyBytes - encodeProperties({ headers: { a: '' } }).length
    assert.equal(encodeProperties({ headers: { a: 'x'.repeat(room) } }).length, maximumPropertyBytes)
    assert.throws(
      () => encodeProperties({ headers: { a: 'x'.repeat(room + 1) } }),
      (error) => error instanceof ValidationError && error.code === 'HEADERS_TOO_LARGE',
    )
  })
})

describe('malformed properties', () => {
  test('every truncation and any byte too many is refused', () => {
    const bytes = Buffer.concat([encodeProperties(all), Buffer.of(0)])
    for (let length = 0; length <= bytes.length; length += 1) {
      if (length === bytes.length - 1) continue
      assert.throws(() => decodeProperties(bytes.subarray(0, length)), invalid, `${length} bytes`)
    }
  })

  test('flags of unknown properties are refused', () => {
    assert.throws(() => decodeProperties(Buffer.from('0001', 'hex')), invalid)
    assert.throws(() => decodeProperties(Buffer.from('0002', 'hex')), invalid)
  })

  test('mutated bytes give properties or the one error', () => {
    const seed = seedOfRun()
    const random = new Random(seed)
    const original = encodeProperties(all)
    for (let round = 0; round < 20_000; round += 1) {
      const bytes = Buffer.from(original)
      for (let change = random.below(4); change >= 0; change -= 1) {
        bytes[random.below(bytes.length)] = random.below(256)
      }
      try {
        decodeProperties(bytes)
      } catch (error) {
        assert.ok(invalid(error), `seed ${seed}, round ${round}: ${String(error)}`)
      }
    }
  })
})
