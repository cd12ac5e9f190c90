import assert from 'node:assert/strict'
import { test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { z } from 'zod'
import { connect, NonRetryableError } from '../../src/index.ts'
import type { Client, Job, Worker } from '../../src/index.ts'
import { Deferred } from '../../src/std/deferred.ts'

const quick = { type: 'fixed', delay: 10, jitter: 0 } as const

async function withMemory(run: (mq: Client) => Promise<void>): Promise<void> {
  const mq = await connect('memory:')
  try {
    await run(mq)
  } finally {
    await mq.close({ timeout: 50 })
  }
}

/** Resolves with the facts of the first event of that name. */
function event<Data>(worker: Worker<Data>, name: string): Promise<unknown[]> {
  return new Promise((resolve) => worker.on(name as 'idle', (...facts: unknown[]) => resolve(facts)))
}

test('a job is handled and leaves the queue', () =>
  withMemory(async (mq) => {
    const queue = mq.queue<{ n: number }>('q')
    const { id } = await queue.send({ n: 1 })
    const worker = queue.work((job) => job.data.n + 1)
    const [job, result] = (await event(worker, 'completed')) as [Job, number]
    assert.equal(job.id, id)
    assert.equal(job.attempt, 1)
    assert.equal(result, 2)
    const stats = await queue.stats()
    assert.equal(stats.ready + (stats.unacked ?? 0) + (stats.delayed ?? 0) + stats.dead, 0)
    assert.equal(stats.acked, 1)
  }))

test('a failed job is tried again after the backoff, its attempt raised, id and headers kept', () =>
  withMemory(async (mq) => {
    const queue = mq.queue('q', { attempts: 3, backoff: quick })
    const seen: unknown[] = []
    const worker = queue.work((job) => {
      seen.push([job.id, job.attempt, job.headers['tenant'], job.data])
      if (job.attempt < 3) throw new Error(`no ${job.attempt}`)
    })
    const retried: string[] = []
    worker.on('retrying', (_job, error, delayMs) => retried.push(`${error.message} ${delayMs}`))
    const completed = event(worker, 'completed')
    const { id } = await queue.send('x', { headers: { tenant: 't1' } })
    await completed
    assert.deepEqual(seen, [
      [id, 1, 't1', 'x'],
      [id, 2, 't1', 'x'],
      [id, 3, 't1', 'x'],
    ])
    assert.deepEqual(retried, ['no 1 10', 'no 2 10'])
  }))

test('after its attempts a job is dead-lettered once, saying why, and redrive sends it back with attempts reset', () =>
  withMemory(async (mq) => {
    const queue = mq.queue<string>('q', { attempts: 2, backoff: quick })
    let broken = true
    const attempts: number[] = []
    const worker = queue.work((job) => {
      attempts.push(job.attempt)
      if (broken) throw new Error('smtp is down')
    })
    const died = event(worker, 'dead')
    await queue.send('mail')
    const [job, error] = (await died) as [Job, Error]
    assert.equal(job.attempt, 2)
    assert.equal(error.message, 'smtp is down')
    const [dead] = await queue.browse({ state: 'dead' })
    assert.equal(dead?.data, 'mail')
    assert.equal(dead?.headers['x-millrace-error'], 'smtp is down')
    assert.equal(dead?.headers['x-millrace-attempts'], 2)
    assert.equal((await queue.stats()).dead, 1)
    broken = false
    const completed = event(worker, 'completed')
    assert.equal(await queue.dead.redrive(), 1)
    await completed
    assert.deepEqual(attempts, [1, 2, 1])
    assert.equal((await queue.stats()).dead, 0)
  }))

test('a NonRetryableError is dead-lettered at its first attempt', () =>
  withMemory(async (mq) => {
    const queue = mq.queue('q')
    const worker = queue.work(() => {
      throw new NonRetryableError('410 gone')
    })
    const dead = event(worker, 'dead')
    await queue.send(1)
    const [job] = (await dead) as [Job]
    assert.equal(job.attempt, 1)
  }))

test('a handler that throws no Error counts as failed all the same', () =>
  withMemory(async (mq) => {
    const queue = mq.queue('q', { attempts: 1 })
    const worker = queue.work(() => {
      throw undefined
    })
    const dead = event(worker, 'dead')
    await queue.send(1)
    const [, error] = (await dead) as [Job, Error]
    assert.match(error.message, /threw no Error but undefined/)
  }))

test('a handler that never ends is timed out, its signal aborted, and the next job is taken', () =>
  withMemory(async (mq) => {
    const queue = mq.queue<string>('q', { attempts: 1, timeout: 40 })
    let aborted: unknown
    const worker = queue.work((job) => {
      if (job.data === 'good') return
      job.signal.addEventListener('abort', () => (aborted = job.signal.reason))
      return new Promise(() => undefined)
    })
    const dead = event(worker, 'dead')
    const completed = event(worker, 'completed')
    await queue.send('endless')
    await queue.send('good')
    const [, error] = (await dead) as [Job, Error & { code: string }]
    assert.equal(error.code, 'TIMEOUT')
    assert.equal((aborted as { code: string }).code, 'TIMEOUT')
    await completed
  }))

test('what comes against the schema is dead-lettered unhandled, and what is sent against it is refused', () =>
  withMemory(async (mq) => {
    const strict = mq.queue('q', { schema: z.object({ to: z.email() }) })
    await assert.rejects(strict.send({ to: 'nobody' }), { code: 'SCHEMA_MISMATCH', message: /to: / })
    assert.equal((await strict.stats()).ready, 0)
    const loose = mq.queue('q', { attempts: 5 })
    await loose.send({ to: 'nobody' })
    let handled = 0
    const worker = strict.work(() => {
      handled += 1
    })
    await event(worker, 'dead')
    assert.equal(handled, 0)
  }))

test('concurrency bounds the jobs at once, and can be changed while the worker runs', () =>
  withMemory(async (mq) => {
    const queue = mq.queue('q')
    let running = 0
    let most = 0
    const worker = queue.work(
      async () => {
        running += 1
        most = Math.max(most, running)
        // The first ones end when as many run as may: none is too quick for the others.
        while (most < worker.concurrency) await sleep(2)
        await sleep(5)
        running -= 1
      },
      { concurrency: 3 },
    )
    await queue.sendMany(Array.from({ length: 30 }, (_, n) => n))
    while (((await queue.stats()).acked ?? 0) < 30) await sleep(5)
    assert.equal(most, 3)
    worker.concurrency = 7
    assert.throws(() => (worker.concurrency = 0), { code: 'INVALID_OPTION' })
    await queue.sendMany(Array.from({ length: 30 }, (_, n) => n))
    while (((await queue.stats()).acked ?? 0) < 60) await sleep(5)
    assert.equal(most, 7)
  }))

test('close waits for the running job and takes no other', () =>
  withMemory(async (mq) => {
    const queue = mq.queue<number>('q')
    const done: number[] = []
    const running = new Deferred<void>()
    const finish = new Deferred<void>()
    const worker = queue.work(async (job) => {
      running.resolve()
      await finish.promise
      done.push(job.data)
    })
    await queue.sendMany([1, 2])
    await running.promise
    const closing = worker.close()
    finish.resolve()
    await closing
    await worker.close()
    assert.deepEqual(done, [1])
    const stats = await queue.stats()
    assert.equal(stats.ready, 1)
    assert.equal(stats.consumers, 0)
  }))

test('close with a timeout aborts what runs too long and puts it back to its place: no attempt is used up', () =>
  withMemory(async (mq) => {
    const queue = mq.queue('q')
    let signal: AbortSignal | undefined
    const worker = queue.work((job) => {
      signal = job.signal
      return new Promise(() => undefined)
    })
    await queue.sendMany([1, 2])
    while (signal === undefined) await sleep(2)
    await worker.close({ timeout: 20 })
    assert.equal(signal.aborted, true)
    const jobs = await queue.browse()
    assert.deepEqual(
      jobs.map(({ data, attempt }) => [data, attempt]),
      [
        [1, 1],
        [2, 1],
      ],
    )
  }))

test('a job cut off by close on its last attempt is handed to the next worker, and not dead-lettered', () =>
  withMemory(async (mq) => {
    const queue = mq.queue('q', { attempts: 1 })
    const stopped = queue.work(() => new Promise(() => undefined))
    await queue.send(1)
    while (stopped.running === 0) await sleep(2)
    await stopped.close({ timeout: 1 })
    const [job] = (await event(
      queue.work(() => 'done'),
      'completed',
    )) as [Job]
    assert.equal(job.attempt, 1)
    assert.equal((await queue.stats()).dead, 0)
  }))

test('a handler that ends after close changes nothing', () =>
  withMemory(async (mq) => {
    const queue = mq.queue('q')
    let end: () => void = () => undefined
    const worker = queue.work(() => new Promise<void>((resolve) => (end = resolve)))
    await queue.send(1)
    while (worker.running === 0) await sleep(2)
    await worker.close({ timeout: 1 })
    end()
    await sleep(10)
    assert.equal((await queue.stats()).ready, 1)
  }))

test('a worker on a conflicting declaration says so by ready and error', () =>
  withMemory(async (mq) => {
    await mq.queue('q', { priorities: 5 }).declare()
    const worker = mq.queue('q', { priorities: 6 }).work(() => undefined)
    const failed = event(worker, 'error')
    await assert.rejects(worker.ready, { code: 'CONFLICT' })
    assert.equal(((await failed)[0] as { code: string }).code, 'CONFLICT')
  }))

test('messages of one key are handled one at a time and in order, a failing one first of its key again', () =>
  withMemory(async (mq) => {
    const queue = mq.queue<number>('q', { attempts: 3, backoff: quick })
    const seen: Record<string, number[]> = { a: [], b: [] }
    const running = new Set<string>()
    const worker = queue.work(
      async (job) => {
        const key = job.data % 2 === 0 ? 'a' : 'b'
        assert.ok(!running.has(key))
        running.add(key)
        await sleep(2)
        running.delete(key)
        if (job.data === 4 && job.attempt === 1) throw new Error('once')
        seen[key]?.push(job.data)
      },
      { concurrency: 8 },
    )
    for (let n = 0; n < 20; n++) await queue.send(n, { key: n % 2 === 0 ? 'a' : 'b' })
    while (((await queue.stats()).acked ?? 0) < 20) await sleep(5)
    await worker.close()
    assert.deepEqual(seen['a'], [0, 2, 4, 6, 8, 10, 12, 14, 16, 18])
    assert.deepEqual(seen['b'], [1, 3, 5, 7, 9, 11, 13, 15, 17, 19])
  }))
