/** P17: what an idle broker with a hundred consumers costs. */
import { setTimeout as sleep } from 'node:timers/promises'
import { connect } from 'amqplib'
import { cpuSeconds, withServe } from './brokers.mjs'

export default {
  title:
    'AMQP: processor time of an idle broker with 100 consumers on 100 connections, in % of one processor',
  options: { consumers: 100, seconds: 30 },
  quick: { seconds: 5 },
  rounds: 1,
  needs: { RabbitMQ: 'rabbitmq' },
  contestants: {
    millrace: ({ options, folder }) => withServe(folder, (url, { pid }) => idle(options, url, pid)),
    RabbitMQ: ({ options, urls, pids }) => idle(options, urls.rabbitmq, pids.rabbitmq),
  },
  targets: [{ of: 'millrace', metric: 'idle %', atMost: 0.3 }],
}

async function idle({ consumers, seconds }, url, pid) {
  const connections = []
  for (let index = 0; index < consumers; index++) {
    const connection = await connect(`${url}?heartbeat=30`, { noDelay: true })
    const channel = await connection.createChannel()
    const { queue } = await channel.assertQueue('', { exclusive: true })
    await channel.consume(queue, () => undefined)
    connections.push(connection)
  }
  await sleep(2_000)
  const before = cpuSeconds(pid)
  await sleep(seconds * 1_000)
  const used = cpuSeconds(pid) - before
  await Promise.all(connections.map((connection) => connection.close()))
  return { 'idle %': Number(((used / seconds) * 100).toFixed(2)) }
}
