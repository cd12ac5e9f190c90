/** P14: ten thousand queues and as many idle connections with heartbeats: what the broker needs for them. */
import { setTimeout as sleep } from 'node:timers/promises'
import { connect } from 'amqplib'
import { residentMb, withServe } from './brokers.mjs'

export default {
  title: 'AMQP: idle connections with a heartbeat and durable queues; memory of the broker in MB',
  options: { queues: 10_000, connections: 10_000, processes: 2 },
  quick: { queues: 1_000, connections: 500 },
  rounds: 1,
  needs: { RabbitMQ: 'rabbitmq' },
  contestants: {
    millrace: ({ options, folder, phase }) =>
      withServe(folder, (url, { pid }) => held(options, url, pid, phase)),
    RabbitMQ: ({ options, urls, pids, phase }) => held(options, urls.rabbitmq, pids.rabbitmq, phase),
  },
  phases: {
    /** Opens its share and stays for a while, so that all are open at once. */
    async hold({ url, load }) {
      const connections = []
      for (let index = 0; index < load.connections; index++) {
        connections.push(await connect(`${url}?heartbeat=30`, { noDelay: true }))
      }
      const channel = await connections[0].createChannel()
      for (let index = 0; index < load.queues; index++) {
        await channel.assertQueue(`q-${load.share}-${index}`, { durable: true })
      }
      await sleep(load.staySeconds * 1_000)
      return { opened: connections.length }
    },
  },
  targets: [{ of: 'millrace', to: 'RabbitMQ', metric: 'MB for them', atMost: 0.25 }],
}

async function held({ queues, connections, processes }, url, pid, phase) {
  const before = residentMb(pid)
  const staySeconds = 20
  const holding = Array.from({ length: processes }, (_, share) =>
    phase('hold', {
      url,
      load: { share, staySeconds, queues: queues / processes, connections: connections / processes },
    }),
  )
  let most = before
  const watch = setInterval(() => (most = Math.max(most, residentMb(pid) ?? 0)), 500)
  const opened = (await Promise.all(holding)).reduce((sum, share) => sum + share.opened, 0)
  clearInterval(watch)
  return { 'MB before': before, 'MB with them': most, 'MB for them': most - before, opened }
}
