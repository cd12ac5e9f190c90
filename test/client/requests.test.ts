import assert from 'node:assert/strict'
import { test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileDriver } from '../../src/drivers/file.ts'
import { Client, connect } from '../../src/index.ts'
import { withFolder } from '../drivers/folder.ts'

async function withMemory(run: (mq: Client) => Promise<void>): Promise<void> {
  const mq = await connect('memory:')
  try {
    await run(mq)
  } finally {
    await mq.close({ timeout: 50 })
  }
}

test('a request is answered, and many at once are told apart', () =>
  withMemory(async (mq) => {
    mq.reply<{ a: number; b: number }>(
      'math.add',
      async (msg) => {
        await sleep(Math.random() * 5)
        return msg.data.a + msg.data.b
      },
      { concurrency: 20 },
    )
    const sums = await Promise.all(
      Array.from({ length: 200 }, (_, n) =>
        mq.request<number>('math.add', { a: n, b: 1 }, { timeout: '5s' }),
      ),
    )
    assert.deepEqual(
      sums,
      Array.from({ length: 200 }, (_, n) => n + 1),
    )
  }))

test('a request waits for a replier that comes later', () =>
  withMemory(async (mq) => {
    const answer = mq.request('late', 1, { timeout: '2s' })
    await sleep(20)
    mq.reply('late', () => 'here')
    assert.equal(await answer, 'here')
  }))

test('nobody answers: TIMEOUT, and the request is not kept', () =>
  withMemory(async (mq) => {
    await assert.rejects(mq.request('nobody', 1, { timeout: 30 }), { code: 'TIMEOUT' })
    await sleep(30)
    assert.equal((await mq.queue('nobody', { declare: false }).stats()).ready, 0)
  }))

test('what the handler throws arrives as REMOTE_ERROR with its message', () =>
  withMemory(async (mq) => {
    mq.reply('fails', () => {
      throw new Error('division by zero')
    })
    mq.reply('odd', () => Promise.resolve(1n))
    await assert.rejects(mq.request('fails', 1), { code: 'REMOTE_ERROR', message: 'division by zero' })
    await assert.rejects(mq.request('odd', 1), { code: 'REMOTE_ERROR' })
  }))

test('a reply that is too large is told as an error, not by silence', async () => {
  await withFolder(async (folder) => {
    const driver = fileDriver(`file:${folder}/data`, { limits: { maximumBodyBytes: 1_000 } })
    const mq = new Client(driver, await driver.open())
    mq.reply('large', () => 'x'.repeat(2_000))
    const asked = mq.request('large', 1, { timeout: '5s' })
    await assert.rejects(asked, { code: 'REMOTE_ERROR', message: /the limit is 1000/ })
    await mq.close({ timeout: 50 })
  })
})

test('a late reply is ignored', () =>
  withMemory(async (mq) => {
    mq.reply('slow', async () => {
      await sleep(60)
      return 1
    })
    await assert.rejects(mq.request('slow', 1, { timeout: 20 }), { code: 'TIMEOUT' })
    await sleep(80)
    mq.reply('fast', () => 2)
    assert.equal(await mq.request('fast', 1), 2)
  }))

test('an abort calls the wait off, and close rejects what still waits', async () => {
  const mq = await connect('memory:')
  await assert.rejects(mq.request('r', 1, { signal: AbortSignal.timeout(20) }), { code: 'ABORTED' })
  const waiting = assert.rejects(mq.request('r', 1), { code: 'CLOSED' })
  await sleep(10)
  await mq.close()
  await waiting
})

test('a requester that goes leaves no queue of its own behind', async () => {
  const [asker, other] = await Promise.all([connect('memory:requests'), connect('memory:requests')])
  other.reply('r', () => 1)
  await asker.request('r', 1)
  assert.equal((await other.queues()).length, 2)
  await asker.close()
  assert.deepEqual(await other.queues(), ['r'])
  await other.close()
})
