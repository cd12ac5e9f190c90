import assert from 'node:assert/strict'
import { readFile } from 'node:fs/promises'
import { describe, test } from 'node:test'
import { generateMethods } from '../../scripts/generate-methods.ts'
import { ProtocolError, decodeMethod, encodeMethod, methodNameOf } from '../../src/wire/index.ts'
import { methodIds, replyCodes } from '../../src/wire/index.ts'
import type { Method } from '../../src/wire/index.ts'
import { ValidationError } from '../../src/model/errors.ts'
import { Random, seedOfRun } from '../std/random.ts'
import { methodNames, sampleMethod } from './samples.ts'

const hex = (bytes: Uint8Array): string => Buffer.from(bytes).toString('hex')
const spaced = (text: string): string => text.replaceAll(' ', '')
const decode = (bytes: Uint8Array): Method => decodeMethod(Buffer.from(bytes), 0, bytes.length)
const decodeHex = (text: string): Method => decode(Buffer.from(spaced(text), 'hex'))

const refused =
  (replyCode: number) =>
  (error: unknown): boolean =>
    error instanceof ProtocolError && error.replyCode === replyCode && error.scope === 'connection'

describe('methods', () => {
  test('the generated table is what the definition says', async () => {
    const path = new URL('../../src/wire/methods.ts', import.meta.url)
    assert.equal(await readFile(path, 'utf8'), await generateMethods())
  })

  test('there are all 66 methods, by name and by number', () => {
    assert.equal(methodNames.length, 66)
    for (const name of methodNames) assert.equal(methodNameOf(methodIds[name]), name)
    assert.equal(methodNameOf(0), undefined)
    assert.equal(methodIds['basic.publish'], (60 << 16) | 40)
    assert.equal(replyCodes.PRECONDITION_FAILED, 406)
    assert.equal(replyCodes.SUCCESS, 200)
  })

  test('every method comes back as it went in', () => {
    const seed = seedOfRun()
    const random = new Random(seed)
    for (const name of methodNames) {
      for (let round = 0; round < 50; round += 1) {
        const method = sampleMethod(name, random)
        assert.deepEqual(decode(encodeMethod(method)), method, `seed ${seed}`)
      }
    }
  })

  test('the bytes are those of AMQP: reserved fields empty, neighbouring bits in one byte', () => {
    const declare: Method = {
      type: 'queue.declare',
      queue: 'q',
      passive: false,
      durable: true,
      exclusive: false,
      autoDelete: true,
      nowait: false,
      arguments: { a: true },
    }
    assert.equal(hex(encodeMethod(declare)), spaced('0032000a 0000 0171 0a 00000004 01617401'))
    assert.equal(
      hex(encodeMethod({ type: 'connection.open', virtualHost: '/' })),
      spaced('000a0028 012f 00 00'),
    )
    assert.equal(hex(encodeMethod({ type: 'channel.open-ok' })), spaced('0014000b 00000000'))
    assert.equal(
      hex(encodeMethod({ type: 'basic.nack', deliveryTag: 2 ** 32, multiple: true, requeue: true })),
      spaced('003c0078 0000000100000000 03'),
    )
  })

  test('reserved fields are read over, and bits that mean nothing too', () => {
    assert.deepEqual(decodeHex('000a0028 012f 05 68656c6c6f ff'), {
      type: 'connection.open',
      virtualHost: '/',
    })
    assert.deepEqual(decodeHex('00320028 ffff 0171 ff'), {
      type: 'queue.delete',
      queue: 'q',
      ifUnused: true,
      ifEmpty: true,
      nowait: true,
    })
  })

  test('what was decoded shares no memory with the bytes', () => {
    const bytes = Buffer.from(encodeMethod({ type: 'connection.secure', challenge: Uint8Array.of(1, 2) }))
    const method = decodeMethod(bytes, 0, bytes.length)
    bytes.fill(0)
    assert.deepEqual(method, { type: 'connection.secure', challenge: Uint8Array.of(1, 2) })
  })

  test('every truncation, and any byte too many, is refused', () => {
    const random = new Random(seedOfRun())
    for (const name of methodNames) {
      const bytes = Buffer.concat([encodeMethod(sampleMethod(name, random)), Buffer.of(0)])
      for (let length = 4; length <= bytes.length; length += 1) {
        if (length === bytes.length - 1) continue
        assert.throws(() => decode(bytes.subarray(0, length)), isRefusal, `${name}: ${length} bytes`)
      }
    }
  })

  test('a method that does not exist is 503, a malformed table 502, a short string that is no UTF-8 501', () => {
    assert.throws(() => decodeHex('003c00ff'), refused(503))
    assert.throws(() => decodeHex('00ff000a'), refused(503))
    assert.throws(() => decodeHex('0032000a 0000 0161 00 00000003 01615a'), refused(502))
    assert.throws(() => decodeHex('0032000a 0000 02c328 00 00000000'), refused(501))
    assert.throws(() => decodeHex('0032000a 0000 05 61'), {
      message: 'cannot decode <<0,0,5,97>>',
      methodId: methodIds['queue.declare'],
      replyCode: 501,
    })
  })

  test('a value that its field cannot hold is refused at the call', () => {
    const reason = 'é'.repeat(128)
    assert.throws(() => encodeMethod({ type: 'connection.blocked', reason }), ValidationError)
    assert.deepEqual(decode(encodeMethod({ type: 'basic.qos-ok' })), { type: 'basic.qos-ok' })
  })
})

function isRefusal(error: unknown): boolean {
  return error instanceof ProtocolError && (error.replyCode === 501 || error.replyCode === 502)
}
