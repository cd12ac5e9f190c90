/**
 * Reads mutated streams. Whatever comes, the reader gives the same in one chunk as in many, throws nothing but ProtocolError,
 * and holds no more memory than arrived. One seed gives one run.
 */
import assert from 'node:assert/strict'
import { ProtocolError } from '../../src/wire/index.ts'
import { Random } from '../std/random.ts'
import { frameCorpus, mutatedStream } from './mutations.ts'
import { record } from './recorder.ts'
import type { Recording } from './recorder.ts'

export interface FuzzResult {
  readonly rounds: number
  /** Rounds whose stream was refused somewhere. */
  readonly refused: number
  /** What came out of the streams, refused or not. */
  readonly events: number
}

/** Throws an AssertionError with seed and round where the codec breaks a rule. */
export function fuzz(seed: number, rounds: number): FuzzResult {
  const random = new Random(seed)
  const corpus = frameCorpus(random)
  let refused = 0
  let events = 0
  for (let round = 0; round < rounds; round += 1) {
    const stream = mutatedStream(corpus, random)
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
