/** What comes back from disk is what was sent, in its order. */
import assert from 'node:assert/strict'
import { createHash, randomBytes } from 'node:crypto'
import { test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileDriver } from '../../src/drivers/file.ts'
import type { FileOptions } from '../../src/drivers/file.ts'
import { Client, connect } from '../../src/index.ts'
import { withFolder } from './folder.ts'

async function open(folder: string, options: FileOptions = {}): Promise<Client> {
  const driver = fileDriver(`file:${folder}/data`, options)
  return new Client(driver, await driver.open())
}

test('bodies of every size come back byte for byte, from memory and after a restart', () =>
  withFolder(async (folder) => {
    const sizes = [0, 1, 64 * 1024, 1024 * 1024, 20 * 1024 * 1024]
    const bodies = sizes.map((size) => randomBytes(size))
    const digest = (bytes: Uint8Array): string => createHash('sha1').update(bytes).digest('hex')
    const expected = bodies.map((body) => `${body.length} ${digest(body)}`)
    for (const life of [1, 2]) {
      await using mq = await open(folder)
      const queue = mq.queue<Uint8Array>('q')
      if (life === 1) await queue.sendMany(bodies)
      const found: string[] = []
      for await (const job of queue.consume({ prefetch: 2 })) {
        assert.ok(Buffer.isBuffer(job.data))
        found.push(`${job.data.length} ${digest(job.data)}`)
        if (life === 2) await job.ack()
        if (found.length === bodies.length) break
        if (life === 1) await job.retry({ delay: 1 })
      }
      // A retried one goes to the tail, so the first life may see them in any order of their return.
      assert.deepEqual([...new Set(found)].sort(), [...expected].sort(), `life ${life}`)
    }
  }))

test('a body over the limit is refused and typed, nothing is stored, and the connection goes on', () =>
  withFolder(async (folder) => {
    const limits = { maximumBodyBytes: 16 * 1024 * 1024 }
    await using mq = await open(folder, { limits })
    assert.equal(mq.capabilities.maximumBodyBytes, limits.maximumBodyBytes)
    const queue = mq.queue<Uint8Array | string>('q')
    const large = { code: 'MESSAGE_TOO_LARGE', message: /50000000 bytes and the limit is 16777216/ }
    await assert.rejects(queue.send(Buffer.alloc(50_000_000)), large)
    await assert.rejects(queue.send('ü'.repeat(10_000_000)), { code: 'MESSAGE_TOO_LARGE' })
    await queue.send(Buffer.alloc(limits.maximumBodyBytes))
    await assert.rejects(queue.send(Buffer.alloc(limits.maximumBodyBytes + 1)), { code: 'MESSAGE_TOO_LARGE' })
    const mixed = await Promise.allSettled([queue.send('small'), queue.send(Buffer.alloc(50_000_000))])
    assert.deepEqual(
      mixed.map((result) => result.status),
      ['fulfilled', 'rejected'],
    )
    assert.equal((await queue.stats()).ready, 2)
  }))

test('headers over the limit are refused and typed', () =>
  withFolder(async (folder) => {
    await using mq = await open(folder)
    const headers = { long: 'x'.repeat(100_000) }
    await assert.rejects(mq.queue('q').send(1, { headers }), { code: 'HEADERS_TOO_LARGE' })
    assert.equal((await mq.queue('q').stats()).ready, 0)
  }))

/** So little in memory that nearly all of the queue is on disk. */
const tiny: FileOptions = {
  limits: { windowMessages: 8, windowBytes: 1_000, delayedWindow: 4 },
  store: { limits: { fileBytes: 16 * 1024 } },
}

