/**
 * RabbitMQ through amqplib: durable queue, persistent messages, publisher confirms, prefetch, an ack for each. Two
 * connections, as RabbitMQ recommends, without Nagle's delay; the bytes are ready made, so no JSON is counted against it.
 */
import { connect } from 'amqplib'
import { countdown, inLanes, latencies, rateOf } from '../load.mjs'

export async function rabbitmqThrough({ url, messages, warmup, lanes, prefetch, bytes }) {
  let handled
  const bench = await open(url, prefetch, () => handled.done())
  const body = Buffer.alloc(bytes, 'x')
  const rate = await rateOf(messages, warmup, async (count) => {
    handled = countdown(count)
    await Promise.all([inLanes({ lanes, messages: count }, () => bench.publish(body)), handled.promise])
  })
  await bench.close()
  return { rate }
}

export async function rabbitmqLatency({ url, rates, seconds, prefetch, bytes }) {
  let bench
  const result = await latencies({ rates, seconds }, async (arrived) => {
    bench = await open(url, prefetch, (body) => arrived(body.readDoubleLE(0)))
    return (stamp) => {
      const body = Buffer.alloc(bytes, 'x')
      body.writeDoubleLE(stamp, 0)
      void bench.publish(body)
    }
  })
  await bench.close()
  return result
}

async function open(url, prefetch, handle) {
  const [publishing, consuming] = [
    await connect(url, { noDelay: true }),
    await connect(url, { noDelay: true }),
  ]
  const publisher = await publishing.createConfirmChannel()
  const consumer = await consuming.createChannel()
  const { queue } = await publisher.assertQueue(`bench-${process.pid}`, { durable: true })
  await consumer.prefetch(prefetch)
  await consumer.consume(queue, (message) => {
    handle(message.content)
    consumer.ack(message)
  })
  return {
    publish: (body) =>
      new Promise((resolve, reject) => {
        publisher.sendToQueue(queue, body, { persistent: true }, (error) =>
          error ? reject(error) : resolve(),
        )
      }),
    close: async () => {
      await consumer.close()
      await publisher.deleteQueue(queue)
      await publishing.close()
      await consuming.close()
    },
  }
}
