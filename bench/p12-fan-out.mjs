/** P12: one message to a hundred queues; each body is stored once in the log. */
import { readdirSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { performance } from 'node:perf_hooks'
import { withChannel } from './amqp-load.mjs'
import { withServe } from './brokers.mjs'

const exchange = 'bench-fan'

export default {
  title: 'AMQP fan-out of 1 KB to 100 durable queues, persistent, confirmed; published messages/s',
  options: { messages: 5_000, warmup: 500, queues: 100, inFlight: 200, bytes: 1_024 },
  quick: { messages: 500, warmup: 50 },
  needs: { RabbitMQ: 'rabbitmq' },
  contestants: {
    millrace: ({ options, folder, phase }) =>
      withServe(folder, async (url) => {
        await declare(url, options)
        const before = logBytes(folder)
        const result = await phase('publish', { url, load: options })
        const bytes = logBytes(folder) - before
        return { ...result, 'log bytes a message': Math.round(bytes / (options.messages + options.warmup)) }
      }),

    async RabbitMQ({ options, urls, phase }) {
      await declare(urls.rabbitmq, options)
      const result = await phase('publish', { url: urls.rabbitmq, load: options })
      await withChannel(urls.rabbitmq, async (channel) => {
        for (let index = 0; index < options.queues; index++) await channel.deleteQueue(`fan-${index}`)
      })
      return result
    },
  },
  phases: {
    publish: ({ url, load }) =>
      withConfirmChannel(url, async (channel) => {
        const body = Buffer.alloc(load.bytes, 'x')
        await publishAll(channel, body, load.warmup, load.inFlight)
        const startMs = performance.now()
        await publishAll(channel, body, load.messages, load.inFlight)
        return { rate: Math.round(load.messages / ((performance.now() - startMs) / 1_000)) }
      }),
  },
  targets: [
    { of: 'millrace', to: 'RabbitMQ', metric: 'rate', atLeast: 3 },
    // Its body once, and some 20 bytes for each queue.
    { of: 'millrace', metric: 'log bytes a message', atMost: 6_000 },
  ],
}

async function declare(url, { queues }) {
  await withChannel(url, async (channel) => {
    await channel.assertExchange(exchange, 'fanout', { durable: true })
    for (let index = 0; index < queues; index++) {
      await channel.assertQueue(`fan-${index}`, { durable: true })
      await channel.bindQueue(`fan-${index}`, exchange, '')
    }
  })
}

async function withConfirmChannel(url, run) {
  const { connect } = await import('amqplib')
  const connection = await connect(url, { noDelay: true })
  const result = await run(await connection.createConfirmChannel())
  await connection.close()
  return result
}

function publishAll(channel, body, count, inFlight) {
  return new Promise((resolve, reject) => {
    let sent = 0
    let confirmed = 0
    const send = () => {
      sent += 1
      channel.publish(exchange, '', body, { persistent: true }, (error) => {
        if (error) return reject(error)
        confirmed += 1
        if (confirmed === count) resolve()
        else if (sent < count) send()
      })
    }
    for (let lane = 0; lane < Math.min(inFlight, count); lane++) send()
  })
}

function logBytes(folder) {
  const log = join(folder, 'log')
  return readdirSync(log).reduce((sum, name) => sum + statSync(join(log, name)).size, 0)
}
