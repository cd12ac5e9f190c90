/** P7: `redis://` with a worker that handles one job at a time. */
import { payload } from './load.mjs'
import { millraceOnRedis, redisPhases } from './redis-load.mjs'

const phases = ['work', 'through']

export default {
  title: 'Redis (AOF every second): 100 B, concurrency 1; messages/s, and processor time of each',
  options: {
    messages: 60_000,
    slow: 20_000,
    warmup: 5_000,
    lanes: 1_000,
    bulk: 250,
    concurrency: 1,
    bytes: 100,
  },
  quick: { messages: 10_000, slow: 5_000, warmup: 1_000 },
  needs: { millrace: 'redis', bullmq: 'redis', 'bee-queue': 'redis', raw: 'redis' },
  contestants: {
    millrace: (context) => run(millraceOnRedis, context, {}),

    async bullmq(context) {
      const { bullmq } = await import('./peers/bullmq.mjs')
      return run(bullmq, context, { messages: context.options.slow })
    },

    async 'bee-queue'(context) {
      const { beeQueue } = await import('./peers/bee-queue.mjs')
      return run(beeQueue, context, { messages: context.options.slow })
    },

    async raw(context) {
      const { rawRedis } = await import('./peers/raw-redis.mjs')
      return run(rawRedis, context, {
        messages: context.options.slow,
        data: JSON.stringify(payload(context.options.bytes)),
      })
    },
  },
  targets: phases.map((metric) => ({ of: 'millrace', to: 'bullmq', metric, atLeast: 3 })),
}

function run(open, context, more) {
  const options = { ...context.options, data: payload(context.options.bytes), ...more }
  return redisPhases(open, { ...context, options }, phases)
}
