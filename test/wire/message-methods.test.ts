import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import {
  PublishReader,
  ProtocolError,
  SettlementReader,
  decodeMethod,
  encodeMethod,
} from '../../src/wire/index.ts'
import type { Method, MethodOf } from '../../src/wire/index.ts'
import { Random, seedOfRun } from '../std/random.ts'
import { sampleMethod } from './samples.ts'

/** As it comes from a socket: something before it and something behind it. */
function inChunk(method: Method): [buffer: Buffer, start: number, end: number] {
  const payload = encodeMethod(method)
  return [Buffer.concat([Buffer.alloc(5, 0xff), payload, Buffer.alloc(5, 0xff)]), 5, 5 + payload.length]
}

describe('methods that come with each message', () => {
  test('basic.publish is read as decodeMethod reads it, time after time', () => {
    const seed = seedOfRun()
    const random = new Random(seed)
    const reader = new PublishReader()
    for (let round = 0; round < 2000; round += 1) {
      const method = sampleMethod('basic.publish', random) as MethodOf<'basic.publish'>
      reader.read(...inChunk(method))
      const { exchange, routingKey, mandatory, immediate } = reader
      assert.deepEqual(
        { type: 'basic.publish', exchange, routingKey, mandatory, immediate },
        method,
        `seed ${seed}`,
      )
    }
  })

  test('a name does not depend on the chunk that it came in', () => {
    const reader = new PublishReader()
    const [buffer, start, end] = inChunk({
      type: 'basic.publish',
      exchange: 'exchange',
      routingKey: 'key',
      mandatory: false,
      immediate: false,
    })
    reader.read(buffer, start, end)
    const { exchange } = reader
    buffer.fill(0x61, start + 6)
    assert.equal(exchange, 'exchange')
    assert.throws(() => reader.read(buffer, start, end), ProtocolError)
  })

  test('basic.ack, nack and reject are read as decodeMethod reads them', () => {
    const seed = seedOfRun()
    const random = new Random(seed)
    const reader = new SettlementReader()
    for (let round = 0; round < 2000; round += 1) {
      const name = random.pick(['basic.ack', 'basic.nack', 'basic.reject'] as const)
      const method = sampleMethod(name, random)
      reader.read(...inChunk(method))
      const expected = { multiple: false, requeue: false, ...method }
      const { deliveryTag, multiple, requeue } = reader
      assert.deepEqual({ type: name, deliveryTag, multiple, requeue }, expected, `seed ${seed}`)
    }
  })

  test('a payload that is shorter or longer than its fields is refused, as decodeMethod does', () => {
    const random = new Random(seedOfRun())
    for (const name of ['basic.publish', 'basic.ack', 'basic.nack', 'basic.reject'] as const) {
      const whole = Buffer.concat([encodeMethod(sampleMethod(name, random)), Buffer.of(0)])
      const reader = name === 'basic.publish' ? new PublishReader() : new SettlementReader()
      for (let end = 4; end <= whole.length; end += 1) {
        if (end === whole.length - 1) continue
        // What stands behind the end is there in the chunk, but not this method's.
        const refusal = thrownBy(() => decodeMethod(whole, 0, end))
        assert.ok(refusal instanceof ProtocolError)
        assert.deepEqual(
          thrownBy(() => reader.read(whole, 0, end)),
          refusal,
        )
      }
    }
  })
})

function thrownBy(run: () => unknown): unknown {
  try {
    return run()
  } catch (error) {
    return error
  }
}
