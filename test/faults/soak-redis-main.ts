/**
 * `npm run soak:redis -- [minutes] [entry]`: a worker at half of what it can do, for an hour by default, on a Redis with an
 * append-only file, with all that leaves something behind: delays, retries, dead letters, keys, de-duplication, subscribers
 * that come and go, requests. The memory of Redis and of the worker, its keys, sockets and timers are told each half minute;
 * the run fails where one of them has grown from the second quarter to the last.
 */
import { fork } from 'node:child_process'
import type { ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { resolve } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { createClient } from 'redis'
import type { Client } from '../../src/index.ts'
import { RedisServer } from '../servers/redis.ts'

const minutes = Number(process.argv[2] ?? 60)
const entry = resolve(
  process.env['SOAK_ENTRY'] ?? process.argv[3] ?? resolve(import.meta.dirname, '../../dist/index.js'),
)
const sampleMs = 30_000

/** A figure may be larger at the end by this part and this much: collectors of garbage take their time. */
const tolerance = { part: 0.25, least: { redisMb: 4, rssMb: 40, heapMb: 15, keys: 200, resources: 20 } }

type Figures = Record<keyof typeof tolerance.least, number>

interface Message {
  readonly n: number
  readonly text: string
}

const text = 'x'.repeat(200)

async function work(url: string): Promise<void> {
  const mq = await open(url)
  const quick = { type: 'fixed', delay: 200 } as const
  const work = mq.queue<Message>('work', { attempts: 3, backoff: quick }).work(
    ({ data, attempt }) => {
      if (data.n % 50 === 0 && attempt < 2) throw new Error('once more')
      if (data.n % 500 === 1) throw new Error('never')
    },
    { concurrency: 100 },
  )
  mq.reply('ask', (request: { readonly data: number }) => request.data * 2)
  await work.ready
  process.on('message', () => process.send!(figuresOfProcess()))
  process.once('SIGTERM', () => void mq.close({ timeout: 5_000 }).then(() => process.exit(0)))
  process.send!('ready')
}

async function open(url: string): Promise<Client> {
  const { connect } = (await import(entry)) as typeof import('../../src/index.ts')
  return connect(url)
}

function figuresOfProcess(): Pick<Figures, 'rssMb' | 'heapMb' | 'resources'> {
  globalThis.gc?.()
  const { rss, heapUsed } = process.memoryUsage()
  return { rssMb: mb(rss), heapMb: mb(heapUsed), resources: process.getActiveResourcesInfo().length }
}

async function soak(): Promise<boolean> {
  await using server = await RedisServer.start({ sync: 'everysec' })
  const worker = fork(import.meta.filename, ['worker', server.url()], {
    execArgv: [...process.execArgv, '--expose-gc'],
    env: { ...process.env, SOAK_ENTRY: entry },
  })
  await once(worker, 'message')
  const mq = await open(server.url())
  const operator = await createClient({ url: server.url() }).connect()
  const look = async (): Promise<Figures> => {
    const memory = /used_memory:(\d+)/.exec(await operator.info('memory'))
    const keys = await operator.dbSize()
    return { redisMb: mb(Number(memory?.[1])), keys, ...(await ask(worker)) }
  }
  const rate = Math.round((await fullRate(mq)) / 2)
  console.log(`${minutes} minutes at ${rate} messages a second`)
  const samples: Figures[] = []
  const endMs = performance.now() + minutes * 60_000
  const stop = new AbortController()
  const load = Promise.all([send(mq, rate, stop.signal), besides(mq, stop.signal)])
  while (performance.now() < endMs) {
    await Promise.race([sleep(sampleMs), load])
    const figures = await look()
    samples.push(figures)
    const { ready } = await mq.queue('work').stats()
    console.log(JSON.stringify({ minute: samples.length / 2, ...figures, ready }))
  }
  stop.abort()
  await load
  await mq.close()
  worker.kill('SIGTERM')
  await once(worker, 'exit')
  await operator.close()
  return isFlat(samples)
}

async function ask(worker: ChildProcess): Promise<Pick<Figures, 'rssMb' | 'heapMb' | 'resources'>> {
  const answer = once(worker, 'message')
  worker.send('figures')
  return ((await answer) as [Pick<Figures, 'rssMb' | 'heapMb' | 'resources'>])[0]
}

/** Messages a second that go through: sent by a hundred lanes for ten seconds, and handled. */
async function fullRate(mq: Client): Promise<number> {
  const queue = mq.queue<Message>('work', { attempts: 3 })
  const startMs = performance.now()
  let count = 0
  const lane = async (): Promise<void> => {
    for (; performance.now() < startMs + 10_000; count += 1) await queue.send({ n: 7, text })
  }
  await Promise.all(Array.from({ length: 100 }, lane))
  while (((await queue.stats()).acked ?? 0) < count) await sleep(50)
  return (count * 1_000) / (performance.now() - startMs)
}

/** So many a second, as far as the machine allows: what was missed is not made up for. */
async function send(mq: Client, rate: number, signal: AbortSignal): Promise<void> {
  const queue = mq.queue<Message>('work', { attempts: 3 })
  const batch = Math.max(1, Math.round(rate / 50))
  let nextMs = performance.now()
  for (let n = 0; !signal.aborted;) {
    const sends: Promise<unknown>[] = []
    for (const end = n + batch; n < end; n += 1) sends.push(queue.send({ n, text }, extras(n)))
    await Promise.all(sends)
    nextMs = Math.max(nextMs + 20, performance.now() - 20)
    await sleep(Math.max(0, nextMs - performance.now()))
  }
}

/** Every tenth with something that Redis must remember for a while. */
function extras(n: number): object {
  switch (n % 40) {
    case 3:
      return { delay: 500 }
    case 13:
      return { key: `key ${n % 7}` }
    case 23:
      return { dedupe: { key: `once ${n}`, window: '10s' } }
    case 33:
      return { ttl: '5s' }
    default:
      return {}
  }
}

/** Subscribers that come and go, requests, and the dead, who are brought back or forgotten. */
async function besides(mq: Client, signal: AbortSignal): Promise<void> {
  const news = mq.exchange<number>('news', 'topic')
  await news.declare()
  for (let round = 0; !signal.aborted; round += 1) {
    const subscriber = news.subscribe('*.eu', () => undefined)
    await subscriber.ready
    await Promise.all(Array.from({ length: 20 }, (_each, n) => news.publish('news.eu', n)))
    await Promise.all(Array.from({ length: 20 }, (_each, n) => mq.request('ask', n)))
    await subscriber.close()
    const dead = mq.queue('work', { attempts: 3 }).dead
    if (round % 10 === 0) await dead.redrive({ limit: 100 })
    if (round % 10 === 5) await dead.purge()
    await sleep(500)
  }
}

/** Says what has grown. */
function isFlat(samples: readonly Figures[]): boolean {
  const quarter = Math.floor(samples.length / 4)
  let flat = true
  for (const name of Object.keys(tolerance.least) as (keyof Figures)[]) {
    const before = median(samples.slice(quarter, 2 * quarter).map((figures) => figures[name]))
    const after = median(samples.slice(-quarter).map((figures) => figures[name]))
    const grew = after > before * (1 + tolerance.part) && after > before + tolerance.least[name]
    console.log(`${grew ? 'GREW' : 'flat'}  ${name}: ${before} -> ${after}`)
    if (grew) flat = false
  }
  return flat
}

function median(values: readonly number[]): number {
  return values.toSorted((a, b) => a - b)[Math.floor(values.length / 2)] ?? 0
}

function mb(bytes: number): number {
  return Math.round(bytes / 1024 / 102.4) / 10
}

if (process.argv[2] === 'worker') await work(process.argv[3]!)
else process.exitCode = (await soak()) ? 0 : 1
