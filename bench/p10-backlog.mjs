/**
 * P10: ten million messages wait in one queue: memory while it fills and while it is worked, throughput against an empty
 * queue, and the start after a crash. Ten million take 11 GB of disk; `--messages 1000000` for a tenth of it.
 */
import { performance } from 'node:perf_hooks'
import { connectMillrace, inLanes, millraceThrough, payload, rateOf } from './load.mjs'

export default {
  title: 'file: a backlog of 1 KB messages; rates in messages/s',
  options: { messages: 10_000_000, through: 1_000_000, lanes: 1_000, concurrency: 100, bytes: 1_024 },
  quick: { messages: 200_000, through: 50_000 },
  rounds: 1,
  contestants: {
    async 'empty queue'({ phase }) {
      const { rate, peakMb } = await phase('through')
      return { rate, 'through MB': peakMb, peakMb }
    },

    async backlog({ phase }) {
      const filled = await phase('fill', { kill: true })
      const restarted = await phase('restart', { kill: true })
      const through = await phase('through')
      return {
        rate: through.rate,
        'fill rate': filled.rate,
        'fill MB': filled.peakMb,
        'restart MB': restarted.peakMb,
        'through MB': through.peakMb,
        'restart ms': restarted.firstMs,
        peakMb: Math.max(filled.peakMb, restarted.peakMb, through.peakMb),
      }
    },
  },
  phases: {
    /** Ends by SIGKILL as soon as all are stored. */
    async fill({ options, folder }) {
      const mq = await connectMillrace(`file:${folder}`)
      const queue = mq.queue('bench')
      await queue.declare()
      const data = payload(options.bytes)
      const rate = await rateOf(options.messages, 0, (messages) =>
        inLanes({ lanes: options.lanes, messages }, () => queue.send(data)),
      )
      return { rate }
    },

    /** From the start of the process (its time origin) to the first message in a handler. The page cache is warm. */
    async restart({ folder }) {
      const mq = await connectMillrace(`file:${folder}`)
      await new Promise((resolve) => mq.queue('bench').work(resolve))
      return { firstMs: Math.round(performance.now()) }
    },

    async through({ options, folder }) {
      const mq = await connectMillrace(`file:${folder}`)
      const load = { ...options, messages: options.through, warmup: options.through / 10 }
      const rate = await millraceThrough(mq.queue('bench'), { ...load, data: payload(options.bytes) })
      await mq.close()
      return { rate }
    },
  },
  targets: [
    { of: 'backlog', metric: 'peakMb', atMost: 400 },
    { of: 'backlog', to: 'empty queue', metric: 'rate', atLeast: 0.8 },
    { of: 'backlog', metric: 'restart ms', atMost: 10_000 },
  ],
}
