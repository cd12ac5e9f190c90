/** What the scenarios load queues with: payloads, lanes, an open-loop sender, and Millrace's own side of "through". */
import { existsSync } from 'node:fs'
import { createHistogram, performance } from 'node:perf_hooks'

/** Millrace as its users get it. */
export async function connectMillrace(url) {
  const { connect } = await importBuilt('index.js')
  return connect(url)
}

/** A module of `dist/`. */
export async function importBuilt(path) {
  const url = new URL(`../dist/${path}`, import.meta.url)
  if (!existsSync(url)) throw new Error(`dist/${path} does not exist: run npm run build at the root first`)
  return import(url)
}

/** Plain data whose JSON is so many bytes. */
export function payload(bytes) {
  const data = { id: 1_000_000, kind: 'bench', text: '' }
  data.text = 'x'.repeat(bytes - JSON.stringify(data).length)
  return data
}

/** So many lanes at once, each awaiting one `send(index)` before its next. */
export async function inLanes({ lanes, messages }, send) {
  let next = 0
  const lane = async () => {
    while (next < messages) await send(next++)
  }
  await Promise.all(Array.from({ length: Math.min(lanes, messages) }, lane))
}

/** Resolves when `done()` was called so often; rejects when the last call is long ago: messages were lost. */
export function countdown(count, patienceMs = 60_000) {
  let left = count
  let seen = count
  const { promise, resolve, reject } = withResolvers()
  const watch = setInterval(() => {
    if (left === seen)
      reject(new Error(`${left} of ${count} messages did not arrive within ${patienceMs} ms`))
    seen = left
  }, patienceMs)
  return {
    promise: promise.finally(() => clearInterval(watch)),
    done: () => {
      if (--left === 0) resolve()
    },
  }
}

/** Messages a second of what `run` does with so many, after a warm-up that is not counted. */
export async function rateOf(messages, warmup, run) {
  if (warmup > 0) await run(warmup)
  const start = performance.now()
  await run(messages)
  return Math.round(messages / ((performance.now() - start) / 1_000))
}

/** Sends in lanes and handles at once; done when as many were handled as were sent. */
export async function millraceThrough(queue, { messages, lanes, data, warmup, concurrency }) {
  let handled
  const worker = queue.work(async () => handled.done(), { concurrency })
  await worker.ready
  const rate = await rateOf(messages, warmup, async (count) => {
    handled = countdown(count)
    await Promise.all([inLanes({ lanes, messages: count }, () => queue.send(data)), handled.promise])
  })
  await worker.close()
  return rate
}

/**
 * `perSecond` calls of `send(now)` whether or not earlier ones were answered. Timers wake once a millisecond, so at 10,000 a
 * second ten go at a time; each is timed from its own send, and how late the sender was is told apart (`lag`).
 */
export async function openLoop({ perSecond, seconds }, send) {
  const total = perSecond * seconds
  const lag = createHistogram()
  const start = performance.now()
  for (let sent = 0; sent < total;) {
    const now = performance.now()
    const due = Math.min(total, Math.floor(((now - start) / 1_000) * perSecond))
    while (sent < due) {
      lag.record(nanoseconds(now - start - (sent / perSecond) * 1_000))
      sent++
      send(performance.now())
    }
    await new Promise((resolve) => setTimeout(resolve, 1))
  }
  return lag
}

/**
 * p50 and p99 in ms at each rate. `start(arrived)` readies a queue whose consumer calls `arrived(stamp)`, and returns its
 * `send(stamp)`.
 */
export async function latencies({ rates, seconds }, start) {
  let histogram
  let received
  const send = await start((stamp) => {
    histogram.record(nanoseconds(performance.now() - stamp))
    received.done()
  })
  const result = {}
  for (const perSecond of [rates[0], ...rates]) {
    // The first pass warms up and is overwritten by the second.
    histogram = createHistogram()
    received = countdown(perSecond * seconds)
    const lag = await openLoop({ perSecond, seconds }, send)
    await received.promise
    result[`p50 at ${perSecond}/s`] = milliseconds(histogram.percentile(50))
    result[`p99 at ${perSecond}/s`] = milliseconds(histogram.percentile(99))
    result[`lag p99 at ${perSecond}/s`] = milliseconds(lag.percentile(99))
  }
  return result
}

export function nanoseconds(ms) {
  return Math.max(1, Math.round(ms * 1e6))
}

/** Histograms hold no 0: 1 ns stands for none. */
export function milliseconds(ns) {
  return ns === 1 ? 0 : Number((ns / 1e6).toPrecision(3))
}

function withResolvers() {
  let resolve, reject
  const promise = new Promise((yes, no) => {
    resolve = yes
    reject = no
  })
  return { promise, resolve, reject }
}
