/**
 * Mutated streams for the codec: sound frames with bytes changed, cut out, doubled and put in, lengths blown up and frames
 * shuffled. Whatever comes, the reader gives the same in one chunk as in many, throws nothing but ProtocolError, and holds
 * no more memory than arrived. One seed gives one run.
 */
import assert from 'node:assert/strict'
import { FrameWriter, ProtocolError, encodeProperties, protocolHeader } from '../../src/wire/index.ts'
import { Random } from '../std/random.ts'
import { record } from './recorder.ts'
import type { Recording } from './recorder.ts'
import { sampleFrames } from './samples.ts'

export interface FuzzResult {
  readonly rounds: number
  /** Rounds whose stream was refused somewhere. */
  readonly refused: number
  /** What came out of the streams, refused or not. */
  readonly events: number
}

/** The widest values of each length that frames, strings and tables announce. */
const lengths = [0, 1, 0x7f, 0xff, 0x7fff, 0xffff, 0x7fffffff, 0xffffffff]

/** Throws an AssertionError with seed and round where the codec breaks a rule. */
export function fuzz(seed: number, rounds: number): FuzzResult {
  const random = new Random(seed)
  const corpus = corpusOf(random)
  let refused = 0
  let events = 0
  for (let round = 0; round < rounds; round += 1) {
    const stream = mutate(corpus, random)
    try {
      const whole = check(stream, random)
      events += whole.events.length
      if (whole.error !== undefined) refused += 1
    } catch (error) {
      const bytes = stream.length > 500 ? `${stream.length} bytes` : stream.toString('hex')
      throw new Error(`seed ${seed}, round ${round}, ${bytes}: ${String(error)}`, { cause: error })
    }
  }
  return { rounds, refused, events }
}

/** Short frames foremost, since most rounds should get beyond the first. */
function corpusOf(random: Random): Buffer[] {
  const frames = [...sampleFrames(random), ...sampleFrames(random)].filter((frame) => frame.length < 1500)
  const writer = new FrameWriter({ frameMaxBytes: 131_072 })
  for (const body of ['', 'x'.repeat(16), 'y'.repeat(1024), 'z'.repeat(5000)]) {
    const publish = {
      type: 'basic.publish',
      exchange: '',
      routingKey: 'q',
      mandatory: true,
      immediate: false,
    } as const
    writer.content(1, publish, encodeProperties({ deliveryMode: 2, headers: { a: [1, { b: null }] } }), body)
    frames.push(Buffer.concat(writer.take()))
    writer.ack(1, 1, true)
    writer.heartbeat()
    frames.push(Buffer.concat(writer.take()))
  }
  return frames
}

function mutate(corpus: readonly Buffer[], random: Random): Buffer {
  const frames = [protocolHeader]
  for (let count = 1 + random.below(4); count > 0; count -= 1) frames.push(random.pick(corpus))
  let stream: Buffer = Buffer.concat(frames)
  for (let changes = random.below(4); changes > 0; changes -= 1) stream = change(stream, random)
  return stream
}

function change(stream: Buffer, random: Random): Buffer {
  const at = random.below(stream.length)
  const end = Math.min(stream.length, at + 1 + random.below(16))
  switch (random.below(6)) {
    case 0:
      stream[at] = random.below(256)
      return stream
    case 1:
      stream[at] = (stream[at] as number) ^ (1 << random.below(8))
      return stream
    case 2:
      return Buffer.concat([stream.subarray(0, at), stream.subarray(end)])
    case 3:
      return Buffer.concat([stream.subarray(0, end), stream.subarray(at)])
    case 4:
      if (at + 4 <= stream.length) stream.writeUInt32BE(random.pick(lengths), at)
      return stream
    default:
      return stream.subarray(0, at + 1)
  }
}

function check(stream: Buffer, random: Random): Recording {
  const options = { expectsProtocolHeader: true, frameMaxBytes: random.pick([4096, 4096, 131_072, 0]) }
  const whole = record([stream], options)
  const split = record(chunksOf(stream, random), options)
  for (const { error, reader } of [whole, split]) {
    if (error !== undefined) assert.ok(error instanceof ProtocolError, String(error))
    assert.ok(reader.heldBytes <= 64 + 2 * stream.length, 'no more is held than arrived')
  }
  assert.deepEqual(split.events, whole.events)
  // A large body frame with two faults is refused for the one that shows first, which may be before its end has come.
  if (!hasLargeFrame(stream)) assert.equal(String(split.error), String(whole.error))
  return whole
}

/** Whether a frame may be handed on in parts; what says so by chance does no harm. */
function hasLargeFrame(stream: Buffer): boolean {
  return stream.length >= 4096
}

function chunksOf(stream: Buffer, random: Random): Buffer[] {
  const chunks: Buffer[] = []
  const most = random.pick([1, 7, 64, 1000])
  for (let at = 0; at < stream.length;) {
    const end = at + 1 + random.below(most)
    chunks.push(stream.subarray(at, end))
    at = end
  }
  return chunks
}
