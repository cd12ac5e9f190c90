/** Closing, failing and calling off, at the worst moment. */
import assert from 'node:assert/strict'
import { getEventListeners } from 'node:events'
import { test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { connect } from '../../src/index.ts'
import type { Job } from '../../src/index.ts'
import { Deferred } from '../../src/std/deferred.ts'

test('a running job may send while the connection closes, to a queue it never used too', async () => {
  const mq = await connect('memory:own')
  const keeper = await connect('memory:own')
  let failed: unknown
  const running = new Deferred<void>()
  const closing = new Deferred<void>()
  const worker = mq.queue('q').work(async () => {
    running.resolve()
    await closing.promise
    await mq.queue('next').send('from the job')
  })
  worker.on('failed', (_job, error) => (failed = error))
  await mq.queue('q').send(1)
  await running.promise
  const closed = mq.close()
  closing.resolve()
  await closed
  assert.equal(failed, undefined)
  assert.equal((await keeper.queue('next').stats()).ready, 1)
  assert.equal((await keeper.queue('q').stats()).ready, 0)
  await assert.rejects(mq.queue('next').send(2), { code: 'CLOSED' })
  await keeper.close()
})

test('sends at once to a queue that was deleted are all stored in it anew', async () => {
  await using mq = await connect('memory:')
  const queue = mq.queue('q')
  await queue.send(0)
  await mq.queue('q').delete()
  const other = mq.queue('q', { attempts: 2 })
  await other.send(0)
  await queue.delete()
  const sent = await Promise.allSettled([other.send(1), other.send(2), other.send(3)])
  assert.deepEqual(
    sent.map((result) => result.status),
    ['fulfilled', 'fulfilled', 'fulfilled'],
  )
  assert.equal((await other.stats()).ready, 3)
})

test('an exchange that others deleted is declared anew by the next publish', async () => {
  await using mq = await connect('memory:')
  const one = mq.exchange('events', 'fanout')
  await one.publish('', 1)
  await mq.exchange('events', 'fanout').delete()
  assert.equal((await one.publish('', 2)).routed, false)
})

test('a send does not overtake one that was called before it', async () => {
  await using mq = await connect('memory:')
  const queue = mq.queue<number>('q')
  const first = queue.send(1)
  await queue.declare()
  await Promise.all([first, queue.send(2)])
  assert.deepEqual(
    (await queue.browse()).map((job) => job.data),
    [1, 2],
  )
})

test('messages with a signal and without keep their order', async () => {
  await using mq = await connect('memory:')
  const queue = mq.queue<number>('q')
  await queue.declare()
  const { signal } = new AbortController()
  const other = new AbortController().signal
  await Promise.all([
    queue.send(1),
    queue.send(2, { signal }),
    queue.send(3, { signal }),
    queue.send(4, { signal: other }),
    queue.send(5),
  ])
  assert.deepEqual(
    (await queue.browse()).map((job) => job.data),
    [1, 2, 3, 4, 5],
  )
})

test('many messages under one signal leave nothing on it', async () => {
  await using mq = await connect('memory:')
  const { signal } = new AbortController()
  const sending = mq.queue('q').sendMany(
    Array.from({ length: 500 }, (_, n) => n),
    { signal },
  )
  await sleep(0)
  assert.ok(getEventListeners(signal, 'abort').length <= 1)
  await sending
  await mq.queue('q').send(1, { signal })
  assert.equal(getEventListeners(signal, 'abort').length, 0)
})

test('jobs leave nothing on the signal of the connection, however they end', async () => {
  await using mq = await connect('memory:')
  const queue = mq.queue<number>('q', { attempts: 1 })
  let lost: AbortSignal | undefined
  const worker = queue.work(
    (job: Job<number>) => {
      lost = job.delivery.lost
      assert.equal(job.signal.aborted, false)
      if (job.data === 1) throw new Error('fails')
      if (job.data === 2) return new Promise(() => undefined)
      return undefined
    },
    { concurrency: 5 },
  )
  await queue.sendMany([0, 1, 2])
  while (worker.running === 0 || lost === undefined) await sleep(2)
  await sleep(20)
  await worker.close({ timeout: 5 })
  assert.ok(lost !== undefined)
  assert.equal(getEventListeners(lost, 'abort').length, 0)
})

test('an iteration that cannot begin is over, and leaves nothing on its signal', async () => {
  await using mq = await connect('memory:')
  const { signal } = new AbortController()
  const messages = mq.queue('not-there', { declare: false }).consume({ signal })
  await assert.rejects(messages.next(), { code: 'NOT_FOUND' })
  await sleep(0)
  assert.equal(getEventListeners(signal, 'abort').length, 0)
  await assert.rejects(messages.next(), { code: 'NOT_FOUND' })
})

test('close while the iteration waits ends it', async () => {
  await using mq = await connect('memory:')
  const messages = mq.queue('q').consume()
  const next = messages.next()
  await sleep(5)
  await messages.close()
  assert.deepEqual(await next, { done: true, value: undefined })
})

test('a job whose asynchronous schema outlasts the close of its worker is not run', async () => {
  await using mq = await connect('memory:')
  let pass: () => void = () => undefined
  const schema = {
    '~standard': {
      version: 1 as const,
      vendor: 'test',
      validate: (value: unknown) =>
        new Promise<{ value: unknown }>((resolve) => (pass = () => resolve({ value }))),
    },
  }
  await mq.queue('q').send(1)
  let runs = 0
  const unasked = pass
  const worker = mq.queue('q', { schema }).work(() => (runs += 1))
  while (pass === unasked) await sleep(2)
  await worker.close({ timeout: 1 })
  pass()
  await sleep(5)
  assert.equal(runs, 0)
  assert.equal((await mq.queue('q').stats()).ready, 1)
})

test('concurrency that changes while the worker opens counts', async () => {
  await using mq = await connect('memory:')
  const queue = mq.queue('q')
  await queue.sendMany([1, 2, 3])
  let most = 0
  const worker = queue.work(
    async () => {
      most = Math.max(most, worker.running)
      while (most < 3) await sleep(2)
    },
    { concurrency: 1 },
  )
  worker.concurrency = 3
  await worker.ready
  while (((await queue.stats()).acked ?? 0) < 3) await sleep(5)
  assert.equal(most, 3)
})

test('idle is told when the queue is empty, not between two jobs', async () => {
  await using mq = await connect('memory:')
  const queue = mq.queue('q')
  await queue.sendMany([1, 2, 3, 4])
  const worker = queue.work(() => sleep(1))
  const acked: number[] = []
  worker.on('idle', () => {
    void queue.stats().then((stats) => acked.push(stats.acked ?? 0))
  })
  while (acked.length === 0) await sleep(2)
  await sleep(10)
  assert.deepEqual(acked, [4])
})

test('a request that meets the close of its connection is told CLOSED, and keeps no timer', async () => {
  const mq = await connect('memory:')
  const asking = mq.request('nobody', 1, { timeout: '30s' })
  const closing = mq.close()
  await assert.rejects(asking, { code: 'CLOSED' })
  await closing
})

test('a request whose signal is aborted before it is not sent', async () => {
  await using mq = await connect('memory:')
  await mq.queue('r', { deadLetter: false }).declare()
  await assert.rejects(mq.request('r', 1, { signal: AbortSignal.abort() }), { code: 'ABORTED' })
  assert.equal((await mq.queue('r', { deadLetter: false }).stats()).published, 0)
})
