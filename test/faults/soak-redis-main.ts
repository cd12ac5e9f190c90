/**
 * `npm run soak:redis -- [minutes]`: half of the load that this machine bears, of all kinds of messages, on a Redis of its own
 * (default 10 minutes). Tells every half minute what memory Redis and this process have, and ends with 1 where it grows: where
 * the median of the last third is above that of the second by more than a twentieth and a little.
 */
import { setFlagsFromString } from 'node:v8'
import { setTimeout as sleep } from 'node:timers/promises'
import { runInNewContext } from 'node:vm'
import { connect } from '../../src/index.ts'
import { RedisServer } from '../servers/redis.ts'
import { brokenKeys } from './redis-keys.ts'

interface Sample {
  readonly redisMb: number
  readonly keys: number
  readonly heapMb: number
  readonly rssMb: number
}

setFlagsFromString('--expose-gc')
const collectGarbage = runInNewContext('gc') as () => void
const minutes = Number(process.argv[2] ?? 10)
const everyMs = minutes < 5 ? minutes * 6_000 : 30_000
const calibrationMs = 5_000
const lanes = 50

const server = await RedisServer.start({ sync: 'everysec' })
const mq = await connect(server.url())
const work = mq.queue<number>('work', { attempts: 3, backoff: () => 20 })
const ranked = mq.queue<number>('ranked', { priorities: 3, ttl: '1h' })
const spare = mq.queue<number>('spare')
const events = mq.exchange<number>('events', 'topic')
const audit = mq.queue<number>('audit')
await audit.bind(events, 'a.#')
await spare.declare()
let handled = 0
let sent = 0
/** Messages a second; unbounded until the machine's load is known. */
let rate = Infinity
let isOver = false

const workers = [
  // One in 200 fails each time, and is dead in the end.
  work.work(
    (job) => {
      handled += 1
      if (job.data % 200 === 0) throw new Error('by lot')
    },
    { concurrency: 50 },
  ),
  ...[ranked, audit, spare].map((queue) => queue.work(() => void (handled += 1), { concurrency: 50 })),
]
const producing = Array.from({ length: lanes }, (_, lane) => produce(lane))

await sleep(calibrationMs)
rate = handled / (calibrationMs / 1_000) / 2
console.log(
  `${(2 * rate).toFixed(0)} messages a second at most; ${rate.toFixed(0)} from here on, for ${minutes} minutes`,
)
const samples: Sample[] = []
for (const endMs = performance.now() + minutes * 60_000; performance.now() < endMs;) {
  await sleep(everyMs)
  await clearTheDead()
  samples.push(await sample())
}
isOver = true
await Promise.all(producing)
await Promise.all(workers.map((worker) => worker.close()))
await mq.close()
const wrong = [...grown(samples), ...(await brokenKeys(server))]
await server.close()
for (const line of wrong) console.log(line)
console.log(wrong.length === 0 ? `steady: ${sent} sent, ${handled} handled` : 'not steady')
process.exitCode = wrong.length === 0 ? 0 : 1

async function produce(lane: number): Promise<void> {
  for (let number = lane; !isOver; number += lanes) {
    const startMs = performance.now()
    await sendOne(number)
    sent += 1
    const leftMs = (1_000 * lanes) / rate - (performance.now() - startMs)
    if (leftMs > 0) await sleep(leftMs)
  }
}

async function sendOne(number: number): Promise<void> {
  switch (Math.floor(number / lanes) % 8) {
    case 0:
      return void (await work.send(number, { delay: number % 500 }))
    case 1:
      return void (await work.send(number, { key: `k${number % 20}` }))
    case 2:
      return void (await work.send(number, { dedupe: { key: String(number), window: '10s' } }))
    case 3:
      return void (await ranked.send(number, { priority: number % 4 }))
    case 4:
      return void (await events.publish('a.b', number))
    default:
      return void (await work.send(number, { ttl: '1h' }))
  }
}

/** Half of them are moved elsewhere, and the others dropped. */
async function clearTheDead(): Promise<void> {
  const { dead } = await work.stats()
  await mq.move('work.dead', 'spare', { limit: Math.max(1, dead >> 1) })
  await work.dead.purge()
}

async function sample(): Promise<Sample> {
  collectGarbage()
  const { heapUsed, rss } = process.memoryUsage()
  const one: Sample = {
    redisMb: Number(await server.info('used_memory')) / 2 ** 20,
    keys: Number(await server.command('DBSIZE')),
    heapMb: heapUsed / 2 ** 20,
    rssMb: rss / 2 ** 20,
  }
  console.log(
    `${((performance.now() - calibrationMs) / 60_000).toFixed(1)} min: Redis ${one.redisMb.toFixed(1)} MB in ${one.keys} keys, ` +
      `worker ${one.heapMb.toFixed(1)} MB of heap, ${one.rssMb.toFixed(0)} MB resident; ${handled} handled`,
  )
  return one
}

/** The first third is for what fills up: windows of de-duplication, transfers, caches. */
function grown(all: readonly Sample[]): string[] {
  const third = Math.floor(all.length / 3)
  const slack = { redisMb: 1, keys: 5_000, heapMb: 3, rssMb: 15 }
  return (Object.keys(slack) as (keyof Sample)[]).flatMap((name) => {
    const before = median(all.slice(third, 2 * third).map((one) => one[name]))
    const after = median(all.slice(2 * third).map((one) => one[name]))
    const isGrown = after > before * 1.05 + slack[name]
    return isGrown ? [`${name} grows: from ${before.toFixed(1)} to ${after.toFixed(1)}`] : []
  })
}

function median(values: readonly number[]): number {
  return values.toSorted((a, b) => a - b)[values.length >> 1] ?? 0
}
