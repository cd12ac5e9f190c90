/** On Millrace's own broker the server does by itself what RabbitMQ cannot: delays, retries, keys, de-duplication. */
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

test('what is refused names this broker and a way out that is there', () =>
  withBroker(async (mq) => {
    const queue = mq.queue('q')
    await queue.declare()
    const refused: [Promise<unknown>, RegExp][] = [
      [mq.queues(), /^Millrace's broker over AMQP does not support listing.*millrace queues --url file:/],
      [queue.browse(), /millrace peek --url file:/],
      [queue.purge({ state: 'all' }), /purge the ready ones/],
      [queue.cancel('x'), /AMQP has no word/],
      [queue.pause(), /close the workers/],
    ]
    for (const [call, message] of refused) await assert.rejects(call, { code: 'UNSUPPORTED', message })
    await assert.rejects(mq.queue('p', { declare: false }).stats(), {
      code: 'NOT_FOUND',
      message: 'There is no queue p; declare it first',
    })
  }))

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

test('a delayed message that its exchange routes is held back by each queue', () =>
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

for (const queues of ['quorum', 'classic'] as const) {
  test(`attempts are counted on ${queues} queues, and a message that is released is not at another`, () =>
    withBroker(async (_mq, { url }) => {
      await using mq = await connect(`${url}?queues=${queues}`)
      assert.equal(mq.capabilities.retry.level, 'native')
      const queue = mq.queue('counted', { attempts: 5 })
      await queue.send('x')
      const seen: number[] = []
      for await (const job of queue.consume()) {
        seen.push(job.attempt)
        if (seen.length === 2) await job.release()
        else if (seen.length < 4) await job.retry({ delay: 0 })
        else break
      }
      assert.deepEqual(seen, [1, 2, 2, 3])
    }))
}

test('a dead letter says why, and comes back as it was sent', () =>
  withBroker(async (mq) => {
    const queue = mq.queue<string>('fragile', { attempts: 2, backoff: { type: 'fixed', delay: 1 } })
    await queue.send('x', {
      headers: { tenant: 'acme' },
      key: 'k',
      dedupe: { key: 'd', window: '1h' },
      delay: 5,
    })
    const worker = queue.work(() => {
      throw new Error('no such address')
    })
    await until('it is dead', async () => (await queue.stats()).dead === 1)
    await worker.close()
    for await (const dead of mq.queue('fragile.dead').consume()) {
      assert.equal(dead.headers['x-millrace-error'], 'no such address')
      assert.equal(dead.headers['x-millrace-attempts'], 2)
      assert.equal(dead.headers['tenant'], 'acme')
      await dead.release()
      break
    }
    // It is neither held back nor taken for the duplicate of itself.
    assert.equal(await queue.dead.redrive(), 1)
    for await (const job of queue.consume()) {
      assert.deepEqual([job.data, job.attempt, job.headers['tenant']], ['x', 1, 'acme'])
      await job.ack()
      break
    }
  }))

test('a key keeps its order, and a duplicate is told by the id of the first', () =>
  withBroker(async (mq) => {
    const queue = mq.queue<number>('ordered')
    const seen: string[] = []
    for (let n = 0; n < 20; n += 1) await queue.send(n, { key: n % 2 === 0 ? 'even' : 'odd' })
    const worker = queue.work(
      async (job) => {
        await new Promise((resolve) => setTimeout(resolve, (20 - job.data) / 4))
        seen.push(String(job.data))
      },
      { concurrency: 10 },
    )
    await until('all are there', () => seen.length === 20)
    await worker.close()
    for (const rest of [0, 1]) {
      const ofKey = seen.map(Number).filter((n) => n % 2 === rest)
      assert.deepEqual(
        ofKey,
        ofKey.toSorted((a, b) => a - b),
      )
    }
    const once = { dedupe: { key: 'order 7', window: '1m' } } as const
    const first = await queue.send(1, once)
    const second = await queue.send(2, once)
    assert.deepEqual([first.duplicate, second.duplicate, second.id], [false, true, first.id])
  }))

test('an error as long as a page does not hold its message for ever', () =>
  withBroker(async (mq) => {
    const queue = mq.queue<string>('pages', { attempts: 1 })
    const seen: string[] = []
    await queue.sendMany(['bad', 'good'])
    const worker = queue.work((job) => {
      seen.push(job.data)
      if (job.data === 'bad') throw new Error('x'.repeat(70_000))
    })
    await until('both were handled', () => seen.length === 2)
    await until('it is dead', async () => (await queue.stats()).dead === 1)
    await worker.close()
  }))

test('what the broker would refuse is refused alone, and nothing else on its channel', () =>
  withBroker(async (mq) => {
    const queue = mq.queue<number>('q')
    await queue.declare()
    const good = Promise.all(Array.from({ length: 200 }, (_each, n) => queue.send(n)))
    const bad = [
      queue.send(0, { dedupe: { key: 'k', window: '31d' } }),
      queue.send(0, { ttl: '60d' }),
      queue.send(0, { delay: 1, headers: { large: 'x'.repeat(64_600) } }),
      queue.send(0, { headers: { 'x-millrace-delay': 'soon' } }),
    ]
    const codes = await Promise.all(bad.map((each) => each.catch((error: { code: string }) => error.code)))
    assert.deepEqual(codes, ['INVALID_ARGUMENT', 'INVALID_ARGUMENT', 'HEADERS_TOO_LARGE', 'INVALID_ARGUMENT'])
    await good
    assert.equal((await queue.stats()).ready, 200)
  }))

test("a count of returns that is a publisher's own is not the attempt", () =>
  withBroker(async (mq) => {
    const queue = mq.queue<string>('q', { attempts: 3 })
    await queue.send('x', { headers: { 'x-delivery-count': 7 } })
    for await (const job of queue.consume()) {
      assert.equal(job.attempt, 1)
      await job.ack()
      break
    }
  }))

test('a user who may only read may settle what it holds', async () => {
  await using broker = await startBroker({ port: 0 })
  const { access } = broker.broker.engine
  {
    await using mq = await connect(broker.url)
    await mq.queue('q', { deadLetter: false }).send('x')
  }
  access.grant({ user: 'guest', vhost: '/', configure: '.*', write: '^q', read: '.*' })
  await using mq = await connect(broker.url)
  const seen: number[] = []
  for await (const job of mq.queue('q', { deadLetter: false }).consume()) {
    seen.push(job.attempt)
    if (seen.length === 3) break
    await job.retry({ delay: 1 })
  }
  assert.deepEqual(seen, [1, 2, 3])
})

test('a server of another kind in its place is not worked with: what was asked of the one means nothing to the other', async () => {
  const first = await startBroker({ port: 0 })
  const { port } = first
  await using mq = await connect(first.url)
  const queue = mq.queue<string>('q')
  await queue.send('to Millrace')
  await first.close()
  const second = await startBroker({ port })
  // As RabbitMQ: without our own property.
  delete (second.server.properties as Record<string, unknown>)['millrace']
  await assert.rejects(queue.send('later', { delay: '1h' }), {
    code: 'NOT_ALLOWED',
    message: /connect\(\) anew/,
  })
  await second.close()
})
