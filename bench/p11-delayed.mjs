/**
 * P11: a million messages that are due at random times within an hour; then, with those still held, ten thousand a second
 * become due for a while, and each is checked against its time.
 */
import { createHistogram, performance } from 'node:perf_hooks'
import { connectMillrace, countdown, inLanes, milliseconds, nanoseconds, payload, rateOf } from './load.mjs'

const hourMs = 3_600_000

export default {
  title: 'file: delayed messages over an hour, 100 B; 10,000 due a second, each on time',
  options: {
    messages: 1_000_000,
    perSecond: 10_000,
    seconds: 20,
    lanes: 1_000,
    concurrency: 100,
    bytes: 100,
  },
  quick: { messages: 50_000, seconds: 3 },
  rounds: 1,
  contestants: {
    async millrace({ phase }) {
      const held = await phase('hold', { kill: true })
      const restarted = await phase('restart', { kill: true })
      const due = await phase('due')
      return {
        'send rate': held.rate,
        'restart ms': restarted.readyMs,
        'p50 ms off': due.p50,
        'p99 ms off': due.p99,
        'worst ms off': due.worst,
        'ms early': due.early,
        '% within 50 ms': due.within,
        peakMb: Math.max(held.peakMb, restarted.peakMb, due.peakMb),
      }
    },
  },
  phases: {
    /** Due an hour from the end of the run at the earliest, so that none of them falls into what is measured. */
    async hold({ options, folder }) {
      const mq = await connectMillrace(`file:${folder}`)
      const queue = mq.queue('held')
      await queue.declare()
      const data = payload(options.bytes)
      const rate = await rateOf(options.messages, 0, (messages) =>
        inLanes({ lanes: options.lanes, messages }, () =>
          queue.send(data, { delay: Math.round(hourMs * (1 + Math.random())) }),
        ),
      )
      return { rate }
    },

    /** From the start of the process until all are accounted for and another one went through. */
    async restart({ options, folder }) {
      const mq = await connectMillrace(`file:${folder}`)
      const queue = mq.queue('held')
      const { delayed } = await queue.stats()
      if (delayed !== options.messages) throw new Error(`${delayed} of ${options.messages} came back`)
      const probe = mq.queue('probe')
      const handled = new Promise((resolve) => probe.work(resolve))
      await probe.send(payload(options.bytes))
      await handled
      return { readyMs: Math.round(performance.now()) }
    },

    /** In the queue that holds the million. The sending is over before the first is due. */
    async due({ options, folder }) {
      const mq = await connectMillrace(`file:${folder}`)
      const queue = mq.queue('held')
      const total = options.perSecond * options.seconds
      const off = createHistogram()
      const handled = countdown(total)
      const seen = { within: 0, early: 0 }
      const worker = queue.work(
        async (job) => {
          const late = Date.now() - job.data.due
          if (late < -seen.early) seen.early = -late
          if (Math.abs(late) <= 50) seen.within++
          off.record(nanoseconds(Math.abs(late)))
          handled.done()
        },
        { concurrency: options.concurrency },
      )
      await worker.ready
      const data = payload(options.bytes)
      const start = Date.now() + 2_000 + total / 20
      await inLanes({ lanes: options.lanes, messages: total }, () => {
        const due = start + Math.floor(Math.random() * options.seconds * 1_000)
        return queue.send({ ...data, due }, { at: new Date(due) })
      })
      if (Date.now() > start)
        throw new Error('Sending took longer than the time to the first one that is due')
      await handled.promise
      await mq.close()
      return {
        p50: milliseconds(off.percentile(50)),
        p99: milliseconds(off.percentile(99)),
        worst: milliseconds(off.max),
        early: seen.early,
        within: Number(((100 * seen.within) / total).toFixed(3)),
      }
    },
  },
  targets: [
    { of: 'millrace', metric: 'peakMb', atMost: 300 },
    { of: 'millrace', metric: 'worst ms off', atMost: 50 },
    { of: 'millrace', metric: 'restart ms', atMost: 5_000 },
  ],
}
