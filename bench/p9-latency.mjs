/** P9: from `send` to the handler, with a sender that does not wait for answers. */
import { connectMillrace, latencies, payload } from './load.mjs'

export default {
  title: 'latency from send to handler, 1 KB, open loop; ms',
  options: { rates: [1_000, 10_000], seconds: 10, concurrency: 100, prefetch: 500, bytes: 1_024 },
  quick: { seconds: 2 },
  needs: { rabbitmq: 'rabbitmq', bullmq: 'redis', 'millrace redis': 'redis' },
  contestants: {
    'millrace memory': ({ options }) => millraceLatency('memory:', options),

    'millrace file': ({ options, folder }) => millraceLatency(`file:${folder}`, options),

    /** `millrace serve`, with the same client as RabbitMQ. */
    async 'millrace serve'({ options, folder }) {
      const { withServe } = await import('./brokers.mjs')
      const { rabbitmqLatency } = await import('./peers/rabbitmq.mjs')
      return withServe(folder, (url) => rabbitmqLatency({ ...options, url }))
    },

    /** What Node.js and the client leave of it. */
    async 'bare loop'({ options, folder }) {
      const { withBare } = await import('./brokers.mjs')
      const { rabbitmqLatency } = await import('./peers/rabbitmq.mjs')
      return withBare(folder, (url) => rabbitmqLatency({ ...options, url }))
    },
    async rabbitmq({ options, urls }) {
      const { rabbitmqLatency } = await import('./peers/rabbitmq.mjs')
      return rabbitmqLatency({ ...options, url: urls.rabbitmq })
    },

    'millrace redis': ({ options, urls }) => millraceLatency(urls.redis, options),

    async bullmq({ options, urls }) {
      const { bullmqLatency } = await import('./peers/bullmq.mjs')
      return bullmqLatency({ ...options, url: urls.redis, data: payload(options.bytes) })
    },
  },
  targets: [
    { of: 'millrace memory', metric: 'p50 at 1000/s', atMost: 0.05 },
    ...['rabbitmq', 'bullmq'].flatMap((to) => [
      { of: 'millrace file', to, metric: 'p50 at 1000/s', atMost: 0.5 },
      { of: 'millrace file', to, metric: 'p99 at 1000/s', atMost: 1 },
    ]),
    { of: 'millrace serve', to: 'rabbitmq', metric: 'p50 at 1000/s', atMost: 0.5 },
    { of: 'millrace serve', to: 'rabbitmq', metric: 'p99 at 1000/s', atMost: 1 },
    { of: 'millrace redis', to: 'bullmq', metric: 'p50 at 1000/s', atMost: 1 },
    { of: 'millrace redis', to: 'bullmq', metric: 'p99 at 1000/s', atMost: 1 },
  ],
}

async function millraceLatency(url, { rates, seconds, concurrency, bytes }) {
  const mq = await connectMillrace(url)
  const data = payload(bytes)
  const queue = mq.queue('bench')
  const result = await latencies({ rates, seconds }, async (arrived) => {
    await queue.work(async (job) => arrived(job.data.stamp), { concurrency }).ready
    return (stamp) => void queue.send({ ...data, stamp })
  })
  await mq.close()
  return result
}
