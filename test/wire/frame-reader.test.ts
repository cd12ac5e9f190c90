import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { FrameReader, FrameWriter, ProtocolError, protocolHeader } from '../../src/wire/index.ts'
import type { FrameSink } from '../../src/wire/index.ts'
import { Random, seedOfRun } from '../std/random.ts'
import { record } from './recorder.ts'
import { sampleFrames } from './samples.ts'

const bytesOf = (text: string): Buffer => Buffer.from(text.replaceAll(' ', ''), 'hex')

function frame(type: number, channel: number, payload: string): Buffer {
  const writer = new FrameWriter({ frameMaxBytes: 0 })
  writer.frame(type, channel, bytesOf(payload))
  return Buffer.concat(writer.take())
}

const closeOk = frame(1, 1, '00140029')

function assertRefused(bytes: Uint8Array, message: string, replyCode = 501): void {
  const whole = record([closeOk, bytes, closeOk])
  const split = record([closeOk, ...[...bytes].map((byte) => Uint8Array.of(byte)), closeOk])
  for (const { error, events } of [whole, split]) {
    assert.ok(error instanceof ProtocolError, String(error))
    assert.equal(error.message, message)
    assert.equal(error.replyCode, replyCode)
    assert.equal(events.length, 1, 'nothing is read after an error')
  }
}

describe('frames', () => {
  test('every frame is read the same, at whichever place it is split', () => {
    const seed = seedOfRun()
    const options = { frameMaxBytes: 16_384 }
    const frames = sampleFrames(new Random(seed), options.frameMaxBytes)
    assert.ok(frames.some((bytes) => bytes.length > 10_000))
    for (const bytes of frames) {
      const expected = record([bytes], options)
      assert.equal(expected.error, undefined, `seed ${seed}`)
      assert.equal(expected.events.length, 1)
      for (let at = 1; at < bytes.length; at += 1) {
        // Where a body is long, its inside is like any other place of it.
        if (at > 600 && at < bytes.length - 600 && at % 97 !== 0) continue
        const split = record([bytes.subarray(0, at), bytes.subarray(at)], options)
        assertSame(split.events, expected.events, `seed ${seed}, split at ${at}`)
        assert.equal(split.reader.heldBytes, 0)
      }
    }
  })

  test('a stream is read the same in one chunk, byte by byte, and in pieces of any size', () => {
    const seed = seedOfRun()
    const random = new Random(seed)
    const stream = Buffer.concat([protocolHeader, ...sampleFrames(random), ...sampleFrames(random, 16_384)])
    const options = { expectsProtocolHeader: true, frameMaxBytes: 16_384 }
    const expected = record([stream], options)
    assert.equal(expected.error, undefined)
    assert.ok(expected.events.length > 130)
    const single = record(
      [...stream].map((byte) => Uint8Array.of(byte)),
      options,
    )
    assertSame(single.events, expected.events)
    for (let round = 0; round < 50; round += 1) {
      const split = record(pieces(stream, random), options)
      assertSame(split.events, expected.events, `seed ${seed}, round ${round}`)
      assert.equal(split.error, undefined)
    }
  })

  test('the protocol header is handed on as it is, whatever it says', () => {
    const bytes = Buffer.from('GET / HTTP/1.1\r\n\r\n')
    const { events } = record([bytes.subarray(0, 3), bytes.subarray(3, 8)], { expectsProtocolHeader: true })
    assert.deepEqual(events, [`protocol header ${bytes.subarray(0, 8).toString('hex')}`])
    assert.deepEqual(record([bytes.subarray(0, 7)], { expectsProtocolHeader: true }).events, [])
  })

  test('what a sink throws comes out, and a sink may stop the reader in the middle of a chunk', () => {
    const seen: number[] = []
    const sink: FrameSink = {
      protocolHeader() {},
      method(channel) {
        seen.push(channel)
        if (channel === 2) throw new Error('enough')
        if (channel === 3) reader.stop()
      },
      header() {},
      body() {},
      heartbeat() {},
    }
    const options = { expectsProtocolHeader: false, frameMaxBytes: 4096 }
    let reader = new FrameReader(sink, options)
    const method = (channel: number): Buffer => frame(1, channel, '00140029')
    assert.throws(() => reader.push(Buffer.concat([method(1), method(2), method(4)])), /enough/)
    reader.push(method(4))
    reader = new FrameReader(sink, options)
    reader.push(Buffer.concat([method(3), method(4)]))
    reader.push(method(4))
    assert.deepEqual(seen, [1, 2, 3])
  })

  test('the largest frame is what was agreed; 8 bytes too many are forgiven, as RabbitMQ does', () => {
    const options = { expectsProtocolHeader: false, frameMaxBytes: 4096 }
    const sizes: number[] = []
    const sink: FrameSink = {
      protocolHeader() {},
      method() {},
      header() {},
      body: (_channel, _buffer, start, end) => sizes.push(end - start),
      heartbeat() {},
    }
    const reader = new FrameReader(sink, options)
    reader.push(frame(3, 1, '00'.repeat(4088)))
    reader.push(frame(3, 1, '00'.repeat(4096)))
    reader.frameMaxBytes = 8192
    reader.push(frame(3, 1, '00'.repeat(8184)))
    assert.deepEqual(sizes, [4088, 4096, 8184])
    assert.throws(() => reader.push(frame(3, 1, '00'.repeat(8193))), { replyCode: 501 })
  })
})

