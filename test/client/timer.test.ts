import assert from 'node:assert/strict'
import { mock, test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { after } from '../../src/client/timer.ts'
import { connect } from '../../src/index.ts'

test('a timer longer than 32 bits of milliseconds fires when it is due, and not before', () => {
  mock.timers.enable({ apis: ['setTimeout'] })
  try {
    let fired = 0
    after(5_000_000_000, () => (fired += 1))
    mock.timers.tick(2_147_483_647)
    mock.timers.tick(2_147_483_647)
    assert.equal(fired, 0)
    mock.timers.tick(5_000_000_000 - 2 * 2_147_483_647 - 1)
    assert.equal(fired, 0)
    mock.timers.tick(1)
    assert.equal(fired, 1)
  } finally {
    mock.timers.reset()
  }
})

test('one that is called off does not fire', async () => {
  let fired = 0
  after(1, () => (fired += 1))()
  await sleep(10)
  assert.equal(fired, 0)
})

test('a timeout of 30 days does not fail a job or a request at once', async () => {
  await using mq = await connect('memory:')
  const worker = mq.queue('q', { timeout: '30d', attempts: 1 }).work(() => sleep(5, 'done'))
  const ended = new Promise<unknown>((resolve) => {
    worker.on('completed', (_job, result) => resolve(result))
    worker.on('failed', (_job, error) => resolve(error))
  })
  await mq.queue('q', { timeout: '30d', attempts: 1 }).send(1)
  assert.equal(await ended, 'done')
  mq.reply('r', () => 'yes')
  assert.equal(await mq.request('r', 1, { timeout: '30d' }), 'yes')
})
