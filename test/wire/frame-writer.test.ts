import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { ValidationError } from '../../src/model/errors.ts'
import { Message } from '../../src/model/message.ts'
import { FrameWriter, decodeMethod, encodeMethod, encodeProperties } from '../../src/wire/index.ts'
import type { Method } from '../../src/wire/index.ts'
import { Random, seedOfRun } from '../std/random.ts'
import { record } from './recorder.ts'
import { hasContent, methodNames, sampleMethod } from './samples.ts'

const hex = (bytes: readonly Uint8Array[]): string => Buffer.concat(bytes).toString('hex')

interface Frame {
  readonly type: number
  readonly channel: number
  readonly payload: Buffer
}

/** Cut without the code under test. */
function framesOf(pieces: readonly Uint8Array[]): Frame[] {
  const bytes = Buffer.concat(pieces)
  const frames: Frame[] = []
  for (let at = 0; at < bytes.length;) {
    const end = at + 7 + bytes.readUInt32BE(at + 3)
    assert.equal(bytes[end], 0xce)
    frames.push({
      type: bytes[at]!,
      channel: bytes.readUInt16BE(at + 1),
      payload: bytes.subarray(at + 7, end),
    })
    at = end + 1
  }
  return frames
}

const methodOf = (frame: Frame): Method => decodeMethod(frame.payload, 0, frame.payload.length)

const texts = [
  '',
  'q',
  'emails',
  'grüße 😀',
  'x'.repeat(32),
  'y'.repeat(33),
  'é'.repeat(127),
  'z'.repeat(255),
]

