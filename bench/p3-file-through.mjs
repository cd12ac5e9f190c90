/** P3: `file:` from send to ack in one process, against brokers and against SQLite used as a queue. */
import { connectMillrace, millraceThrough, payload, rateOf } from './load.mjs'

export default {
  title: 'file: send of 1 KB (1,000 lanes, each awaits the sync), handle and ack at once; messages/s',
  options: { messages: 200_000, warmup: 20_000, lanes: 1_000, concurrency: 100, prefetch: 500, bytes: 1_024 },
  quick: { messages: 30_000, warmup: 5_000 },
  needs: { rabbitmq: 'rabbitmq', bullmq: 'redis' },
  contestants: {
    async millrace({ options, folder }) {
      return { rate: await through({ options, folder, data: Buffer.alloc(options.bytes, 'x') }) }
    },

    /** As most programs send: an object, written as JSON and read again. */
    async 'millrace, JSON'({ options, folder }) {
      return { rate: await through({ options, folder, data: payload(options.bytes) }) }
    },

    async rabbitmq({ options, urls }) {
      const { rabbitmqThrough } = await import('./peers/rabbitmq.mjs')
      return rabbitmqThrough({ ...options, url: urls.rabbitmq })
    },

    async bullmq({ options, urls }) {
      const { bullmqThrough } = await import('./peers/bullmq.mjs')
      return bullmqThrough({ ...options, url: urls.redis, data: payload(options.bytes) })
    },

    /** A thousand inserted in one transaction, a thousand taken in the next: no promise, handler or ack of its own. */
    async 'SQLite insert + take'({ options, folder }) {
      const { openSqlite } = await import('./peers/sqlite.mjs')
      const { database, insertBatch } = await openSqlite(folder, options)
      const take = database.prepare(
        'DELETE FROM message WHERE id IN (SELECT id FROM message ORDER BY id LIMIT ?) RETURNING body',
      )
      const rate = await rateOf(options.messages, options.warmup, async (count) => {
        for (let taken = 0; taken < count;) {
          insertBatch()
          taken += take.all(options.lanes).length
        }
      })
      database.close()
      return { rate }
    },
  },
  targets: [
    { of: 'millrace', to: 'rabbitmq', metric: 'rate', atLeast: 6 },
    { of: 'millrace', to: 'bullmq', metric: 'rate', atLeast: 6 },
    { of: 'millrace', to: 'SQLite insert + take', metric: 'rate', atLeast: 1 },
  ],
}

async function through({ options, folder, data }) {
  const mq = await connectMillrace(`file:${folder}`)
  const rate = await millraceThrough(mq.queue('bench'), { ...options, data })
  await mq.close()
  return rate
}
