/**
 * A worker process that is killed: over `redis://` it sends, consumes, settles and moves as fast as it can, and appends each
 * fact it was promised to a witness file, which all workers share: its order is that in which they learned of things. judge.ts
 * says what the lines are.
 *
 * Arguments: the package's entry file, the URL, the witness file, a seed, 'run', 'send' (and consume nothing) or 'drain', and
 * perhaps a lie to be found out: 'early' says that a message is stored before the server has it.
 */
import { openSync, writeSync } from 'node:fs'
import { setTimeout as sleep } from 'node:timers/promises'
import type * as Millrace from '../../src/index.ts'
import { Random } from '../std/random.ts'

const [entry, url, witnessFile, seed, mode, lie] = process.argv.slice(2) as [
  string,
  string,
  string,
  string,
  'run' | 'send' | 'drain',
  string | undefined,
]
const { Client, connect } = (await import(entry)) as typeof Millrace
const random = new Random(Number(seed))
const witness = openSync(witnessFile, 'a')
const say = (line: string): void => void writeSync(witness, `${line}\n`)

const lanes = 12
/** More than this need not wait in a queue. */
const backlog = 2_000

const mq = lie === 'early' ? await connectLiar() : await connect(url)
const work = mq.queue<number>('work', { attempts: 1_000_000 })
const ranked = mq.queue<number>('ranked', { attempts: 1_000_000, priorities: 3 })
/** What is sent here is moved to `carried`, and consumed there. */
const carry = mq.queue<number>('carry')
const carried = mq.queue<number>('carried', { attempts: 1_000_000 })
const events = mq.exchange<number>('events', 'fanout')
const copies = [mq.queue<number>('copy.a'), mq.queue<number>('copy.b')]
const consumed = [work, ranked, carried, ...copies]
let isCrowded = false
let turnMs = performance.now()
setInterval(() => (turnMs = performance.now()), 10).unref()

for (const queue of [work, ranked, carry, carried]) await queue.declare()
for (const copy of copies) await copy.bind(events)
process.send?.('ready')
if (mode === 'drain') await drain()
else run()

function run(): void {
  for (const queue of consumed) {
    if (queue === copies[1]) workOneByOne(queue)
    else void consume(queue)
  }
  for (let lane = 0; lane < lanes; lane += 1) void produce()
  void move()
  void watch()
}

async function produce(): Promise<void> {
  for (;;) {
    while (isCrowded) await sleep(20)
    const draw = random.next()
    const data = random.below(1_000_000)
    if (draw < 0.1) {
      const { id } = await events.publish('', data)
      for (const copy of copies) say(`S ${copy.name}/${id}`)
    } else if (draw < 0.2) say(`S ranked/${(await ranked.send(data, { priority: data % 4 })).id}`)
    else if (draw < 0.3) say(`S carried/${(await carry.send(data)).id}`)
    else if (draw < 0.35) await sendTwice(data)
    else {
      const options =
        draw < 0.45
          ? { delay: random.below(50) }
          : draw < 0.5
            ? { key: `k${data % 5}`, ttl: '1h' as const }
            : {}
      say(`S work/${(await work.send(data, options)).id}`)
    }
  }
}

/** Under one de-duplication key: it is stored once, and both are told the same id. */
async function sendTwice(data: number): Promise<void> {
  const key = `${process.pid}-${data}`
  const dedupe = { key, window: '1h' as const }
  const sent = await Promise.all([work.send(data, { dedupe }), work.send(data, { dedupe })])
  for (const { id } of sent) {
    say(`K ${key} ${id}`)
    say(`S work/${id}`)
  }
}

async function consume(queue: Millrace.Queue<number>): Promise<void> {
  for await (const job of queue.consume({ prefetch: 50 })) {
    const id = `${queue.name}/${job.id}`
    const { attempt } = job
    // Lost before it was looked at: it is not ours any more. A process that was frozen learns of it a turn later.
    if (performance.now() - turnMs > 100) await sleep(1)
    if (job.signal.aborted) continue
    say(`D ${id} ${attempt}`)
    const draw = random.next()
    if (draw < 0.05) {
      const delay = random.below(40)
      void settled(job.retry({ delay }), () => say(`R ${id} ${attempt}`))
    } else if (draw < 0.08) void settled(job.release(), () => undefined)
    else {
      say(`T ${id}`)
      if (draw < 0.1) void settled(job.dead('by lot'), () => say(`X ${id} ${attempt}`))
      else if (draw < 0.12) void later(job, id)
      else void settled(job.ack(), () => say(`A ${id} ${attempt}`))
    }
  }
}

/** Most are done at once, so that it reads ahead; some take their time, so that it gives back; some fail. */
function workOneByOne(queue: Millrace.Queue<number>): void {
  const worker = queue.work(
    async (job) => {
      const id = `${queue.name}/${job.id}`
      if (performance.now() - turnMs > 100) await sleep(1)
      if (job.signal.aborted) return
      say(`D ${id} ${job.attempt}`)
      const draw = random.next()
      if (draw < 0.005) await sleep(random.below(400))
      if (draw > 0.995) throw new Error('by lot')
      say(`T ${id}`)
    },
    { attempts: 1_000_000, backoff: { type: 'fixed', delay: 20 } },
  )
  worker.on('completed', (job) => say(`A ${queue.name}/${job.id} ${job.attempt}`))
  worker.on('retrying', (job) => say(`R ${queue.name}/${job.id} ${job.attempt}`))
}

/** Some take their time: their lease may be over. */
async function later(job: Millrace.Job<number>, id: string): Promise<void> {
  await sleep(random.below(400))
  await settled(job.ack(), () => say(`A ${id} ${job.attempt}`))
}

/** False and an error promise nothing. */
async function settled(outcome: Promise<boolean>, then: () => void): Promise<void> {
  if (await outcome.catch(() => false)) then()
}

async function move(): Promise<void> {
  for (;;) {
    await sleep(random.below(30))
    await mq.move('carry', 'carried', { limit: 1 + random.below(50) })
  }
}

async function watch(): Promise<void> {
  for (;;) {
    const stats = await Promise.all(consumed.map((queue) => queue.stats()))
    isCrowded = stats.some(({ ready }) => ready > backlog)
    await sleep(100)
  }
}

/** Without faults: everything that is left is taken, and what is dead is counted. */
async function drain(): Promise<void> {
  say('drain')
  // What somebody was about to bring elsewhere when it died is brought after its time is over.
  while (!(await isEmpty(carry))) {
    await mq.move('carry', 'carried')
    await sleep(50)
  }
  for (const queue of consumed) {
    const worker = queue.work((job) => say(`D ${queue.name}/${job.id} ${job.attempt}`), { concurrency: 100 })
    while (!(await isEmpty(queue))) await sleep(20)
    await worker.close()
    for (const job of await queue.browse({ state: 'dead', limit: 1_000_000 }))
      say(`P ${queue.name}/${job.id}`)
  }
  await mq.close()
  process.disconnect?.()
}

async function isEmpty(queue: Millrace.Queue<number>): Promise<boolean> {
  const { ready, unacked = 0, delayed = 0 } = await queue.stats()
  return ready + unacked + delayed === 0
}

async function connectLiar(): Promise<Millrace.Client> {
  const { redisDriver } = await import('../../src/drivers/redis/redis.ts')
  const driver = redisDriver(url)
  const publish = driver.publish.bind(driver)
  driver.publish = async (batch, options) => {
    void publish(batch, options).catch(() => undefined)
    return batch.map(() => ({ type: 'stored' }))
  }
  return new Client(driver, await driver.open())
}
