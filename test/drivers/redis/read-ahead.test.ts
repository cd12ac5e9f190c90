/** A worker whose jobs are quick takes a few ahead of its concurrency; nobody can tell but by the speed. */
import assert from 'node:assert/strict'
import { after, before, describe, test } from 'node:test'
import type { Client, Job, Queue } from '../../../src/index.ts'
import { Deferred } from '../../../src/std/deferred.ts'
import { findRedis, RedisServer } from '../../servers/redis.ts'
import { Clients, until } from './world.ts'

const { skip } = await findRedis()
const quick = 200

/** Jobs that are done at once, then one that is not until the gate opens, then others. */
async function sendMixed(mq: Client, name: string): Promise<Queue<string>> {
  const queue = mq.queue<string>(name)
  await queue.sendMany(Array.from({ length: quick }, () => 'quick'))
  await queue.send('slow')
  await queue.sendMany(['a', 'b', 'c'])
  return queue
}

describe('redis: reading ahead', { skip }, () => {
  let server: RedisServer
  before(async () => (server = await RedisServer.start()))
  after(() => server.close())

  /** Requests of consumers that the server has answered. */
  async function requests(): Promise<number> {
    const text = String(await server.command('INFO', 'commandstats'))
    return Number(/cmdstat_fcall:calls=(\d+)/.exec(text)?.[1] ?? 0)
  }

  test('jobs that are done at once take fewer trips than there are, one at a time and in order', async () => {
    await using clients = new Clients()
    const queue = (await clients.connect(server.url())).queue<number>('quick')
    const numbers = Array.from({ length: 1_000 }, (_, index) => index)
    await queue.sendMany(numbers)
    const before = await requests()
    const order: number[] = []
    let running = 0
    queue.work(async (job) => {
      running += 1
      assert.equal(running, 1)
      await undefined
      running -= 1
      order.push(job.data)
    })
    await until('all are done', () => order.length === numbers.length)
    assert.deepEqual(order, numbers)
    assert((await requests()) - before < numbers.length / 2)
  })

  test('what one that takes its time holds up goes to who is free, in its place, no attempt used up', async () => {
    await using clients = new Clients()
    const queue = await sendMixed(await clients.connect(server.url()), 'held up')
    const gate = new Deferred<void>()
    const first: string[] = []
    queue.work(async (job) => {
      first.push(job.data)
      if (job.data === 'slow') await gate.promise
    })
    await until('the slow one has begun', () => first.length === quick + 1)
    const second: [string, number][] = []
    const other = (await clients.connect(server.url())).queue<string>('held up')
    other.work((job) => void second.push([job.data, job.attempt]))
    await until('the others are done', () => second.length === 3)
    assert.deepEqual(second, [
      ['a', 1],
      ['b', 1],
      ['c', 1],
    ])
    gate.resolve()
    await until('all are settled', async () => (await queue.stats()).acked === quick + 4)
    assert.deepEqual(first.slice(quick), ['slow'])
  })

  test('a worker goes on with what it gave back, when it is free before the others are', async () => {
    await using clients = new Clients()
    const queue = await sendMixed(await clients.connect(server.url()), 'given back')
    const seen: Job<string>[] = []
    const gate = new Deferred<void>()
    queue.work(async (job) => {
      seen.push(job)
      if (job.data === 'slow') await gate.promise
    })
    await until('all others wait in the queue', async () => {
      const { ready, unacked } = await queue.stats()
      return ready === 3 && unacked === 1
    })
    gate.resolve()
    await until('all are done', () => seen.length === quick + 4)
    assert.deepEqual(
      seen.slice(quick).map((job) => job.data),
      ['slow', 'a', 'b', 'c'],
    )
    assert(seen.every((job) => job.attempt === 1))
  })

  test('a worker that closes hands back what it took ahead', async () => {
    await using clients = new Clients()
    const mq = await clients.connect(server.url())
    const queue = await sendMixed(mq, 'closed')
    const gate = new Deferred<void>()
    let handled = 0
    const worker = queue.work(async (job) => {
      handled += 1
      if (job.data === 'slow') await gate.promise
    })
    await until('the slow one has begun', () => handled === quick + 1)
    const closed = worker.close()
    gate.resolve()
    await closed
    assert.equal(handled, quick + 1)
    const rest: [string, number][] = []
    queue.work((job) => void rest.push([job.data, job.attempt]))
    await until('the rest is done', () => rest.length === 3)
    assert.deepEqual(rest, [
      ['a', 1],
      ['b', 1],
      ['c', 1],
    ])
  })

  test('a job that fails ends it: the next ones are taken as there is room', async () => {
    await using clients = new Clients()
    const queue = (await clients.connect(server.url())).queue<number>('fails', { attempts: 1 })
    await queue.sendMany(Array.from({ length: quick }, (_, index) => index))
    const seen: number[] = []
    const unacked: (number | undefined)[] = []
    queue.work(async (job) => {
      seen.push(job.data)
      if (job.data < quick - 40) return
      unacked.push((await queue.stats()).unacked)
      throw new Error('no luck')
    })
    await until('all are done', async () => (await queue.stats()).dead === 40)
    assert.deepEqual(
      seen,
      Array.from({ length: quick }, (_, index) => index),
    )
    // What it had taken before the first of them failed has gone by.
    assert.equal(unacked.at(-1), 1)
  })

  test('who pulls holds no more than asked for', async () => {
    await using clients = new Clients()
    const queue = (await clients.connect(server.url())).queue<string>('pulled')
    await queue.sendMany(Array.from({ length: 100 }, () => 'quick'))
    let most = 0
    let taken = 0
    for await (const job of queue.consume({ prefetch: 1 })) {
      if (taken > 50) most = Math.max(most, (await queue.stats()).unacked ?? 0)
      await job.ack()
      taken += 1
      if (taken === 100) break
    }
    assert.equal(most, 1)
  })
})
