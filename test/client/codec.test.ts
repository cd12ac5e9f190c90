import assert from 'node:assert/strict'
import { test } from 'node:test'
import { contentTypeOf, decodeBody, encodeBody } from '../../src/client/codec.ts'
import type { Body } from '../../src/model/message.ts'

function received(body: Body, contentType?: string) {
  return {
    exchange: '',
    routingKey: 'q',
    properties: contentType === undefined ? {} : { contentType },
    body,
    publishedAtMs: 0,
  }
}

test('JSON data and bytes come back as they went', () => {
  for (const data of [null, 0, '', 'ü', [], { a: [1, { b: null }] }, false]) {
    assert.deepEqual(decodeBody(received(encodeBody(data), contentTypeOf(data))), data)
  }
  const bytes = Uint8Array.of(0, 255, 128)
  assert.deepEqual(
    Buffer.from(decodeBody(received(encodeBody(bytes), contentTypeOf(bytes))) as Buffer),
    Buffer.from(bytes),
  )
})

test('bytes are copied, so that the sender may use its buffer again', () => {
  const bytes = Uint8Array.of(1, 2)
  const body = encodeBody(bytes) as Uint8Array
  bytes[0] = 9
  assert.equal(body[0], 1)
})

test('what JSON cannot hold is refused', () => {
  const cycle: Record<string, unknown> = {}
  cycle['self'] = cycle
  for (const data of [undefined, () => 1, Symbol('s'), 1n, cycle, { toJSON: () => undefined }]) {
    assert.throws(() => encodeBody(data), { code: 'UNSERIALIZABLE' })
  }
})

test('what JSON would write as something else is refused, and a forgotten await with it', () => {
  const holders = [new Map([[1, 2]]), new Set([1]), Promise.resolve(1), new ArrayBuffer(2), new WeakMap()]
  for (const data of [...holders, new Float64Array(1), new DataView(new ArrayBuffer(2)), NaN, -Infinity]) {
    assert.throws(() => encodeBody(data), { code: 'UNSERIALIZABLE' }, String(data))
  }
  for (const data of [{}, Object.create({ inherited: 1 }), { a: undefined }])
    assert.equal(encodeBody(data), '{}')
  assert.equal(encodeBody(new Date(0)), '"1970-01-01T00:00:00.000Z"')
  assert.equal(encodeBody({ toJSON: () => null }), 'null')
})

test('a foreign message is read by its content type, and as bytes where nothing fits', () => {
  assert.deepEqual(decodeBody(received(Buffer.from('{"a":1}'), 'application/vnd.x+json; charset=utf-8')), {
    a: 1,
  })
  assert.equal(decodeBody(received(Buffer.from('{"a":1}'), 'text/plain')), '{"a":1}')
  assert.deepEqual(decodeBody(received(Buffer.from('{"a":1}'))), { a: 1 })
  assert.deepEqual(decodeBody(received(Buffer.from([0xff, 0xfe]))), Buffer.from([0xff, 0xfe]))
  assert.deepEqual(decodeBody(received(Buffer.from('x'), 'image/png')), Buffer.from('x'))
})

test('a body that says JSON and is not is refused, not guessed', () => {
  assert.throws(() => decodeBody(received('{', 'application/json')), { code: 'SCHEMA_MISMATCH' })
})
