/**
 * A CPU-bound job over all cores: the queue hands out ranges, a pool of threads counts the primes in them.
 * A handler that computes by itself would hold up the whole process; one that waits for a thread does not.
 *
 *   npx tsx examples/cpu-bound.ts
 */
import assert from 'node:assert/strict'
import { once } from 'node:events'
import { availableParallelism } from 'node:os'
import { setTimeout as sleep } from 'node:timers/promises'
import { isMainThread, parentPort, Worker } from 'node:worker_threads'
import { connect } from 'millrace'

interface Range {
  from: number
  to: number
}

if (isMainThread) await main()
else parentPort?.on('message', (range: Range) => parentPort?.postMessage(countPrimes(range)))

async function main(): Promise<void> {
  const mq = await connect(process.env.MQ_URL ?? 'file:./data/cpu-bound')
  const ranges = mq.queue<Range>('prime-ranges')
  const cores = availableParallelism()
  const idle = Array.from({ length: cores }, () => new Worker(new URL(import.meta.url)))
  const threads = [...idle]

  const counts = new Map<string, number>()
  ranges.work(
    async (job) => {
      // As many jobs at once as there are threads, so one is idle.
      const thread = idle.pop()
      assert(thread)
      thread.postMessage(job.data)
      const [count]: number[] = await once(thread, 'message')
      assert(count !== undefined)
      idle.push(thread)
      counts.set(job.id, count)
      console.log(`  ${job.data.from} to ${job.data.to}: ${count} primes`)
    },
    { concurrency: cores },
  )

  const step = 100_000
  const jobs = Array.from({ length: 20 }, (_, index) => ({ from: index * step, to: (index + 1) * step }))
  const sent = await ranges.sendMany(jobs)

  while (!sent.every(({ id }) => counts.has(id))) await sleep(20)
  await mq.close()
  await Promise.all(threads.map((thread) => thread.terminate()))

  const sum = sent.reduce((total, { id }) => total + (counts.get(id) ?? 0), 0)
  console.log(`${sum} primes below ${20 * step}, counted on ${cores} threads`)
  assert.equal(sum, 148_933)
}

/** By trial division: slow on purpose. */
function countPrimes({ from, to }: Range): number {
  let count = 0
  for (let n = Math.max(2, from); n < to; n++) {
    let prime = true
    for (let divisor = 2; divisor * divisor <= n && prime; divisor++) prime = n % divisor !== 0
    if (prime) count += 1
  }
  return count
}
