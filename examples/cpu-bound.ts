/**
 * A CPU-bound job over all cores: the queue hands out ranges, a pool of threads counts the primes in them.
 * A handler that computes by itself would hold up the whole process; one that waits for a thread does not.
 *
 *   npx tsx examples/cpu-bound.ts [--url redis://localhost]
 */
import assert from 'node:assert/strict'
import { once } from 'node:events'
import { availableParallelism } from 'node:os'
import { setTimeout as sleep } from 'node:timers/promises'
import { Worker as Thread } from 'node:worker_threads'
import { connect } from 'millrace'
import { commandLine } from './command-line.ts'

const { url } = commandLine('file:./data/cpu-bound')
const mq = await connect(url)
const ranges = mq.queue<{ from: number; to: number }>('prime-ranges')

const cores = availableParallelism()
const threads = Array.from(
  { length: cores },
  () => new Thread(new URL('cpu-bound-thread.mjs', import.meta.url)),
)
const idle = [...threads]

const counts = new Map<string, number>()
const worker = ranges.work(
  async (job) => {
    const thread = idle.pop()
    assert(thread, 'as many jobs at once as there are threads, so one is idle')
    thread.postMessage(job.data)
    const [count]: number[] = await once(thread, 'message')
    idle.push(thread)
    counts.set(job.id, count ?? 0)
    console.log(`  ${job.data.from} to ${job.data.to}: ${count} primes`)
  },
  { concurrency: cores },
)
worker.on('failed', (_job, error) => {
  throw error
})

const step = 100_000
const jobs = Array.from({ length: 20 }, (_, index) => ({ from: index * step, to: (index + 1) * step }))
const sent = await ranges.sendMany(jobs)

while (!sent.every(({ id }) => counts.has(id))) await sleep(20)
await mq.close()
await Promise.all(threads.map((thread) => thread.terminate()))

const sum = sent.reduce((total, { id }) => total + (counts.get(id) ?? 0), 0)
console.log(`${sum} primes below ${20 * step}, counted on ${cores} threads`)
assert.equal(sum, 148_933)
