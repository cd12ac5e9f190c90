/** A worker whose jobs are quick takes a few ahead of its concurrency; nobody can tell but by the speed. */
import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { resolve } from 'node:path'
import { after, before, describe, test } from 'node:test'
import { setTimeout as delay } from 'node:timers/promises'
import type { Client, Job, Queue } from '../../../src/index.ts'
import { Deferred } from '../../../src/std/deferred.ts'
import { Proxy } from '../../servers/proxy.ts'
import { findRedis, RedisServer } from '../../servers/redis.ts'
import { Clients, until } from './world.ts'

const { skip } = await findRedis()
const quick = 200

/** Says of each job whether it is the third of its turn: then it was taken ahead, and others that were wait behind it. */
function thirds(): () => boolean {
  let inTurn = 0
  return () => {
    if (inTurn === 0) setImmediate(() => (inTurn = 0))
    inTurn += 1
    return inTurn === 3
  }
}

function numbersTo(end: number): number[] {
  return Array.from({ length: end }, (_, index) => index)
}

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
    const numbers = numbersTo(1_000)
    await queue.sendMany(numbers)
    const before = await requests()
    const order: number[] = []
    let running = 0
    queue.work(async (job) => {
      running += 1
      assert.equal(running, 1)
      await Promise.resolve()
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
    await queue.sendMany(numbersTo(quick))
    const seen: number[] = []
    const unacked: (number | undefined)[] = []
    queue.work(async (job) => {
      seen.push(job.data)
      if (job.data < quick - 40) return
      unacked.push((await queue.stats()).unacked)
      throw new Error('no luck')
    })
    await until('all are done', async () => (await queue.stats()).dead === 40)
    assert.deepEqual(seen, numbersTo(quick))
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

  test('what is given back while a request is under way comes before what that brings', async () => {
    await using clients = new Clients()
    await using proxy = await Proxy.start({ port: server.port })
    const queue = (await clients.connect(`redis://127.0.0.1:${proxy.port}`)).queue<number>('far away')
    const numbers = numbersTo(60)
    await queue.sendMany(numbers)
    proxy.delay(30)
    const isThird = thirds()
    const order: number[] = []
    queue.work(async (job) => {
      order.push(job.data)
      // Longer than the others wait for it, shorter than a trip.
      if (isThird()) await delay(40)
    })
    await until('all are done', () => order.length === numbers.length)
    assert.deepEqual(order, numbers)
  })

  test('who lowers the concurrency in a handler has no more begin', async () => {
    await using clients = new Clients()
    const queue = (await clients.connect(server.url())).queue<number>('lowered')
    await queue.sendMany(numbersTo(20))
    const running: number[] = []
    const worker = queue.work(
      async () => {
        worker.concurrency = 1
        running.push(worker.running)
        await delay(1)
      },
      { concurrency: 10 },
    )
    await until('all are done', async () => (await queue.stats()).acked === 20)
    assert.equal(Math.max(...running), 1)
  })

  test('who closes a worker in its handler has seen its last job', async () => {
    await using clients = new Clients()
    const queue = (await clients.connect(server.url())).queue<number>('closes itself')
    await queue.sendMany(numbersTo(2 * quick))
    const isThird = thirds()
    const seen: number[] = []
    const last = new Deferred<number>()
    const worker = queue.work((job) => {
      seen.push(job.data)
      if (!isThird()) return
      worker.close().then(() => last.resolve(job.data), last.reject)
    })
    assert.equal(await last.promise, seen.at(-1))
  })

  test('what waited for one that kept its process busy beyond the lease is handed out by others alone', async () => {
    await using clients = new Clients()
    const url = `${server.url()}?lease=1000`
    const queue = (await clients.connect(url)).queue<number>('busy')
    await queue.sendMany(numbersTo(quick))
    const isThird = thirds()
    const child = resolve(import.meta.dirname, 'read-ahead-child.ts')
    let said: string | undefined
    const after: number[] = []
    queue.work((job) => {
      if (said !== undefined) after.push(job.data)
      else if (isThird())
        said = spawnSync(process.execPath, ['--import', 'tsx', child, url]).stdout.toString()
    })
    await until('it is busy no more', () => said !== undefined)
    const taken = JSON.parse(said ?? '') as number[]
    assert(taken.includes(quick - 1), 'others have handled what came behind')
    await until('all are settled', async () => (await queue.stats()).unacked === 0)
    assert.deepEqual(after, [])
  })

  test('nothing waits behind what was tried before: it may end the process', async () => {
    await using clients = new Clients()
    await using proxy = await Proxy.start({ port: server.port })
    const queue = (await clients.connect(server.url())).queue<string>('tried')
    await queue.sendMany(['a', 'b', 'c', 'd'])
    const dying = await clients.connect(`redis://127.0.0.1:${proxy.port}?lease=2000`)
    const held: Job<string>[] = []
    const taking = (async () => {
      for await (const job of dying.queue<string>('tried').consume({ prefetch: 4 })) held.push(job)
    })().catch(() => undefined)
    await until('all are held', () => held.length === 4)
    proxy.cut()
    await queue.sendMany(Array.from({ length: quick }, () => 'quick'))
    const tried: [string, number, number | undefined][] = []
    queue.work((job) => {
      if (job.data === 'quick') return
      return queue.stats().then(({ unacked }) => void tried.push([job.data, job.attempt, unacked]))
    })
    await until('all are done', () => tried.length === 4)
    assert.deepEqual(
      tried,
      ['a', 'b', 'c', 'd'].map((name) => [name, 2, 1]),
    )
    await dying.close({ timeout: 0 })
    await taking
  })

  test('of one active consumer that goes, what it gives back is in its place before the next one comes', async () => {
    await using clients = new Clients()
    const mq = await clients.connect(server.url())
    const queue = mq.queue<number>('one active', { singleActiveConsumer: true })
    await queue.sendMany(numbersTo(2 * quick))
    await server.command('CONFIG', 'SET', 'slowlog-log-slower-than', '0', 'slowlog-max-len', '1000')
    const isThird = thirds()
    const gone = new Deferred<void>()
    const worker = queue.work(async () => {
      if (!isThird()) return
      // When no request is under way, and the others still wait.
      await delay(3)
      worker.close().then(gone.resolve, gone.reject)
      // It rests while it holds this one.
      await delay(20)
    })
    await gone.promise
    const log = (await server.command('SLOWLOG', 'GET', '1000')) as [number, number, number, string[]][]
    await server.command('CONFIG', 'SET', 'slowlog-log-slower-than', '10000')
    const calls = log.map(([, , , words]) => words.map(String)).toReversed()
    const released = calls.findIndex((words) => words.includes('release'))
    const rested = calls.findIndex((words) => words.includes('millrace_rest'))
    assert(released >= 0 && released < rested, JSON.stringify(calls))
  })
})
