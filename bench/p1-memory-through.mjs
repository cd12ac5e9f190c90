/** P1: `memory:` from send to ack, against queues that live in a process. None of the peers has ack, retry and routing. */
import { connectMillrace, countdown, inLanes, millraceThrough, payload, rateOf } from './load.mjs'

export default {
  title: 'memory: send (awaited by 1,000 lanes), handle (concurrency 100), ack; messages/s',
  options: { messages: 1_000_000, warmup: 200_000, lanes: 1_000, concurrency: 100, bytes: 100 },
  quick: { messages: 200_000, warmup: 50_000 },
  contestants: {
    async millrace({ options }) {
      const mq = await connectMillrace('memory:')
      const rate = await millraceThrough(mq.queue('bench'), { ...options, data: payload(options.bytes) })
      await mq.close()
      return { rate }
    },

    async 'p-queue'({ options }) {
      const { default: PQueue } = await import('p-queue')
      const queue = new PQueue({ concurrency: options.concurrency })
      const data = payload(options.bytes)
      return { rate: await inLanesRate(options, () => queue.add(async () => handle(data))) }
    },

    async 'fastq.promise'({ options }) {
      const { default: fastq } = await import('fastq')
      const queue = fastq.promise(async (data) => handle(data), options.concurrency)
      const data = payload(options.bytes)
      return { rate: await inLanesRate(options, () => queue.push(data)) }
    },

    async 'fastq.promise, JSON copy'({ options }) {
      const { default: fastq } = await import('fastq')
      const queue = fastq.promise(async (json) => handle(JSON.parse(json)), options.concurrency)
      const data = payload(options.bytes)
      return { rate: await inLanesRate(options, () => queue.push(JSON.stringify(data))) }
    },

    async 'async.queue'({ options }) {
      const { default: async } = await import('async')
      const queue = async.queue(async (data) => handle(data), options.concurrency)
      const data = payload(options.bytes)
      return { rate: await inLanesRate(options, () => queue.push(data)) }
    },

    /** Synchronous: no promise to await, so a lane is a message of a burst. No copy either. */
    async smqp({ options }) {
      const { Broker } = await import('smqp')
      const broker = new Broker()
      broker.assertQueue('bench', { durable: false, autoDelete: false })
      let handled
      const onMessage = (_key, message) => {
        handle(message.content)
        message.ack()
        handled.done()
      }
      broker.consume('bench', onMessage, { prefetch: options.concurrency })
      const data = payload(options.bytes)
      const rate = await rateOf(options.messages, options.warmup, async (count) => {
        handled = countdown(count)
        for (let sent = 0; sent < count; sent += options.lanes) {
          for (let lane = 0; lane < options.lanes; lane++) broker.sendToQueue('bench', data)
          await new Promise((resolve) => setImmediate(resolve))
        }
        await handled.promise
      })
      return { rate }
    },
  },
  targets: [
    { of: 'millrace', to: 'p-queue', metric: 'rate', atLeast: 1 },
    { of: 'millrace', to: 'smqp', metric: 'rate', atLeast: 2 },
    { of: 'millrace', to: 'fastq.promise, JSON copy', metric: 'rate', atLeast: 0.8 },
  ],
}

let sum = 0
function handle(data) {
  sum += data.id
}

function inLanesRate({ messages, warmup, lanes }, send) {
  return rateOf(messages, warmup, (count) => inLanes({ lanes, messages: count }, send))
}
