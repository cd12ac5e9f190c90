import assert from 'node:assert/strict'
import { test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileDriver } from '../../src/drivers/file.ts'
import { memoryDriver } from '../../src/drivers/memory.ts'
import { Client, connect } from '../../src/index.ts'
import type { Driver } from '../../src/index.ts'
import { Deferred } from '../../src/std/deferred.ts'
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
        mq.request<number>('math.add', { a: n, b: 1 }, { timeout: '1m' }),
      ),
    )
    assert.deepEqual(
      sums,
      Array.from({ length: 200 }, (_, n) => n + 1),
    )
  }))

test('a request waits for a replier that comes later', () =>
  withMemory(async (mq) => {
    const answer = mq.request('late', 1, { timeout: '1m' })
    await sleep(20)
    mq.reply('late', () => 'here')
    assert.equal(await answer, 'here')
  }))

test('nobody answers: TIMEOUT, and the request is not kept', () =>
  withMemory(async (mq) => {
    const queue = mq.queue('nobody', { declare: false })
    const published = async (): Promise<number> => {
      const declared = (await mq.queues()).includes('nobody')
      return declared ? ((await queue.stats()).published ?? 0) : 0
    }
    // One whose time was over before it was sent is asked again.
    while ((await published()) === 0)
      await assert.rejects(mq.request('nobody', 1, { timeout: 30 }), { code: 'TIMEOUT' })
    while ((await queue.stats()).ready > 0) await sleep(5)
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
    const asked = mq.request('large', 1, { timeout: '1m' })
    await assert.rejects(asked, { code: 'REMOTE_ERROR', message: /the limit is 1000/ })
    await mq.close({ timeout: 50 })
  })
})

/** A connection to memory, and which queues it declared. */
async function watched(): Promise<{ mq: Client; driver: Driver; declared: string[] }> {
  const driver = memoryDriver('memory:')
  const declared: string[] = []
  const declare = driver.declare.bind(driver)
  driver.declare = (topology) => {
    for (const queue of topology.queues ?? []) declared.push(queue.name)
    return declare(topology)
  }
  return { mq: new Client(driver, await driver.open()), driver, declared }
}

const minuteMs = 60_000

test('who asks now and then keeps the queue from expiring: it is declared again by use', async (t) => {
  const { mq, declared } = await watched()
  let nowMs = 0
  t.mock.method(performance, 'now', () => nowMs)
  mq.reply('r', () => 1)
  await mq.request('r', 1)
  const ask = async (atMs: number): Promise<number> => {
    nowMs = atMs
    await mq.request('r', 1)
    return declared.filter((name) => name === 'r').length
  }
  assert.equal(await ask(14 * minuteMs), 1)
  assert.equal(await ask(16 * minuteMs), 2)
  assert.equal(await ask(30 * minuteMs), 2)
  assert.equal(await ask(120 * minuteMs), 3)
  await mq.close()
})

test('who waits for longer than it takes to expire keeps the queue too, and no longer than that', async (t) => {
  const { mq, declared } = await watched()
  t.mock.timers.enable({ apis: ['setTimeout'] })
  let nowMs = 0
  t.mock.method(performance, 'now', () => nowMs)
  const pass = (ms: number): void => {
    nowMs += ms
    t.mock.timers.tick(ms)
  }
  const asking = assert.rejects(mq.request('r', 1, { timeout: '2h' }), { code: 'TIMEOUT' })
  while (declared.length < 2) await new Promise((resolve) => setImmediate(resolve))
  for (let minutes = 0; minutes < 119; minutes += 1) pass(minuteMs)
  assert.equal(declared.filter((name) => name === 'r').length, 1 + 7)
  pass(minuteMs)
  await asking
  pass(600 * minuteMs)
  assert.equal(declared.filter((name) => name === 'r').length, 1 + 7)
  t.mock.timers.reset()
  await mq.close()
})

test('a request whose queue was deleted since the last one declares it anew', async () => {
  const { mq, driver } = await watched()
  await assert.rejects(mq.request('r', 1, { timeout: 1 }), { code: 'TIMEOUT' })
  await driver.undeclare({ queues: [{ name: 'r' }] })
  const asking = mq.request('r', 2)
  await sleep(10)
  mq.reply('r', (msg) => msg.data * 2)
  assert.equal(await asking, 4)
  await mq.close()
})

test('the timeout counts from the call, also where the engine never answers', async () => {
  const { mq, driver } = await watched()
  driver.declare = () => new Promise(() => undefined)
  await assert.rejects(mq.request('r', 1, { timeout: 10 }), { code: 'TIMEOUT' })
  await driver.close()
})

test('a late reply is ignored', () =>
  withMemory(async (mq) => {
    const late = new Deferred<number>()
    let asked = false
    const replier = mq.reply('slow', () => {
      asked = true
      return late.promise
    })
    const replied = new Promise((resolve) => replier.on('completed', resolve))
    // A request that nobody took within its time is dropped, and asked again.
    while (!asked) await assert.rejects(mq.request('slow', 1, { timeout: 20 }), { code: 'TIMEOUT' })
    late.resolve(1)
    await replied
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
