/**
 * The public API as the product's definition shows it, statement by statement and without a type argument more: it compiles
 * under `strict`, and it runs. What it must not accept is marked with what the compiler says.
 */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { connect } from 'millrace'
import type { Client, Job } from 'millrace'
import { z } from 'zod'

interface Order {
  readonly id: number
}

/** What the handlers of the text do, and who waits for it. */
class Seen {
  readonly #seen: unknown[] = []
  #tell: (() => void) | undefined

  add(what: unknown): void {
    this.#seen.push(what)
    this.#tell?.()
  }

  async until(count: number): Promise<unknown[]> {
    while (this.#seen.length < count) await new Promise<void>((resolve) => (this.#tell = resolve))
    return this.#seen.splice(0)
  }
}

function declareEmails(mq: Client) {
  return mq.queue<{ to: string }>('emails', {
    schema: z.object({ to: z.email() }),
    attempts: 5,
    backoff: { type: 'exponential', delay: '1s', max: '1h', jitter: 0.2 },
    timeout: '30s',
  })
}

test('work queues', async () => {
  await using mq = await connect(process.env['PRODUCT_URL'] ?? 'memory:')
  const emails = declareEmails(mq)

  const { id } = await emails.send({ to: 'a@b.co' }, { delay: '5m' })
  await emails.sendMany([{ to: 'a@b.co' }, { to: 'd@e.fr' }])
  const due = new Date(Date.now() + 60_000)
  await emails.send(
    { to: 'a@b.co' },
    { at: due, priority: 3, ttl: '1h', id: 'own', headers: { tenant: 't' } },
  )
  await emails.send({ to: 'a@b.co' }, { dedupe: { key: 'k', window: '1h' }, key: 'ordering', delay: 10 })

  const mails = new Seen()
  const deliverMail = async (data: { to: string }, options: { signal: AbortSignal }): Promise<void> => {
    await Promise.resolve(options.signal.throwIfAborted())
    mails.add(data.to)
  }
  const worker = emails.work(
    async (job) => {
      const facts = [job.id, job.data, job.attempt, job.headers, job.signal, job.sentAt] as const
      assert.ok(facts.every((fact) => fact !== undefined))
      await deliverMail(job.data, { signal: job.signal })
    },
    { concurrency: 10 },
  )
  worker.on('failed', (job, error) => mails.add([job.id, error.message]))
  worker.on('completed', () => undefined).on('retrying', (_job, _error, delayMs) => void (delayMs * 2))
  worker
    .on('dead', (job, error) => void [job.data.to, error.message])
    .on('error', (error) => void error.message)
  worker.on('idle', () => undefined)
  assert.deepEqual(await mails.until(3), ['a@b.co', 'd@e.fr', 'a@b.co'])
  await worker.close()

  await emails.sendMany([{ to: 'a@b.co' }, { to: 'd@e.fr' }])
  const pulled: string[] = []
  for await (const job of emails.consume({ prefetch: 100 })) {
    pulled.push(job.data.to)
    if (pulled.length === 1) await job.dead()
    else if (pulled.length === 2) {
      await job.ack()
      break
    } else await (job.attempt > 1 ? job.retry() : job.release())
  }

  const { ready, unacked, delayed, dead, oldestMs, consumers } = await emails.stats()
  assert.deepEqual(
    { ready, unacked, delayed, dead, oldestMs, consumers },
    { ready: 0, unacked: 0, delayed: 2, dead: 1, oldestMs: 0, consumers: 0 },
  )
  assert.equal((await emails.browse({ state: 'dead', limit: 50 })).length, 1)
  assert.equal(await emails.dead.redrive(), 1)
  assert.equal(await emails.purge(), 1)
  assert.equal(await emails.cancel(id), true)
  await emails.pause()
  await emails.resume()
  await emails.delete()
})

test('backoff is a function too, or fixed', async () => {
  await using mq = await connect('memory:')
  mq.queue('a', { backoff: (attempt, error) => attempt * (error instanceof RangeError ? 1 : 1_000) })
  mq.queue('b', { backoff: { type: 'fixed', delay: '10s' } })
})

test('publish, subscribe and routing', async () => {
  await using mq = await connect('memory:')
  const order: Order = { id: 7 }
  const seen = new Seen()

  const orders = mq.exchange<Order>('orders', 'topic')
  await orders.publish('order.created.eu', order)
  const screen = orders.subscribe('order.*.eu', (msg) => seen.add(msg.data.id))
  const billing = orders.subscribe('order.#', (msg) => seen.add(msg.data.id), { group: 'billing' })
  await mq.queue('audit').bind(orders, '#')

  await Promise.all([screen.ready, billing.ready])
  await orders.publish('order.created.eu', order)
  assert.deepEqual(await seen.until(2), [7, 7])
  assert.equal((await mq.queue('audit').stats()).ready, 1)
})

test('request and reply', async () => {
  await using mq = await connect('memory:')
  mq.reply('math.add', async (msg) => msg.data.a + msg.data.b)
  const sum = await mq.request<number>('math.add', { a: 1, b: 2 }, { timeout: '2s' })
  assert.equal(sum, 3)
})

test('namespaces keep applications apart', async () => {
  await using mq = await connect('memory:product', { namespace: 'one' })
  await using other = await connect('memory:product', { namespace: 'two' })
  await mq.queue('q').declare()
  assert.deepEqual([await mq.queues(), await other.queues()], [['q', 'q.dead'], []])
})

/** Never run: what the compiler must refuse. */
export function refused(mq: Client): void {
  const emails = declareEmails(mq)
  // @ts-expect-error: no such field
  void emails.send({ to: 'a@b.co', cc: 'd@e.fr' })
  // @ts-expect-error: no such option
  void emails.send({ to: 'a@b.co' }, { dely: '5m' })
  // @ts-expect-error: what no schema or type argument describes is unknown
  mq.queue('untyped').work((job) => job.data.to)
  // @ts-expect-error: nor is what a request without a type argument answers known
  void mq.request('math.add', 1).then((sum) => sum + 1)
  // @ts-expect-error: with a type argument a request is as it says
  mq.reply<{ a: number }>('math.negate', (msg) => -msg.data.b)
  const typed = mq.reply('math.half', (msg: Job<{ n: number }>) => msg.data.n / 2)
  // @ts-expect-error: and so it is with a typed parameter
  typed.on('completed', (job) => job.data.m)
  // @ts-expect-error: no such state
  void emails.browse({ state: 'lost' })
  // @ts-expect-error: no such kind
  mq.exchange('orders', 'tropic')
  // @ts-expect-error: no such event
  typed.on('finished', () => undefined)
}
