/** Looking at what is on disk. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { connect } from '../../src/index.ts'
import { withFolder } from './folder.ts'

const count = 150
/** More than is read from the disk at once, over all of them. */
const large = 'x'.repeat(50_000)

for (const where of ['body', 'headers'] as const) {
  test(`delayed messages with large ${where}: all that was asked for is there, in its order`, () =>
    withFolder(async (folder) => {
      await using mq = await connect(`file:${folder}/data`)
      const queue = mq.queue<string>('q')
      const sent = await queue.sendMany(
        Array.from({ length: count }, () => (where === 'body' ? large : 'small')),
        { delay: '1h', ...(where === 'headers' && { headers: { large } }) },
      )
      const ids = sent.map(({ id }) => id)
      for (const limit of [count + 1, count, count - 1, 1]) {
        const found = await queue.browse({ state: 'delayed', limit })
        assert.deepEqual(
          found.map(({ id }) => id),
          ids.slice(0, limit),
        )
      }
    }))
}
