/** Lines 60 to 62: where failed messages end, and the way back. */
import assert from 'node:assert/strict'
import type { Client } from '../client/client.ts'
import type { Worker } from '../client/worker.ts'
import type { FieldTable, FieldValue } from '../model/field-table.ts'
import { assertFigures } from './figures.ts'
import { at, quietMs, range } from './inbox.ts'
import type { Line } from './line.ts'
import { assertUnsupported, rejection } from './trial.ts'
import type { Trial } from './trial.ts'

export const deadLetterLines: readonly Line[] = [
  { number: 60, title: 'after its attempts a message is dead-lettered once', run: deadOnce },
  {
    number: 61,
    title: 'the dead letter keeps the body and says reason, queue, attempts, error',
    run: deadLetterSays,
  },
  { number: 62, title: 'redrive resets attempts', run: redriveResets },
]

interface Order {
  readonly order: number
}

const attempts = 3

/** A worker that fails every job, and what it saw. */
async function failingWorker(
  client: Client,
): Promise<{ worker: Worker<Order>; tried: number[]; dead: number[]; errors: Error[] }> {
  const tried: number[] = []
  const dead: number[] = []
  const errors: Error[] = []
  const worker = client.queue<Order>('q').work(
    (job) => {
      tried.push(job.attempt)
      throw new Error(`no stock for ${job.data.order}`)
    },
    { attempts, backoff: { type: 'fixed', delay: 10, jitter: 0 } },
  )
  worker.on('dead', (job) => dead.push(job.data.order))
  worker.on('error', (error) => errors.push(error))
  await worker.ready
  return { worker, tried, dead, errors }
}

async function deadOnce(trial: Trial): Promise<void> {
  const client = await trial.client()
  const { tried, dead, errors } = await failingWorker(client)
  const queue = client.queue<Order>('q')
  await queue.send({ order: 1 })
  await trial.eventually('it is dead', () => dead.length > 0)
  await trial.sleep(quietMs)
  assert.deepEqual(tried, [1, 2, 3])
  assert.deepEqual(dead, [1])
  assert.deepEqual(errors, [])
  const stats = await queue.stats()
  assertFigures(stats, { ready: 0, unacked: 0, delayed: 0, dead: 1 })
}

async function deadLetterSays(trial: Trial): Promise<void> {
  const client = await trial.client()
  const { dead } = await failingWorker(client)
  const queue = client.queue<Order>('q')
  const { id } = await queue.send({ order: 7 }, { headers: { tenant: 'acme' } })
  await trial.eventually('it is dead', () => dead.length > 0)
  const letter = await deadLetterOf(trial, client)
  assert.deepEqual(letter.data, { order: 7 })
  assert.equal(letter.id, id)
  assert.equal(letter.headers['tenant'], 'acme')
  assert.equal(letter.headers['x-millrace-reason'], 'attempts')
  assert.equal(letter.headers['x-millrace-error'], 'no stock for 7')
  assert.equal(letter.headers['x-millrace-attempts'], attempts)
  const death = deathOf(letter.headers)
  assert.equal(death['queue'], 'q')
  assert.equal(death['reason'], 'rejected')
  assert.ok(death['time'] instanceof Date)
}

/** The one dead letter: looked at, or taken where the engine cannot just look. */
async function deadLetterOf(
  trial: Trial,
  client: Client,
): Promise<{ data: unknown; id: string; headers: FieldTable }> {
  const queue = client.queue<Order>('q')
  if (client.capabilities.browse.level !== 'none') {
    const letters = await queue.dead.browse()
    assert.equal(letters.length, 1)
    return at(letters, 0)
  }
  assertUnsupported(await rejection(queue.dead.browse()), 'browse')
  trial.note('taken from the dead-letter queue: the engine cannot look without taking')
  for await (const job of client.queue<Order>('q.dead').consume()) {
    await job.ack()
    return job
  }
  throw new assert.AssertionError({ message: 'there is no dead letter' })
}

/** The newest death, as RabbitMQ tells it. */
function deathOf(headers: FieldTable): FieldTable {
  const deaths = headers['x-death']
  assert.ok(Array.isArray(deaths), 'x-death is an array')
  const death: unknown = at(deaths as readonly FieldValue[], 0)
  assert.ok(typeof death === 'object' && death !== null && !Array.isArray(death))
  return { ...death }
}

async function redriveResets(trial: Trial): Promise<void> {
  const client = await trial.client()
  const queue = client.queue<Order>('q')
  const failing = await failingWorker(client)
  await queue.sendMany(range(5).map((order) => ({ order })))
  await trial.eventually('all are dead', () => failing.dead.length === 5)
  await failing.worker.close()
  assert.equal(await queue.dead.redrive({ limit: 2 }), 2)
  assert.equal((await queue.stats()).dead, 3)
  assert.equal(await queue.dead.redrive(), 3)
  const stats = await queue.stats()
  assert.deepEqual([stats.ready, stats.dead], [5, 0])
  const orders: number[] = []
  const worker = queue.work((job) => {
    assert.equal(job.attempt, 1, 'the attempts start anew')
    orders.push(job.data.order)
  })
  await trial.eventually('all are done', () => orders.length === 5)
  await worker.close()
  assert.deepEqual(
    [...orders].sort((a, b) => a - b),
    range(5),
  )
  assert.equal((await queue.stats()).dead, 0)
}