describe('frames written', () => {
  test('a method is one frame, whatever it is', () => {
    const random = new Random(seedOfRun())
    const writer = new FrameWriter({ frameMaxBytes: 4096 })
    const methods = methodNames
      .map((name) => sampleMethod(name, random))
      .filter((method) => !hasContent(method))
    for (const [index, method] of methods.entries()) writer.method(index, method)
    const frames = framesOf(writer.take())
    assert.deepEqual(frames.map(methodOf), methods)
    assert.deepEqual(
      frames.map(({ type, channel }) => [type, channel]),
      methods.map((_, index) => [1, index]),
    )
  })

  test('constant frames', () => {
    const writer = new FrameWriter({ frameMaxBytes: 4096 })
    writer.heartbeat()
    assert.equal(hex(writer.take()), '08000000000000ce')
    writer.protocolHeader()
    assert.equal(Buffer.concat(writer.take()).toString('latin1'), 'AMQP\x00\x00\x09\x01')
    assert.deepEqual(writer.take(), [])
  })

  test('deliver, get-ok, return, ack and nack are what their methods say', () => {
    const seed = seedOfRun()
    const random = new Random(seed)
    const writer = new FrameWriter({ frameMaxBytes: 4096 })
    for (let round = 0; round < 500; round += 1) {
      const exchange = random.pick(texts)
      const routingKey = random.pick(texts)
      const consumerTag = random.pick(texts)
      const deliveryTag = random.pick([1, 4_294_967_296, Number.MAX_SAFE_INTEGER])
      const [redelivered, multiple, requeue] = [random.below(2) > 0, random.below(2) > 0, random.below(2) > 0]
      const messageCount = random.pick([0, 7, 4_294_967_295])
      const properties = encodeProperties(random.pick([{}, { deliveryMode: 2 }, { headers: { a: 'b' } }]))
      const body = random.pick([
        '',
        'text',
        'grüße',
        Buffer.from([0, 255]),
        'w'.repeat(5000),
        Buffer.alloc(40_000, 7),
      ])
      const message = Message.ofBytes(exchange, routingKey, properties, body)
      const channel = random.pick([1, 2047, 65_535])
      writer.deliver(channel, consumerTag, deliveryTag, redelivered, message)
      writer.getOk(channel, deliveryTag, redelivered, messageCount, message)
      writer.return(channel, 312, 'NO_ROUTE', message)
      writer.ack(channel, deliveryTag, multiple)
      writer.nack(channel, deliveryTag, multiple, requeue)
      const frames = framesOf(writer.take())
      assert.ok(frames.every((frame) => frame.channel === channel))
      assert.deepEqual(
        frames.filter(({ type }) => type === 1).map(methodOf),
        [
          { type: 'basic.deliver', consumerTag, deliveryTag, redelivered, exchange, routingKey },
          { type: 'basic.get-ok', deliveryTag, redelivered, exchange, routingKey, messageCount },
          { type: 'basic.return', replyCode: 312, replyText: 'NO_ROUTE', exchange, routingKey },
          { type: 'basic.ack', deliveryTag, multiple },
          { type: 'basic.nack', deliveryTag, multiple, requeue },
        ],
        `seed ${seed}, round ${round}`,
      )
      const contents = frames.filter(({ type }) => type !== 1)
      const third = contents.length / 3
      for (let index = 0; index < 3; index += 1) {
        const [header, ...bodies] = contents.slice(index * third, (index + 1) * third)
        assert.equal(header?.payload.readUInt32BE(0), 60 << 16)
        assert.equal(header.payload.readBigUInt64BE(4), BigInt(message.bodyLength))
        assert.deepEqual(header.payload.subarray(12), Buffer.from(properties))
        assert.deepEqual(Buffer.concat(bodies.map((frame) => frame.payload)), Buffer.from(body))
        assert.ok(bodies.every((frame) => frame.type === 3 && frame.payload.length <= 4088))
      }
    }
  })

  test('a delivery does not depend on the deliveries before it', () => {
    const seed = seedOfRun()
    const random = new Random(seed)
    const properties = [
      encodeProperties({}),
      encodeProperties({ deliveryMode: 2 }),
      Buffer.from('10000a', 'hex'),
    ]
    const messages = Array.from({ length: 12 }, () =>
      Message.ofBytes(
        random.pick(['', 'exchange']),
        random.pick(['a', 'b']),
        random.pick(properties),
        random.pick([
          '',
          'one',
          'two',
          'grüße',
          Buffer.from('bytes'),
          'l'.repeat(5000),
          Buffer.alloc(20_000, 1),
        ]),
      ),
    )
    const writer = new FrameWriter({ frameMaxBytes: 4096 })
    const plain = new FrameWriter({ frameMaxBytes: 4096 })
    for (let round = 0; round < 20_000; round += 1) {
      const message = random.pick(messages.slice(0, 1 + (round % 1000 < 500 ? 1 : 11)))
      const { exchange, routingKey } = message
      const [channel, consumerTag] = [random.pick([1, 1, 258]), random.pick(['c', 'c', 'd'])]
      const [deliveryTag, redelivered] = [round * 1_000_003, random.below(9) === 0]
      writer.deliver(channel, consumerTag, deliveryTag, redelivered, message)
      const method = {
        type: 'basic.deliver',
        consumerTag,
        deliveryTag,
        redelivered,
        exchange,
        routingKey,
      } as const
      plain.content(channel, method, message.propertyBytes, message.body)
      if (random.below(5) === 0) for (const each of [writer, plain]) each.ack(1, round, true)
      if (random.below(50) > 0) continue
      assert.equal(writer.bytes, plain.bytes)
      const [actual, expected] = [Buffer.concat(writer.take()), Buffer.concat(plain.take())]
      assert.ok(actual.equals(expected), `seed ${seed}, round ${round}`)
    }
  })

  test('a body is split at the largest frame, and not at all where there is no limit', () => {
    for (const body of ['b'.repeat(20_000), Buffer.alloc(20_000, 'b'), 'ü'.repeat(10_000)]) {
      const sizes = (frameMaxBytes: number): number[] => {
        const writer = new FrameWriter({ frameMaxBytes })
        const publish = {
          type: 'basic.publish',
          exchange: '',
          routingKey: '',
          mandatory: false,
          immediate: false,
        } as const
        writer.content(1, publish, encodeProperties({}), body)
        return framesOf(writer.take())
          .filter(({ type }) => type === 3)
          .map(({ payload }) => payload.length)
      }
      assert.deepEqual(sizes(4096), [4088, 4088, 4088, 4088, 3648])
      assert.deepEqual(sizes(10_008), [10_000, 10_000])
      assert.deepEqual(sizes(20_008), [20_000])
      assert.deepEqual(sizes(0), [20_000])
    }
  })

  test('what was taken is not written to again, and a large body is not copied', () => {
    const writer = new FrameWriter({ frameMaxBytes: 131_072 })
    const taken: [string, readonly Uint8Array[]][] = []
    const body = Buffer.alloc(100_000, 'b')
    const message = Message.ofBytes('', 'q', encodeProperties({}), body)
    for (let round = 0; round < 100; round += 1) {
      writer.ack(1, round, false)
      if (round % 10 === 0) writer.deliver(1, 'c', round, false, message)
      if (round % 3 === 0) writer.raw(Buffer.alloc(round * 50, round))
      const bytes = writer.bytes
      const pieces = writer.take()
      assert.equal(writer.bytes, 0)
      assert.equal(Buffer.concat(pieces).length, bytes)
      if (round % 10 === 0) assert.ok(pieces.some((piece) => piece.buffer === body.buffer))
      taken.push([hex(pieces), pieces])
    }
    for (const [text, pieces] of taken) assert.equal(hex(pieces), text)
  })

  test('many small frames become few pieces', () => {
    const writer = new FrameWriter({ frameMaxBytes: 131_072 })
    const message = Message.ofBytes('', 'q', encodeProperties({}), 'x'.repeat(16))
    for (let tag = 1; tag <= 10_000; tag += 1) writer.deliver(1, 'c', tag, false, message)
    const bytes = writer.bytes
    assert.ok(writer.take().length <= bytes / 30_000)
  })

  test('a method that is refused leaves what was written as it was', () => {
    const writer = new FrameWriter({ frameMaxBytes: 4096 })
    const expected = new FrameWriter({ frameMaxBytes: 4096 })
    const long = 'x'.repeat(256)
    const message = Message.ofBytes('', '', encodeProperties({}), 'body')
    const longKey = Message.ofBytes('', long, encodeProperties({}), 'body')
    for (const each of [writer, expected]) each.ack(1, 1, false)
    assert.throws(() => writer.method(1, { type: 'connection.blocked', reason: long }), ValidationError)
    assert.throws(() => writer.deliver(1, long, 1, false, message), ValidationError)
    assert.throws(() => writer.deliver(1, 'c', 1, false, longKey), ValidationError)
    assert.throws(() => writer.getOk(1, 1, false, 0, longKey), ValidationError)
    assert.throws(() => writer.return(1, 312, 'é'.repeat(128), message), ValidationError)
    for (const each of [writer, expected]) each.ack(1, 2, true)
    assert.equal(hex(writer.take()), hex(expected.take()))
  })

  test('a frame of any type and payload can be written, and read', () => {
    const writer = new FrameWriter({ frameMaxBytes: 4096 })
    writer.frame(1, 3, encodeMethod({ type: 'channel.close-ok' }))
    assert.deepEqual(record(writer.take()).events, ['3 {"type":"channel.close-ok"}'])
  })
})
