/**
 * The program that is killed: sends, consumes and settles as fast as it can, and writes each fact it was promised to a witness
 * file (synchronously, so that the operating system has it when the process dies). judge.ts says what the lines are.
 *
 * Arguments: the package's entry file, the data folder, the witness file, a seed, 'run' or 'drain'.
 */
import { closeSync, openSync, writeSync } from 'node:fs'
import type * as Millrace from '../../src/index.ts'
import { Random } from '../std/random.ts'

const [entry, folder, witnessFile, seed, mode] = process.argv.slice(2) as [
  string,
  string,
  string,
  string,
  string,
]
const { connect } = (await import(entry)) as typeof Millrace
const random = new Random(Number(seed))
const witness = openSync(witnessFile, 'a')
const say = (line: string): void => void writeSync(witness, `${line}\n`)

const mq = await connect(`file:${folder}`)
const work = mq.queue<number>('work', { attempts: 1_000 })
const events = mq.exchange<number>('events', 'fanout')
const copies = [mq.queue<number>('copy.a'), mq.queue<number>('copy.b')]
for (const copy of copies) await copy.bind(events)
say('ready')
if (mode === 'drain') await drain()
else {
  void consume(work)
  for (const copy of copies) void consume(copy)
  for (let lane = 0; lane < 20; lane++) void produce()
}

async function produce(): Promise<void> {
  for (;;) {
    const draw = random.next()
    const data = Math.floor(random.next() * 1e6)
    if (draw < 0.1) {
      const { id } = await events.publish('', data)
      for (const copy of copies) say(`S ${copy.name}/${id}`)
    } else {
      const options =
        draw < 0.2 ? { delay: Math.floor(random.next() * 50) } : draw < 0.25 ? { key: `k${data % 5}` } : {}
      const { id } = await work.send(data, options)
      say(`S work/${id}`)
    }
  }
}

async function consume(queue: Millrace.Queue<number>): Promise<void> {
  for await (const job of queue.consume({ prefetch: 50 })) {
    const id = `${queue.name}/${job.id}`
    say(`D ${id} ${job.attempt}`)
    const draw = random.next()
    if (draw < 0.05) {
      const { attempt } = job
      void job
        .retry({ delay: Math.floor(random.next() * 40) })
        .then((held) => held && say(`R ${id} ${attempt}`))
    } else if (draw < 0.08) void job.release()
    else say(`T ${id}`)
    if (draw >= 0.08 && draw < 0.1) void job.dead('by lot').then((held) => held && say(`X ${id}`))
    else if (draw >= 0.1) void job.ack().then((held) => held && say(`A ${id}`))
  }
}

/** Without faults: everything that is left is taken, and what is dead is counted. */
async function drain(): Promise<void> {
  say('drain')
  for (const queue of [work, ...copies]) {
    queue.work((job) => say(`D ${queue.name}/${job.id} ${job.attempt}`), { concurrency: 100 })
    for (;;) {
      const { ready, unacked = 0, delayed = 0 } = await queue.stats()
      if (ready + unacked + delayed === 0) break
      await new Promise((resolve) => setTimeout(resolve, 20))
    }
    const dead = await queue.browse({ state: 'dead', limit: 1_000_000 })
    for (const job of dead) say(`P ${queue.name}/${job.id}`)
  }
  await mq.close()
  say('drained')
  closeSync(witness)
}
