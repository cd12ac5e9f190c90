import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { ContentReader, ProtocolError, methodIds } from '../../src/wire/index.ts'

function headerOf(bodyBytes: number, properties = '0000', classId = 60, weight = 0): Buffer {
  const fixed = Buffer.alloc(12)
  fixed.writeUInt16BE(classId, 0)
  fixed.writeUInt16BE(weight, 2)
  fixed.writeBigUInt64BE(BigInt(bodyBytes), 4)
  return Buffer.concat([fixed, Buffer.from(properties, 'hex')])
}

const header = (reader: ContentReader, bytes: Buffer): boolean => reader.header(bytes, 0, bytes.length)
const payload = (reader: ContentReader, bytes: Buffer): boolean => reader.payload(bytes, 0, bytes.length)
const text = (value: string): Buffer => Buffer.from(value)

const unexpected =
  (message: string, methodId = 0) =>
  (error: unknown): boolean => {
    assert.ok(error instanceof ProtocolError)
    assert.equal(error.replyCode, 505)
    assert.equal(error.methodId, methodId)
    assert.equal(error.message, message)
    return true
  }

describe('content', () => {
  test('is header and body frames put together, of whatever sizes', () => {
    const reader = new ContentReader({ maximumBodyBytes: 100 })
    for (const frames of [
      ['hello world'],
      ['hello', ' world'],
      ['', 'hello', '', ' ', 'world'],
      [...'hello world'],
    ]) {
      reader.checkMethod()
      reader.expect()
      assert.equal(header(reader, headerOf(11, '100002')), false)
      const completions = frames.map((frame) => payload(reader, text(frame)))
      assert.deepEqual(completions, [...frames.slice(1).map(() => false), true])
      assert.equal(Buffer.from(reader.body).toString(), 'hello world')
      assert.equal(Buffer.from(reader.propertyBytes).toString('hex'), '100002')
      assert.equal(reader.bodyBytes, 11)
      assert.equal(reader.isTooLarge, false)
    }
  })

  test('without a body is complete with its header', () => {
    const reader = new ContentReader({ maximumBodyBytes: 100 })
    reader.expect()
    assert.equal(header(reader, headerOf(0)), true)
    assert.equal(reader.body.length, 0)
    reader.checkMethod()
  })

  test('is let go of by who takes its body', () => {
    const reader = new ContentReader({ maximumBodyBytes: 100 })
    reader.expect()
    header(reader, headerOf(5))
    payload(reader, text('hello'))
    assert.equal(Buffer.from(reader.takeBody()).toString(), 'hello')
    assert.equal(reader.body.length, 0)
    assert.equal(reader.bodyBytes, 5)
  })

  test('shares no memory with the frames, nor with the content before', () => {
    const reader = new ContentReader({ maximumBodyBytes: 100 })
    const read = (properties: string, body: string): { properties: string; body: string } => {
      const frames = [headerOf(body.length, properties), text(body)] as const
      reader.expect()
      header(reader, frames[0])
      payload(reader, frames[1])
      const result = { properties: reader.propertyBytes, body: reader.body }
      for (const frame of frames) frame.fill(0xaa)
      kept.push(result)
      return { properties, body }
    }
    const kept: { properties: Uint8Array; body: Uint8Array }[] = []
    const sent = [read('100002', 'one'), read('100001', 'two'), read('100001', 'three'), read('0000', 'four')]
    const found = kept.map(({ properties, body }) => ({
      properties: Buffer.from(properties).toString('hex'),
      body: Buffer.from(body).toString(),
    }))
    assert.deepEqual(found, sent)
  })

  test('over the limit is read to its end and not kept', () => {
    const reader = new ContentReader({ maximumBodyBytes: 10 })
    reader.expect()
    header(reader, headerOf(11))
    assert.equal(payload(reader, text('hello')), false)
    assert.equal(reader.body.length, 0)
    assert.equal(payload(reader, text(' world')), true)
    assert.equal(reader.isTooLarge, true)
    assert.equal(reader.body.length, 0)
    reader.expect()
    assert.equal(header(reader, headerOf(0)), true)
    assert.equal(reader.isTooLarge, false)
  })

  test('that was only announced costs what arrived of it', () => {
    const reader = new ContentReader({ maximumBodyBytes: Infinity })
    reader.expect()
    header(reader, headerOf(2 ** 40))
    payload(reader, Buffer.alloc(1000))
    payload(reader, Buffer.alloc(1000))
    assert.ok(reader.body.length <= 4000)
  })

  test('out of order is 505, in the words of RabbitMQ', () => {
    const publish = methodIds['basic.publish']
    const reader = (...steps: readonly ((reader: ContentReader) => unknown)[]): ContentReader => {
      const fresh = new ContentReader({ maximumBodyBytes: 100 })
      for (const step of steps) step(fresh)
      return fresh
    }
    const begun = (fresh: ContentReader): unknown => fresh.expect(publish)
    const withHeader = (fresh: ContentReader): unknown => header(fresh, headerOf(2))

    const method = unexpected('expected method frame, got non method frame instead')
    assert.throws(() => header(reader(), headerOf(0)), method)
    assert.throws(() => payload(reader(), text('a')), method)

    const other = unexpected(
      'expected content header for class 60, got non content header frame instead',
      publish,
    )
    assert.throws(() => reader(begun).checkMethod(), other)
    assert.throws(() => payload(reader(begun), text('a')), other)
    assert.throws(() => header(reader(begun), headerOf(0, '0000', 60, 1)), other)
    assert.throws(
      () => header(reader(begun), headerOf(0, '0000', 50)),
      unexpected('expected content header for class 60, got one for class 50 instead', publish),
    )

    const body = unexpected('expected content body, got non content body frame instead', publish)
    assert.throws(() => reader(begun, withHeader).checkMethod(), body)
    assert.throws(() => header(reader(begun, withHeader), headerOf(0)), body)
    assert.throws(() => payload(reader(begun, withHeader), text('abc')), body)
    assert.throws(() => reader(begun, withHeader).payload(text('ab'), 0, 2, 1), body)
  })
})
