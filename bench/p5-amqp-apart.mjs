/** P5: publishing alone, then consuming alone. */
import { apartAmqp, deleteQueue, loadPhases } from './amqp-load.mjs'
import { withServe } from './brokers.mjs'

const sizes = { '16 B': 16, '1 KB': 1_024 }

export default {
  title:
    'AMQP publish only, then consume only, by amqplib, durable, persistent, confirmed, acked; messages/s',
  options: { messages: 200_000, warmup: 20_000, inFlight: 1_000, prefetch: 500 },
  quick: { messages: 30_000, warmup: 5_000 },
  needs: Object.fromEntries(Object.keys(sizes).map((size) => [`RabbitMQ ${size}`, 'rabbitmq'])),
  contestants: Object.assign(
    {},
    ...Object.entries(sizes).map(([size, bytes]) => ({
      [`millrace ${size}`]: ({ options, folder, phase }) =>
        withServe(folder, (url) => apartAmqp(phase, url, { ...options, bytes })),
      async [`RabbitMQ ${size}`]({ options, urls, phase }) {
        const result = await apartAmqp(phase, urls.rabbitmq, { ...options, bytes })
        await deleteQueue(urls.rabbitmq)
        return result
      },
    })),
  ),
  phases: loadPhases,
  targets: Object.keys(sizes).flatMap((size) =>
    ['publish', 'consume'].map((metric) => ({
      of: `millrace ${size}`,
      to: `RabbitMQ ${size}`,
      metric,
      atLeast: 3,
    })),
  ),
}
