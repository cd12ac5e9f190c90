/** Messages that go from one queue to another: what they keep, and what becomes of them where there is no room. */
import assert from 'node:assert/strict'
import { after, describe, test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import type { Delivery, Driver, Outgoing, QueueSpec } from '../../../src/client/driver.ts'
import { redisDriver } from '../../../src/drivers/redis/redis.ts'
import { brokenKeys } from '../../faults/redis-keys.ts'
import { findRedis, RedisServer } from '../../servers/redis.ts'

const { skip } = await findRedis()
const server = skip === false ? await RedisServer.start() : undefined
after(() => server?.close())

let worlds = 0

async function withQueues<Result>(
  queues: readonly QueueSpec[],
  run: (driver: Driver) => Promise<Result>,
): Promise<Result> {
  const prefix = `moves-${(worlds += 1)}`
  const driver = redisDriver(`${server?.url()}?prefix=${prefix}`)
  await driver.open()
  try {
    await driver.declare({ queues })
    const result = await run(driver)
    assert.deepEqual(await brokenKeys(server as RedisServer, prefix), [])
    return result
  } finally {
    await driver.close()
  }
}

async function send(
  driver: Driver,
  queue: string,
  count: number,
  extra: Partial<Outgoing> = {},
): Promise<void> {
  const one = { exchange: '', routingKey: queue, properties: {}, body: 'body', ...extra }
  const results = await driver.publish(Array.from({ length: count }, () => one))
  assert.ok(results.every(({ type }) => type === 'stored'))
}

async function take(driver: Driver, queue: string): Promise<Delivery> {
  return new Promise((taken, failed) => {
    driver.consume(queue, { prefetch: 1 }, taken).catch(failed)
  })
}

/** Undefined where it had expired: the machine stood still meanwhile. */
async function takeInTime(driver: Driver, queue: string): Promise<Delivery | undefined> {
  const taken: Delivery[] = []
  await driver.consume(queue, { prefetch: 1 }, (delivery) => taken.push(delivery))
  while (taken.length === 0 && (await driver.stats(queue)).expired === 0) await sleep(5)
  return taken[0]
}

/** Tried with twice the time as long as it says that the machine stood still for too long. */
async function inTime(leastMs: number, tryIt: (ms: number) => Promise<'done' | 'too late'>): Promise<void> {
  for (let ms = leastMs; (await tryIt(ms)) === 'too late'; ms *= 2);
}

describe('messages on their way to another queue', { skip }, () => {
  test('a moved message keeps what is left of its time to live', async () => {
    await withQueues([{ name: 'a' }, { name: 'b' }], async (driver) => {
      await send(driver, 'a', 1, { ttlMs: 300 })
      await send(driver, 'a', 1, { ttlMs: 60_000 })
      assert.equal(await driver.move('a', 'b'), 2)
      await sleep(350)
      await take(driver, 'b')
      const { expired, unacked, ready } = await driver.stats('b')
      assert.deepEqual({ expired, unacked, ready }, { expired: 1, unacked: 1, ready: 0 })
    })
  })

  test("a queue's own time to live counts from when a message came into it", () =>
    inTime(500, (ttlMs) =>
      withQueues([{ name: 'a' }, { name: 'b', messageTtlMs: ttlMs }], async (driver) => {
        await send(driver, 'a', 1)
        await sleep(ttlMs + 100)
        const movedMs = performance.now()
        assert.equal(await driver.move('a', 'b'), 1)
        const delivery = await takeInTime(driver, 'b')
        if (delivery === undefined) {
          assert.ok(performance.now() - movedMs >= ttlMs, 'it had its time')
          return 'too late'
        }
        assert.equal(String(delivery.message.body), 'body')
        return 'done'
      }),
    ))

  test('a dead letter has no time to live of its own', () =>
    inTime(200, (ttlMs) => {
      const deadLetter = { exchange: '', routingKey: 'dead' }
      return withQueues([{ name: 'a', deadLetter }, { name: 'dead' }], async (driver) => {
        await send(driver, 'a', 1, { ttlMs })
        const delivery = await takeInTime(driver, 'a')
        if (delivery === undefined) return 'too late'
        await delivery.settle({ type: 'dead', reason: 'no' })
        await sleep(ttlMs + 50)
        await take(driver, 'dead')
        assert.equal((await driver.stats('dead')).unacked, 1)
        return 'done'
      })
    }))

  test('a move ends where its target is full, and tells what was moved', async () => {
    for (const overflow of ['reject-publish', 'reject-publish-dlx'] as const) {
      const deadLetter = { exchange: '', routingKey: 'dead' }
      const queues = [{ name: 'a' }, { name: 'dead' }, { name: 'b', maxLength: 3, overflow, deadLetter }]
      await withQueues(queues, async (driver) => {
        await send(driver, 'a', 10)
        assert.equal(await driver.move('a', 'b'), 3)
        assert.equal((await driver.stats('a')).ready, 7)
        assert.equal((await driver.stats('b')).ready, 3)
        assert.equal((await driver.stats('dead')).ready, 0)
      })
    }
  })

  test('a dead letter that its queue has no room for goes on to the dead of that queue, once', async () => {
    const queues: QueueSpec[] = [
      { name: 'a', deadLetter: { exchange: '', routingKey: 'full' } },
      {
        name: 'full',
        maxLength: 0,
        overflow: 'reject-publish-dlx',
        deadLetter: { exchange: '', routingKey: 'last' },
      },
      { name: 'last' },
    ]
    await withQueues(queues, async (driver) => {
      await send(driver, 'a', 1)
      await (await take(driver, 'a')).settle({ type: 'dead', reason: 'no' })
      await driver.stats('full')
      assert.equal((await driver.stats('last')).ready, 1)
    })
  })

  test('what somebody was bringing who died is brought by a program that declares the queue', async () => {
    await withQueues([{ name: 'a' }, { name: 'b' }], async (driver) => {
      await send(driver, 'a', 3)
      const base = `moves-${worlds}:{a}`
      // One who gives itself half a second, and is never heard of again.
      await server?.command('FCALL', 'millrace_send', '1', base, 'dead', '1', '0', 'b', '10')
      await server?.command('FCALL', 'millrace_fetch', '1', base, 'dead', '2', '0', '2', '500')
      const next = redisDriver(`${server?.url()}?prefix=moves-${worlds}`)
      await next.open()
      await next.declare({ queues: [{ name: 'a' }, { name: 'b' }] })
      for (let waited = 0; (await driver.stats('b')).ready < 3; waited += 20) {
        assert.ok(waited < 60_000, 'nobody brings it')
        await sleep(20)
      }
      await next.close()
    })
  })

  test('who comes late with a message brings nothing, for others may have brought it and it is forgotten', async () => {
    await withQueues([{ name: 'a' }, { name: 'b' }], async (driver) => {
      await send(driver, 'a', 1)
      assert.equal(await driver.move('a', 'b'), 1)
      const base = `moves-${worlds}:{b}`
      const keys = (await server?.command('KEYS', `${base}:dedupe:*`)) as string[] | undefined
      const [key = ''] = keys ?? []
      const leftMs = Number(await server?.command('PTTL', key))
      assert.ok(leftMs > 60_000 && leftMs <= 120_000, `it is remembered for ${leftMs} ms`)
      const now = Date.now()
      const words = ['a/0/99', '0  0 0 0 0\n', '{}\nbody', String(now), '0', 'move']
      const bring = (until: number) =>
        server?.command('FCALL', 'millrace_import', '1', base, ...words, String(until))
      assert.equal(await bring(now - 70_000), 'late')
      assert.equal((await driver.stats('b')).ready, 1)
      assert.equal(await bring(now), 'stored')
      assert.equal(await bring(now - 70_000), 'stored')
      assert.equal((await driver.stats('b')).ready, 2)
    })
  })

  test('messages are moved in their order, and at most so many', async () => {
    await withQueues([{ name: 'a' }, { name: 'b' }], async (driver) => {
      for (let index = 0; index < 12; index += 1) await send(driver, 'a', 1, { body: String(index) })
      assert.equal(await driver.move('a', 'b', { limit: 11 }), 11)
      const { messages } = await driver.browse('b', {})
      assert.deepEqual(
        messages.map(({ message }) => Number(String(message.body))),
        [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10],
      )
    })
  })
})
