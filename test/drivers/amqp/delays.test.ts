/** Delays, retries and dead letters on a server that has none: where they go and what they look like there. */
import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { setTimeout as delay } from 'node:timers/promises'
import type { Client } from '../../../src/index.ts'
import { findRabbitMq } from '../../servers/rabbitmq.ts'
import { endServerAfterTests, until, withWorld } from './server.ts'

const { skip } = await findRabbitMq()
endServerAfterTests()

/** Works the queue and keeps what comes, with where it came from. */
async function collect(mq: Client, name: string): Promise<unknown[][]> {
  const seen: unknown[][] = []
  const worker = mq.queue(name).work((job) => void seen.push([job.data, job.exchange, job.routingKey]))
  await worker.ready
  return seen
}

describe('amqp on RabbitMQ', { skip }, () => {
  for (const type of ['quorum', 'classic'] as const) {
    test(`a delay and a retry on ${type} queues`, () =>
      withWorld(async ({ connect, server, vhost }) => {
        const mq = await connect(`&queues=${type}`)
        const startMs = performance.now()
        const attempts: number[] = []
        const worker = mq.queue('q').work(
          (job) => {
            attempts.push(job.attempt)
            if (job.attempt < 3) throw new Error('again')
          },
          { backoff: { type: 'fixed', delay: 40, jitter: 0 } },
        )
        await worker.ready
        await mq.queue('q').send('x', { delay: 100 })
        await until('it was tried thrice', () => attempts.length === 3)
        assert.deepEqual(attempts, [1, 2, 3])
        assert.ok(performance.now() - startMs >= 180)
        const names = await server.queueNames(vhost)
        assert.ok(
          names.includes('millrace.delay.64ms') && !names.includes('millrace.delay.1s'),
          'only the levels in use',
        )
      }))
  }

  test('a delayed message is routed by its exchange when it is due, by its own key', () =>
    withWorld(async ({ connect }) => {
      const mq = await connect()
      const events = mq.exchange<string>('events', 'topic')
      const key = `europe.sales.${'x'.repeat(220)}`
      await mq.queue('exact').bind(events, key)
      await mq.queue('europe').bind(events, 'europe.#')
      await mq.queue('sales').bind(events, '#.sales')
      await mq.queue('three').bind(events, '*.*.*')
      await events.publish(key, 'long', { delay: 30 })
      await events.publish('sales', 'short', { delay: 30 })
      const seen = {
        exact: await collect(mq, 'exact'),
        europe: await collect(mq, 'europe'),
        sales: await collect(mq, 'sales'),
        three: await collect(mq, 'three'),
      }
      await until('all are there', () => Object.values(seen).flat().length === 4)
      await delay(100)
      const long = ['long', 'events', key]
      assert.deepEqual(seen, {
        exact: [long],
        europe: [long],
        three: [long],
        sales: [['short', 'events', 'sales']],
      })
    }))

  test('queues of long and odd names have their delays to themselves', () =>
    withWorld(async ({ connect }) => {
      const mq = await connect()
      const names = ['europe.sales', 'sales', '#', '*', '*.sales', `${'n'.repeat(250)}.q`, '邮件 😀']
      // Without the dead-letter queue, for whose name the longest leaves no room.
      for (const name of names) mq.queue(name, { deadLetter: false })
      const seen = await Promise.all(names.map((name) => collect(mq, name)))
      await Promise.all(names.map((name) => mq.queue(name).send(name, { delay: 20 })))
      await until('all are there', () => seen.every((each) => each.length > 0))
      await delay(50)
      assert.deepEqual(
        seen,
        names.map((name) => [[name, '', name]]),
      )
    }))

  test('a queue that was deleted and declared again by others gets its delayed messages', () =>
    withWorld(async ({ connect }) => {
      const mq = await connect()
      const other = await connect()
      await mq.queue('q').send('first', { delay: 20 })
      await other.queue('q').delete()
      await other.queue('q').declare()
      await delay(1_050)
      const seen = await collect(other, 'q')
      await mq.queue('q').send('second', { delay: 20 })
      await until('it comes', () => seen.length > 0)
      assert.deepEqual(seen, [['second', '', 'q']])
    }))

  test('what finds its queue deleted is kept apart for a look', () =>
    withWorld(async ({ connect, server, vhost }) => {
      const mq = await connect()
      // On a machine that stands still meanwhile it is in its queue before that is deleted: then once more, with more time.
      for (let delayMs = 100, tookMs = Infinity; tookMs >= delayMs / 2; delayMs *= 2) {
        const fromMs = performance.now()
        await mq.queue('q').send('orphan', { delay: delayMs })
        await mq.queue('q').delete()
        tookMs = performance.now() - fromMs
      }
      await until('it is among the lost', async () => (await lostCount(mq)) >= 1)
      assert.ok((await server.queueNames(vhost)).includes('millrace.delay.lost'))
    }))

  test('a message that dies again and again is no circle', () =>
    withWorld(async ({ connect }) => {
      const mq = await connect()
      const queue = mq.queue<string>('q')
      let runs = 0
      const worker = queue.work(
        () => {
          runs += 1
          throw new Error('no')
        },
        { attempts: 2, backoff: { type: 'fixed', delay: 5, jitter: 0 } },
      )
      await worker.ready
      await queue.send('x')
      for (let round = 1; round <= 3; round += 1) {
        await until('it is dead', async () => (await queue.stats()).dead === 1)
        assert.equal(runs, round * 2)
        if (round < 3) assert.equal(await queue.dead.redrive(), 1)
      }
      for await (const job of mq.queue('q.dead').consume()) {
        const [latest] = job.headers['x-death'] as readonly { count?: number; queue?: string }[]
        assert.deepEqual([latest?.queue, latest?.count], ['q', 3])
        await job.ack()
        break
      }
    }))

  test('a queue declared elsewhere has its dead letters made by the server', () =>
    withWorld(async ({ connect }) => {
      const owner = await connect()
      await owner.queue('q').send('x')
      const mq = await connect()
      for await (const job of mq.queue('q', { declare: false }).consume()) {
        await job.dead('no reason can be given')
        break
      }
      await until('it is dead', async () => (await owner.queue('q').stats()).dead === 1)
    }))

  test('exclusive consumers: refused on quorum queues, kept on classic ones', () =>
    withWorld(async ({ connect }) => {
      const mq = await connect()
      const refused = mq.queue('q').work(() => undefined, { exclusive: true })
      refused.on('error', () => undefined)
      await assert.rejects(refused.ready, { code: 'UNSUPPORTED', message: /singleActiveConsumer/ })
      const classic = await connect('&queues=classic')
      const first = classic.queue('c').work(() => undefined, { exclusive: true })
      await first.ready
      const second = classic.queue('c').work(() => undefined)
      second.on('error', () => undefined)
      await assert.rejects(second.ready, { code: 'ACCESS_REFUSED' })
    }))

  test('credit of a worker that stands alone on its queue changes too', () =>
    withWorld(async ({ connect }) => {
      const mq = await connect()
      const queue = mq.queue<number>('q', { singleActiveConsumer: true })
      await queue.sendMany([...Array(10).keys()])
      let running = 0
      let most = 0
      let release: () => void = () => undefined
      const held = new Promise<void>((resolve) => (release = resolve))
      const worker = queue.work(async () => {
        running += 1
        most = Math.max(most, running)
        await held
        running -= 1
      })
      await worker.ready
      await until('one is running', () => running === 1)
      worker.concurrency = 4
      await until('four are running', () => running === 4)
      await delay(100)
      assert.equal(most, 4)
      release()
      await worker.close()
    }))
})

async function lostCount(mq: Client): Promise<number> {
  return (await mq.queue('millrace.delay.lost', { declare: false, deadLetter: false }).stats()).ready
}
