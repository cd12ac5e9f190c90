/** P8: Millrace's `amqp://` driver on RabbitMQ against amqplib used by hand, a sender and a worker process at once. */
import { performance } from 'node:perf_hooks'
import { loadPhases, queueName, throughAmqp, withChannel } from './amqp-load.mjs'
import { connectMillrace, inLanes } from './load.mjs'

export default {
  title:
    'amqp:// on RabbitMQ: sender and worker processes at once, 1 KB, durable, confirmed, acked; messages/s',
  options: { messages: 100_000, warmup: 10_000, inFlight: 1_000, prefetch: 500, bytes: 1_024 },
  quick: { messages: 20_000, warmup: 5_000 },
  needs: { millrace: 'rabbitmq', amqplib: 'rabbitmq' },
  contestants: {
    async millrace({ options, urls, phase }) {
      // The same kind of queue for both: classic, which is what amqplib declares.
      await withChannel(urls.rabbitmq, (channel) => channel.assertQueue(queueName, { durable: true }))
      const url = `${urls.rabbitmq}?queues=classic`
      const [worked, sent] = await Promise.all([
        phase('work', { url, load: options }),
        phase('send', { url, load: options }),
      ])
      await withChannel(urls.rabbitmq, (channel) => channel.deleteQueue(queueName))
      return { rate: worked.rate, 'publish rate': sent.rate }
    },

    async amqplib({ options, urls, phase }) {
      const result = await throughAmqp(phase, urls.rabbitmq, options)
      await withChannel(urls.rabbitmq, (channel) => channel.deleteQueue(queueName))
      return result
    },
  },
  phases: {
    ...loadPhases,

    async send({ url, load }) {
      const { messages, warmup, bytes, inFlight } = load
      const mq = await connectMillrace(url)
      const queue = mq.queue(queueName, { declare: false })
      const data = Buffer.alloc(bytes, 'x')
      await inLanes({ lanes: inFlight, messages: warmup }, () => queue.send(data))
      const startMs = performance.now()
      await inLanes({ lanes: inFlight, messages }, () => queue.send(data))
      const rate = Math.round(messages / ((performance.now() - startMs) / 1_000))
      await mq.close()
      return { rate }
    },

    async work({ url, load }) {
      const { messages, warmup, prefetch } = load
      const mq = await connectMillrace(url)
      let received = 0
      let startMs = 0
      const { promise, resolve } = deferred()
      const worker = mq.queue(queueName, { declare: false }).work(
        async () => {
          received += 1
          if (received === warmup) startMs = performance.now()
          if (received === messages + warmup) resolve()
        },
        { concurrency: prefetch },
      )
      await promise
      await worker.close()
      const rate = Math.round(messages / ((performance.now() - startMs) / 1_000))
      await mq.close()
      return { rate }
    },
  },
  targets: [{ of: 'millrace', to: 'amqplib', metric: 'rate', atLeast: 0.9 }],
}

function deferred() {
  let resolve
  const promise = new Promise((yes) => (resolve = yes))
  return { promise, resolve }
}
