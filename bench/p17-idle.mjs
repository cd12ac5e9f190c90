/** P17: what an idle broker with a hundred consumers costs, and an idle worker on Redis. */
import { setTimeout as sleep } from 'node:timers/promises'
import { connect } from 'amqplib'
import { cpuSeconds, withServe } from './brokers.mjs'
import { emptied, millraceOnRedis } from './redis-load.mjs'

export default {
  title:
    'processor time in % of one processor: an idle broker with 100 consumers on 100 connections (AMQP); an idle worker on ' +
    'Redis, the process with the worker (idle) and what Redis needs more than without it',
  options: { consumers: 100, seconds: 30 },
  quick: { seconds: 5 },
  rounds: 1,
  needs: { RabbitMQ: 'rabbitmq', 'redis worker': 'redis', 'BullMQ worker': 'redis' },
  contestants: {
    millrace: ({ options, folder }) => withServe(folder, (url, { pid }) => idle(options, url, pid)),
    RabbitMQ: ({ options, urls, pids }) => idle(options, urls.rabbitmq, pids.rabbitmq),
    'redis worker': (context) => idleWorker(millraceOnRedis, context),

    async 'BullMQ worker'(context) {
      const { bullmq } = await import('./peers/bullmq.mjs')
      return idleWorker(bullmq, context)
    },
  },
  targets: [
    { of: 'millrace', metric: 'idle %', atMost: 0.3 },
    { of: 'redis worker', metric: 'idle %', atMost: 0.3 },
  ],
}

async function idle({ consumers, seconds }, url, pid) {
  const connections = []
  for (let index = 0; index < consumers; index++) {
    const connection = await connect(`${url}?heartbeat=30`, { noDelay: true })
    const channel = await connection.createChannel()
    const { queue } = await channel.assertQueue('', { exclusive: true })
    await channel.consume(queue, () => undefined)
    connections.push(connection)
  }
  await sleep(2_000)
  const used = await percentOf(pid, seconds)
  await Promise.all(connections.map((connection) => connection.close()))
  return { 'idle %': used }
}

async function idleWorker(open, { options: { seconds }, urls, pids }) {
  await emptied(urls.redis)
  const redisAlone = await percentOf(pids.redis, seconds)
  const queue = await open({ url: urls.redis })
  let handled
  const stop = await queue.work({ concurrency: 10, handle: () => handled() })
  await new Promise((resolve) => {
    handled = resolve
    void queue.send({ hello: 'world' })
  })
  await sleep(2_000)
  const [idle, redis] = await Promise.all([percentOf(process.pid, seconds), percentOf(pids.redis, seconds)])
  await stop()
  await queue.close()
  return { 'idle %': idle, 'redis: more %': Number((redis - redisAlone).toFixed(2)) }
}

async function percentOf(pid, seconds) {
  const before = cpuSeconds(pid)
  await sleep(seconds * 1_000)
  return Number((((cpuSeconds(pid) - before) / seconds) * 100).toFixed(2))
}
