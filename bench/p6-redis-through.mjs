/** P6: `redis://` from send to ack in one process, and each half alone, against other queues on the same Redis. */
import { payload } from './load.mjs'
import { millraceOnRedis, redisPhases } from './redis-load.mjs'

const phases = ['add', 'add bulk', 'work', 'through']

export default {
  title:
    'Redis (AOF every second): 100 B, 1,000 lanes, concurrency 100; messages/s, and processor time of each',
  options: {
    messages: 200_000,
    slow: 40_000,
    warmup: 20_000,
    lanes: 1_000,
    bulk: 250,
    concurrency: 100,
    bytes: 100,
  },
  quick: { messages: 20_000, slow: 10_000, warmup: 5_000 },
  needs: { millrace: 'redis', bullmq: 'redis', 'bee-queue': 'redis', raw: 'redis' },
  contestants: {
    millrace: (context) => run(millraceOnRedis, context, {}),

    /** A fraction of the messages: its rate does not depend on how many there are, and its round would take a minute. */
    async bullmq(context) {
      const { bullmq } = await import('./peers/bullmq.mjs')
      return run(bullmq, context, { messages: context.options.slow, warmup: context.options.slow / 4 })
    },

    async 'bee-queue'(context) {
      const { beeQueue } = await import('./peers/bee-queue.mjs')
      return run(beeQueue, context, { messages: context.options.slow, warmup: context.options.slow / 4 })
    },

    /** Text that is ready, and nobody parses it. */
    async raw(context) {
      const { rawRedis } = await import('./peers/raw-redis.mjs')
      return run(rawRedis, context, { data: JSON.stringify(payload(context.options.bytes)) })
    },
  },
  targets: phases.flatMap((metric) => [
    { of: 'millrace', to: 'bullmq', metric, atLeast: 6 },
    { of: 'millrace', to: 'raw', metric, atLeast: 0.5 },
  ]),
}

function run(open, context, more) {
  const options = { ...context.options, data: payload(context.options.bytes), ...more }
  return redisPhases(open, { ...context, options }, phases)
}
