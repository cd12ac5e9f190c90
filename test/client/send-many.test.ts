/** Options of several messages: what they share is checked once, and refused in the words of `send`. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { connect } from '../../src/index.ts'
import type { StandardSchema } from '../../src/client/schema.ts'
import type { SendOptions } from '../../src/client/send-options.ts'

const wrong: readonly unknown[] = [
  5,
  'text',
  null,
  [],
  true,
  { priority: -1 },
  { priority: '1' },
  { prioirty: 1 },
  { delay: 'soon' },
  { delay: -1 },
  { delay: '1s', at: new Date() },
  { at: new Date(Number.NaN) },
  { at: new Date(8.64e15) },
  { ttl: null },
  { key: '' },
  { headers: [] },
  { headers: { no: () => undefined } },
  { correlationId: 'x'.repeat(256) },
  { persistent: 'yes' },
  { signal: {} },
  // The first that is wrong is told.
  { ttl: 'x', priority: 'y' },
  { priority: 'y', ttl: 'x' },
]
const wrongOfOne: readonly unknown[] = [
  { id: '' },
  { id: 5 },
  { dedupe: 'key' },
  { dedupe: { key: 'k' } },
  { dedupe: { key: 'k', window: 'x' } },
  { dedupe: { key: 'k', window: '1h', size: 5 } },
]

async function refusal(promise: Promise<unknown>): Promise<{ code: unknown; message: string }> {
  const error = await promise.then(
    () => assert.fail('it was stored'),
    (reason: unknown) => reason as Error & { code?: unknown },
  )
  return { code: error.code, message: error.message }
}

test('sendMany refuses what send refuses, in the same words, and stores nothing', async () => {
  await using mq = await connect('memory:')
  const queue = mq.queue('q')
  await queue.send('first')
  for (const [counts, cases] of [
    [[1, 3], wrong],
    [[1], wrongOfOne],
  ] as const) {
    for (const options of cases) {
      const expected = await refusal(queue.send(1, options as SendOptions))
      for (const count of counts) {
        const sent = queue.sendMany(Array(count).fill(1), options as object)
        assert.deepEqual(await refusal(sent), expected, JSON.stringify(options))
      }
    }
  }
  for (const options of wrongOfOne as readonly SendOptions[]) {
    const { id, dedupe, ...rest } = options
    const each = { ...rest, id: () => id, ...(dedupe !== undefined && { dedupe: () => dedupe }) }
    const expected = await refusal(queue.send(1, options))
    assert.deepEqual(await refusal(queue.sendMany([1, 2], each)), expected, JSON.stringify(options))
  }
  assert.equal((await queue.stats()).ready, 1)
})

test('what the schema says of the first message comes before what is wrong with the options', async () => {
  await using mq = await connect('memory:')
  const schema: StandardSchema<unknown, unknown> = {
    '~standard': {
      version: 1,
      vendor: 'test',
      validate: (value) => (value === 'bad' ? { issues: [{ message: 'it is bad' }] } : { value }),
    },
  }
  const queue = mq.queue('q', { schema })
  const options = { priority: -1 }
  await assert.rejects(queue.sendMany(['bad'], options), { code: 'SCHEMA_MISMATCH' })
  await assert.rejects(queue.sendMany(['good', 'bad'], options), { code: 'INVALID_OPTION' })
  await assert.rejects(queue.sendMany(['good', 'bad'], { priority: 1 }), { code: 'SCHEMA_MISMATCH' })
})

test('options that messages share are looked at once, however many messages there are', async () => {
  await using mq = await connect('memory:')
  const looks = async (count: number, more: object): Promise<number> => {
    let reads = 0
    const options = {
      ...more,
      get priority() {
        reads += 1
        return 1
      },
    }
    await mq.queue('q').sendMany(Array(count).fill(1), options)
    return reads
  }
  for (const more of [{}, { id: () => undefined }]) assert.equal(await looks(100, more), await looks(1, more))
})
