/** P15: large bodies through an AMQP broker; its memory is bounded. */
import { deleteQueue, loadPhases, throughAmqp } from './amqp-load.mjs'
import { withBare, withServe } from './brokers.mjs'

export default {
  title: 'AMQP through with bodies of 1 MB, durable, persistent, confirmed, acked; messages/s',
  options: { messages: 2_000, warmup: 100, bytes: 1_000_000, inFlight: 50, prefetch: 50 },
  quick: { messages: 200, warmup: 20 },
  needs: { RabbitMQ: 'rabbitmq' },
  contestants: {
    millrace: ({ options, folder, phase }) => withServe(folder, (url) => throughAmqp(phase, url, options)),
    'bare loop': ({ options, folder, phase }) => withBare(folder, (url) => throughAmqp(phase, url, options)),
    async RabbitMQ({ options, urls, phase }) {
      const result = await throughAmqp(phase, urls.rabbitmq, options)
      await deleteQueue(urls.rabbitmq)
      return result
    },
  },
  phases: loadPhases,
  targets: [
    { of: 'millrace', to: 'RabbitMQ', metric: 'rate', atLeast: 2 },
    { of: 'millrace', to: 'bare loop', metric: 'rate', atLeast: 0.8 },
    { of: 'millrace', metric: 'broker MB', atMost: 500 },
  ],
}
