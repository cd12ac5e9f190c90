/**
 * Streams to upset whoever reads them: a protocol header and sound frames, with bytes changed, cut out and doubled, lengths
 * blown up, and the end cut off. For the codec here, and for a server.
 */
import { FrameWriter, encodeProperties, protocolHeader } from '../../src/wire/index.ts'
import type { Random } from '../std/random.ts'
import { sampleFrames } from './samples.ts'

/** The widest values of each length that frames, strings and tables announce. */
const lengths = [0, 1, 0x7f, 0xff, 0x7fff, 0xffff, 0x7fffffff, 0xffffffff]

/** Every method, and contents of some sizes; short frames foremost, since most rounds should get beyond the first. */
export function frameCorpus(random: Random): Buffer[] {
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

/** Some frames of the corpus behind a protocol header, with up to three changes. */
export function mutatedStream(corpus: readonly Buffer[], random: Random): Buffer {
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
