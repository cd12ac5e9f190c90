/** On Millrace's own broker the server holds messages back by itself. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { connect } from '../../../src/index.ts'
import type { Client } from '../../../src/index.ts'
import { startBroker } from '../../../src/server/index.ts'
import type { RunningBroker } from '../../../src/server/index.ts'
import { until } from './server.ts'

async function withBroker(run: (mq: Client, broker: RunningBroker) => Promise<void>): Promise<void> {
  await using broker = await startBroker({ port: 0 })
  await using mq = await connect(broker.url)
  await run(mq, broker)
}

test('its delays are its own, and exact', () =>
  withBroker(async (mq, { broker }) => {
    assert.deepEqual(mq.capabilities.delay, { level: 'native', maximumMs: 315_360_000_000, resolutionMs: 1 })
    const startMs = performance.now()
    await mq.queue('q').send('x', { delay: 37, headers: { tenant: 'acme' } })
    for await (const job of mq.queue('q').consume()) {
      assert.ok(performance.now() - startMs >= 36)
      assert.deepEqual(job.headers, { tenant: 'acme' })
      assert.deepEqual([job.exchange, job.routingKey, job.attempt], ['', 'q', 1])
      await job.ack()
      break
    }
    const queues = [...(broker.engine.vhosts.get('/')?.queues.keys() ?? [])]
    assert.ok(!queues.some((name) => name.startsWith('millrace.')), 'no queue is made for it')
  }))

test('a delayed message may have a time to live, and a retried one keeps it', () =>
  withBroker(async (mq) => {
    const queue = mq.queue<string>('q')
    await queue.send('dies', { delay: 20, ttl: 30 })
    await until('it is dead', async () => (await queue.stats()).dead === 1)
    await queue.send('lives', { ttl: '1h' })
    const seen: number[] = []
    for await (const job of queue.consume()) {
      seen.push(job.attempt)
      if (job.attempt === 3) break
      await job.retry({ delay: 10 })
    }
    assert.deepEqual(seen, [1, 2, 3])
  }))

test('a delayed message is routed by its exchange when it is due', () =>
  withBroker(async (mq) => {
    const events = mq.exchange<string>('events', 'topic')
    await mq.queue('europe').bind(events, 'europe.#')
    await mq.queue('sales').bind(events, '#.sales')
    await events.publish('europe.sales', 'both', { delay: 20 })
    await events.publish('europe.hr', 'one', { delay: 10 })
    const seen: unknown[] = []
    for (const name of ['europe', 'sales']) {
      mq.queue(name).work((job) => void seen.push([name, job.data, job.exchange, job.routingKey]))
    }
    await until('all are there', () => seen.length === 3)
    assert.deepEqual(seen.map(String).sort(), [
      'europe,both,events,europe.sales',
      'europe,one,events,europe.hr',
      'sales,both,events,europe.sales',
    ])
  }))
