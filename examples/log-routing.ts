/**
 * Log lines find their readers by routing: a direct exchange by severity, a topic exchange by source and severity.
 *
 *   npx tsx examples/log-routing.ts [--url redis://localhost]
 */
import assert from 'node:assert/strict'
import { setTimeout as sleep } from 'node:timers/promises'
import { connect } from 'millrace'
import { commandLine } from './command-line.ts'

const { url } = commandLine('file:./data/log-routing')
const mq = await connect(url)

// --- direct: the key of the message is the key of the binding ------------------------------------------------------

const bySeverity = mq.exchange<string>('logs', 'direct')
const archive = mq.queue<string>('archive')
const pager = mq.queue<string>('pager')
for (const severity of ['info', 'warning', 'error']) await archive.bind(bySeverity, severity)
await pager.bind(bySeverity, 'error')
await archive.purge() // what an earlier run that was stopped left behind
await pager.purge()

await bySeverity.publish('info', 'started')
await bySeverity.publish('warning', 'the disk is 80% full')
await bySeverity.publish('error', 'the disk is full')
const debug = await bySeverity.publish('debug', 'nobody wants to know')
assert.equal(debug.routed, false) // no queue is bound to it: it was dropped, and we are told

/** Takes so many messages from a queue, pull style. */
async function take(queue: typeof archive, count: number): Promise<string[]> {
  const lines: string[] = []
  for await (const job of queue.consume()) {
    lines.push(job.data)
    await job.ack()
    if (lines.length === count) break
  }
  return lines
}

const archived = await take(archive, 3)
const paged = await take(pager, 1)
console.log('archive:', archived)
console.log('pager:  ', paged)
assert.deepEqual(archived, ['started', 'the disk is 80% full', 'the disk is full'])
assert.deepEqual(paged, ['the disk is full'])

// --- topic: words and patterns; * is one word, # any number of them --------------------------------------------------

const byTopic = mq.exchange<string>('logs-by-topic', 'topic')
const heard: Record<string, string[]> = { '*.critical': [], 'kernel.#': [], '#': [] }

// Without a group each subscriber has a queue of its own, which goes when it does.
const subscribers = Object.entries(heard).map(([pattern, lines]) =>
  byTopic.subscribe(pattern, (job) => void lines.push(`${job.routingKey}: ${job.data}`)),
)
await Promise.all(subscribers.map((subscriber) => subscriber.ready))

await byTopic.publish('kernel.info', 'up')
await byTopic.publish('kernel.disk.warning', 'slow')
await byTopic.publish('kernel.critical', 'panic')
await byTopic.publish('mail.critical', 'the queue is stuck')

const copies = 2 + 3 + 4 // each pattern has a queue of its own, and none waits for another
while (Object.values(heard).flat().length < copies) await sleep(10)
await mq.close() // waits for what is being handled

console.log(heard)
assert.deepEqual(heard, {
  '*.critical': ['kernel.critical: panic', 'mail.critical: the queue is stuck'],
  'kernel.#': ['kernel.info: up', 'kernel.disk.warning: slow', 'kernel.critical: panic'],
  '#': [
    'kernel.info: up',
    'kernel.disk.warning: slow',
    'kernel.critical: panic',
    'mail.critical: the queue is stuck',
  ],
})
console.log('Every line found its readers.')