describe('a large body frame', () => {
  const bytes = frame(3, 7, Buffer.alloc(10_000, 'body').toString('hex'))

  /** Pieces up to these places, and what of the body came with each, in all; the bytes that the reader held then. */
  function read(places: readonly number[], stream = bytes): [received: number, held: number][] {
    let received = 0
    const sink: FrameSink = {
      protocolHeader() {},
      method() {},
      header() {},
      body(channel, buffer, start, end) {
        assert.equal(channel, 7)
        const at = 7 + received
        assert.ok(buffer.subarray(start, end).equals(stream.subarray(at, at + end - start)))
        received += end - start
      },
      heartbeat() {},
    }
    const reader = new FrameReader(sink, { expectsProtocolHeader: false, frameMaxBytes: 131_072 })
    return places.map((place, index) => {
      reader.push(stream.subarray(places[index - 1] ?? 0, place))
      return [received, reader.heldBytes]
    })
  }

  test('is handed on as it arrives, and not held', () => {
    assert.deepEqual(read([2000, 2001, 9000, 10_008]), [
      [1993, 0],
      [1994, 0],
      [8993, 0],
      [10_000, 0],
    ])
  })

  test('keeps its last part until its end is there', () => {
    const receivedAt = (...places: number[]): number[] => read(places).map(([received]) => received)
    assert.deepEqual(receivedAt(10_006, 10_007, 10_008), [9999, 9999, 10_000])
    assert.deepEqual(receivedAt(10_007, 10_008), [0, 10_000])
    assert.deepEqual(receivedAt(7, 9000, 10_007, 10_008), [0, 8993, 8993, 10_000])
    assert.deepEqual(receivedAt(3, 10_008), [0, 10_000])
  })

  test('that ends wrong is refused', () => {
    const wrong = Buffer.concat([bytes.subarray(0, -1), Buffer.of(0)])
    for (const places of [[10_008], [9000, 10_008], [10_006, 10_007, 10_008]]) {
      assert.throws(() => read(places, wrong), { replyCode: 501, message: /invalid_frame_end_marker,0/ })
    }
  })
})

describe('bytes that are no frames', () => {
  test('are refused with the words of RabbitMQ', () => {
    assertRefused(bytesOf('03 0001 7fffffff'), 'type 3, all octets = <<>>: {frame_too_large,2147483647,4088}')
    assertRefused(
      bytesOf('01 0001 00000004 00140014 00'),
      'type 1, all octets = <<0,20,0,20>>: {invalid_frame_end_marker,0}',
    )
    assertRefused(frame(1, 1, '003c'), 'type 1, all octets = <<0,60>>: unknown_frame')
    assertRefused(frame(2, 1, '003c0000'), 'type 2, all octets = <<0,60,0,0>>: unknown_frame')
    assertRefused(frame(4, 1, ''), 'type 4, all octets = <<>>: unknown_frame')
    assertRefused(
      frame(0, 1, '61'.repeat(17)),
      'type 0, first 16 octets = <<"aaaaaaaaaaaaaaaa">>: unknown_frame',
    )
    assertRefused(frame(8, 0, '00'), 'type 8, all octets = <<0>>: unknown_frame')
  })

  test('a frame that was only announced costs what arrived of it, even without a limit', () => {
    const held = (bytes: number): number => {
      const chunk = Buffer.concat([bytesOf('01 0001 fffffff0'), Buffer.alloc(bytes)])
      const { reader, error } = record([chunk.subarray(0, 9), chunk.subarray(9)], { frameMaxBytes: 0 })
      assert.equal(error, undefined)
      return reader.heldBytes
    }
    assert.ok(held(0) <= 64)
    assert.ok(held(1000) <= 2048)
    assert.ok(held(100_000) <= 200_100)
  })
})

/** As deepEqual, but a failure shows the first difference alone. */
function assertSame(actual: readonly string[], expected: readonly string[], message = ''): void {
  const index = expected.findIndex((event, at) => event !== actual[at])
  if (index >= 0) assert.equal(actual[index]?.slice(0, 300), expected[index]?.slice(0, 300), message)
  assert.equal(actual.length, expected.length, message)
}

function pieces(stream: Buffer, random: Random): Buffer[] {
  const list: Buffer[] = []
  const most = random.pick([3, 10, 100, 5000])
  for (let at = 0; at < stream.length;) {
    const end = at + 1 + random.below(most)
    list.push(stream.subarray(at, end))
    at = end
  }
  return list
}