test('a paged queue with keys, priorities, delays and de-duplication keeps its order over restarts', () =>
  withFolder(async (folder) => {
    const options = { priorities: 3 }
    const total = 300
    {
      await using mq = await open(folder, tiny)
      const queue = mq.queue<number>('q', options)
      for (let n = 0; n < total; n += 1) {
        const { duplicate } = await queue.send(n, {
          priority: n % 3,
          key: `k${n % 5}-${n % 3}`,
          dedupe: { key: `n${n}`, window: '1h' },
          ...(n % 10 === 9 && { delay: 30 }),
        })
        assert.equal(duplicate, false)
      }
    }
    {
      await using mq = await open(folder, tiny)
      const queue = mq.queue<number>('q', options)
      const { ready, delayed } = await queue.stats()
      assert.equal(ready + (delayed ?? 0), total)
      // What becomes due while one looks is in one of the two counts only: then one looks again.
      for (let before = -1, after = ready; before !== after;) {
        before = (await queue.stats()).ready
        const browsed = (await queue.browse({ limit: 1_000 })).length
        after = (await queue.stats()).ready
        if (before === after) assert.equal(browsed, after)
      }
    }
    await new Promise((resolve) => setTimeout(resolve, 40))
    await using mq = await open(folder, tiny)
    const queue = mq.queue<number>('q', options)
    assert.equal((await queue.send(5, { dedupe: { key: 'n5', window: '1h' } })).duplicate, true)
    const found: number[] = []
    for await (const job of queue.consume({ prefetch: 1 })) {
      found.push(job.data)
      await job.ack()
      if (found.length === total) break
    }
    assert.equal(new Set(found).size, total, 'each one once')
    // Messages that were held back come to their lane's tail; the others are in order within their priority and key.
    const direct = found.filter((n) => n % 10 !== 9)
    for (const priority of [0, 1, 2]) {
      const lane = direct.filter((n) => n % 3 === priority)
      assert.deepEqual(
        lane,
        [...lane].sort((a, b) => a - b),
        `priority ${priority}`,
      )
    }
    assert.equal((await queue.stats()).ready, 0)
  }))

test('everything of a queue comes back: attempts, delays, the dead, pause, bindings', () =>
  withFolder(async (folder) => {
    const id = await (async () => {
      await using mq = await open(folder)
      const queue = mq.queue<string>('q')
      const events = mq.exchange<string>('events', 'topic')
      await queue.bind(events, 'a.#')
      await events.publish('a.b', 'routed')
      for await (const job of queue.consume()) {
        await job.retry()
        break
      }
      const { id } = await queue.send('later', { delay: '1h', headers: { tenant: 't' } })
      await queue.send('doomed')
      for await (const job of queue.consume()) {
        if (job.data === 'doomed') {
          await job.dead('no such address')
          break
        }
        // Nobody died with it: left in hand at the close it would come back with its attempt raised.
        await job.release({ delay: 1 })
      }
      await queue.pause()
      return id
    })()
    await using mq = await connect(`file:${folder}/data`)
    const queue = mq.queue<string>('q')
    const stats = await queue.stats()
    assert.deepEqual([stats.ready, stats.delayed, stats.dead, stats.paused], [1, 1, 1, true])
    assert.equal((await queue.browse())[0]?.attempt, 2)
    const [later] = await queue.browse({ state: 'delayed' })
    assert.deepEqual([later?.id, later?.headers['tenant']], [id, 't'])
    assert.equal((await queue.browse({ state: 'dead' }))[0]?.headers['x-millrace-reason'], 'no such address')
    await mq.exchange<string>('events', 'topic').publish('a.c', 'bound')
    assert.equal((await queue.stats()).ready, 2)
  }))

test('await using closes: what was sent is stored, and the folder is free', () =>
  withFolder(async (folder) => {
    let pending: Promise<unknown>
    {
      await using mq = await connect(`file:${folder}/data`)
      await mq.queue('q').declare()
      pending = mq.queue('q').send('not awaited')
    }
    await pending
    await using mq = await connect(`file:${folder}/data`)
    assert.equal((await mq.queue('q').stats()).ready, 1)
    await using worker = mq.queue('q').work(() => undefined)
    await worker.ready
  }))

test('the age of the oldest message is known at the first look after a restart, in every level of priority', () =>
  withFolder(async (folder) => {
    const before = await open(folder)
    const queue = before.queue('q', { priorities: 2 })
    await queue.send('oldest', { priority: 0 })
    await sleep(30)
    await queue.sendMany(['a', 'b'], { priority: 2 })
    await before.close()
    const mq = await open(folder)
    const { ready, oldestMs = 0 } = await mq.queue('q', { declare: false }).stats()
    assert.equal(ready, 3)
    assert.ok(oldestMs >= 30, `${oldestMs}`)
    await mq.close()
  }))
