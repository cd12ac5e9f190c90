/** P4: through an AMQP broker, a producer process and a consumer process at once. */
import { deleteQueue, loadPhases, throughAmqp } from './amqp-load.mjs'
import { withBare, withServe } from './brokers.mjs'

const sizes = { '16 B': 16, '1 KB': 1_024 }

export default {
  title:
    'AMQP through: producer and consumer processes by amqplib, durable, persistent, confirmed, acked; messages/s',
  options: { messages: 200_000, warmup: 20_000, inFlight: 1_000, prefetch: 500 },
  quick: { messages: 30_000, warmup: 5_000 },
  needs: Object.fromEntries(Object.keys(sizes).map((size) => [`RabbitMQ ${size}`, 'rabbitmq'])),
  contestants: Object.assign(
    {},
    ...Object.entries(sizes).map(([size, bytes]) => ({
      [`millrace ${size}`]: ({ options, folder, phase }) =>
        withServe(folder, (url) => throughAmqp(phase, url, { ...options, bytes })),
      [`bare loop ${size}`]: ({ options, folder, phase }) =>
        withBare(folder, (url) => throughAmqp(phase, url, { ...options, bytes })),
      async [`RabbitMQ ${size}`]({ options, urls, phase }) {
        const result = await throughAmqp(phase, urls.rabbitmq, { ...options, bytes })
        await deleteQueue(urls.rabbitmq)
        return result
      },
    })),
  ),
  phases: loadPhases,
  targets: Object.keys(sizes).flatMap((size) => [
    { of: `millrace ${size}`, to: `RabbitMQ ${size}`, metric: 'rate', atLeast: 3 },
    { of: `millrace ${size}`, to: `bare loop ${size}`, metric: 'rate', atLeast: 0.8 },
  ]),
}
