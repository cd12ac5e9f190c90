/**
 * What the scenarios on Redis do with each contestant: add only, work only, and both at once; beside the rate the processor
 * time per message of this process and of Redis, which other programs on the machine disturb less than the rate.
 *
 * A contestant is a function `({ url }) => queue` of a queue as follows.
 *
 * ```text
 *  send(data), sendMany(list)        resolve when Redis has them
 *  work({ concurrency, handle })     resolves when it takes jobs, with a function that stops it
 *  close()
 * ```
 */
import { performance } from 'node:perf_hooks'
import { setTimeout as sleep } from 'node:timers/promises'
import { createClient } from 'redis'
import { cpuSeconds } from './brokers.mjs'
import { connectMillrace, countdown, inLanes } from './load.mjs'

/** Millrace as its users get it. */
export async function millraceOnRedis({ url }) {
  const mq = await connectMillrace(url)
  const queue = mq.queue('bench')
  return {
    send: (data) => queue.send(data),
    sendMany: (list) => queue.sendMany(list),
    async work({ concurrency, handle }) {
      const worker = queue.work(async (job) => handle(job.data), { concurrency })
      await worker.ready
      return () => worker.close()
    },
    close: () => mq.close(),
  }
}

/** Rates and costs of the phases that are asked for: 'add', 'add bulk', 'work', 'through'. */
export async function redisPhases(open, { options, urls, pids }, phases) {
  await emptied(urls.redis)
  const queue = await open({ url: urls.redis })
  const { concurrency, data } = options
  const count = options.messages
  const result = {}
  const timed = async (name, messages, run) => {
    const cost = await costOf({ messages, redisPid: pids.redis }, run)
    if (name !== undefined) Object.assign(result, named(name, cost))
  }
  const worked = async (name, messages, run) => {
    const arrived = countdown(messages)
    let stop
    await timed(name, messages, async () => {
      stop = await queue.work({ concurrency, handle: () => arrived.done() })
      await Promise.all([arrived.promise, run?.()])
    })
    await stop()
  }
  const add = (messages) => inLanes({ lanes: options.lanes, messages }, () => queue.send(data))
  const list = Array.from({ length: options.bulk }, () => data)
  const bulks = { lanes: options.lanes / options.bulk, messages: count / options.bulk }

  await worked(undefined, options.warmup, () => add(options.warmup))
  let waiting = 0
  for (const phase of phases) {
    if (phase === 'through') {
      await worked(phase, count, () => add(count))
    } else if (phase === 'work') {
      if (waiting === 0) await add((waiting = count))
      await worked(phase, waiting)
      waiting = 0
    } else {
      waiting += count
      await timed(phase, count, () =>
        phase === 'add' ? add(count) : inLanes(bulks, () => queue.sendMany(list)),
      )
    }
  }
  await queue.close()
  return result
}

/** Messages a second, and µs of processor time for each. */
async function costOf({ messages, redisPid }, run) {
  const redisBefore = cpuSeconds(redisPid)
  const nodeBefore = process.cpuUsage()
  const start = performance.now()
  await run()
  const seconds = (performance.now() - start) / 1_000
  const { user, system } = process.cpuUsage(nodeBefore)
  return {
    rate: Math.round(messages / seconds),
    nodeUs: (user + system) / messages,
    redisUs: ((cpuSeconds(redisPid) - redisBefore) * 1e6) / messages,
  }
}

function named(phase, { rate, nodeUs, redisUs }) {
  return {
    [phase]: rate,
    [`${phase}: node µs`]: Number(nodeUs.toPrecision(3)),
    [`${phase}: redis µs`]: Number(redisUs.toPrecision(3)),
  }
}

/** Each contestant begins with an empty server and a new append-only file. */
export async function emptied(url) {
  const client = createClient({ url })
  await client.connect()
  await client.flushAll()
  await client.bgRewriteAof()
  for (;;) {
    const text = await client.info('persistence')
    if (/aof_rewrite_(in_progress|scheduled):1/.exec(text) === null) break
    await sleep(20)
  }
  client.destroy()
}
