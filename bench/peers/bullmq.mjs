/** BullMQ on Redis, as its documentation has it: one `add` awaited per lane, a worker in the same process. */
import { Queue, Worker } from 'bullmq'
import { Redis } from 'ioredis'
import { countdown, inLanes, latencies, rateOf } from '../load.mjs'

export async function bullmqThrough({ url, messages, warmup, lanes, concurrency, data }) {
  const bench = await open(url, concurrency, () => handled.done())
  let handled
  const rate = await rateOf(messages, warmup, async (count) => {
    handled = countdown(count)
    await Promise.all([
      inLanes({ lanes, messages: count }, () => bench.queue.add('job', data)),
      handled.promise,
    ])
  })
  await bench.close()
  return { rate }
}

export async function bullmqLatency({ url, rates, seconds, concurrency, data }) {
  let bench
  const result = await latencies({ rates, seconds }, async (arrived) => {
    bench = await open(url, concurrency, (job) => arrived(job.data.stamp))
    return (stamp) => void bench.queue.add('job', { ...data, stamp })
  })
  await bench.close()
  return result
}

async function open(url, concurrency, handle) {
  const connection = () => new Redis(url, { maxRetriesPerRequest: null })
  const [adding, working] = [connection(), connection()]
  const queue = new Queue('bench', {
    connection: adding,
    defaultJobOptions: { removeOnComplete: true, attempts: 5 },
  })
  await queue.waitUntilReady()
  const worker = new Worker('bench', async (job) => handle(job), { connection: working, concurrency })
  await worker.waitUntilReady()
  return {
    queue,
    close: async () => {
      await worker.close()
      await queue.obliterate({ force: true })
      await queue.close()
      adding.disconnect()
      working.disconnect()
    },
  }
}

/** As the scenarios on Redis take it (redis-load.mjs). */
export async function bullmq({ url }) {
  const connection = new Redis(url, { maxRetriesPerRequest: null })
  const queue = new Queue('bench', {
    connection,
    defaultJobOptions: { removeOnComplete: true, attempts: 5 },
  })
  await queue.waitUntilReady()
  return {
    send: (data) => queue.add('job', data),
    sendMany: (list) => queue.addBulk(list.map((data) => ({ name: 'job', data }))),
    async work({ concurrency, handle }) {
      const working = new Redis(url, { maxRetriesPerRequest: null })
      const worker = new Worker('bench', async (job) => handle(job.data), {
        connection: working,
        concurrency,
      })
      await worker.waitUntilReady()
      return async () => {
        await worker.close()
        working.disconnect()
      }
    },
    close: async () => {
      await queue.close()
      connection.disconnect()
    },
  }
}
