/** Methods and frames to test with: every method with fields drawn by chance, and what goes wrong on the wire. */
import { FrameWriter, encodeProperties, methodFields, methodsWithContent } from '../../src/wire/index.ts'
import type { ContentMethod, FieldTable, FieldValue, Method, MethodName } from '../../src/wire/index.ts'
import type { Random } from '../std/random.ts'

export const methodNames = Object.keys(methodFields) as MethodName[]

const texts = [
  '',
  'a',
  'emails',
  'grüße 😀',
  '\ufffd',
  'x'.repeat(32),
  'y'.repeat(33),
  'é'.repeat(127),
  'z'.repeat(255),
]

const leaves: readonly FieldValue[] = [
  'text',
  '',
  0,
  -1,
  2_147_483_647,
  2 ** 40,
  9_223_372_036_854_775_807n,
  0.1,
  true,
  false,
  null,
  new Date(1_700_000_000_000),
  Uint8Array.of(0, 255, 128),
]

/** A table with a field of every type, nested as deep as chance has it. */
export function sampleTable(random: Random, depth = 0): FieldTable {
  const table: Record<string, FieldValue> = {}
  for (const [index, leaf] of leaves.entries()) if (random.below(3) > 0) table[`f${index}`] = leaf
  if (depth < 3) {
    table['table'] = sampleTable(random, depth + 1)
    table['list'] = [random.pick(leaves), sampleTable(random, depth + 2), [random.pick(leaves)]]
  }
  return table
}

/** A method with fields drawn by chance. */
export function sampleMethod(name: MethodName, random: Random): Method {
  const method: Record<string, unknown> = { type: name }
  for (const [field, kind] of Object.entries(methodFields[name])) {
    if (!kind.startsWith('reserved ')) method[field] = sampleField(kind, random)
  }
  return method as unknown as Method
}

function sampleField(kind: string, random: Random): unknown {
  switch (kind) {
    case 'octet':
      return random.pick([0, 9, 255])
    case 'short':
      return random.pick([0, 2047, 65_535])
    case 'long':
      return random.pick([0, 131_072, 4_294_967_295])
    case 'longlong':
      return random.pick([0, 1, 4_294_967_296, Number.MAX_SAFE_INTEGER])
    case 'bit':
      return random.below(2) === 1
    case 'shortstr':
    case 'longtext':
      return random.pick(texts)
    case 'longstr':
      return new Uint8Array(Buffer.from(random.pick(['', '\0guest\0guest', 's'.repeat(300)])))
    case 'table':
      return sampleTable(random)
    default:
      throw new Error(`no sample of ${kind}`)
  }
}

/** The bytes of frames of every kind on several channels: each method once, contents of several sizes, heartbeats. */
export function sampleFrames(random: Random, frameMaxBytes = 4096): Buffer[] {
  const frames: Buffer[] = []
  const writer = new FrameWriter({ frameMaxBytes })
  const close = (): void => {
    frames.push(Buffer.concat(writer.take()))
  }
  for (const name of methodNames) {
    const method = sampleMethod(name, random)
    const channel = random.pick([0, 1, 2, 65_535])
    if (hasContent(method)) {
      const properties =
        random.below(2) === 0 ? {} : { deliveryMode: 2 as const, headers: sampleTable(random) }
      const body = Buffer.alloc(random.pick([0, 1, 100, 4088, 4089, 10_000]), 'body')
      writer.content(channel, method, encodeProperties(properties), body)
    } else {
      writer.method(channel, method)
    }
    close()
    if (random.below(8) === 0) {
      writer.heartbeat()
      close()
    }
  }
  return frames
}

export function hasContent(method: Method): method is ContentMethod {
  return (methodsWithContent as readonly MethodName[]).includes(method.type)
}
