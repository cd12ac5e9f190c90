/**
 * One event, three services: each gets its own copy, at its own pace, and also those that came while it was away.
 *
 *   npx tsx examples/broadcast.ts [--url redis://localhost]
 */
import assert from 'node:assert/strict'
import { setTimeout as sleep } from 'node:timers/promises'
import { connect } from 'millrace'
import { commandLine } from './command-line.ts'

const { url } = commandLine('file:./data/broadcast')
const mq = await connect(url)

interface Order {
  item: string
  cents: number
}
const orders = mq.exchange<Order>('orders', 'fanout')

/** The ids of the orders that each service has handled. */
const handled = { mail: new Set<string>(), billing: new Set<string>(), statistics: new Set<string>() }
type Service = keyof typeof handled

// A group is one durable queue. Start the same service twice and the two share the work.
function start(service: Service, delayMs: number) {
  return orders.subscribe(
    '',
    async (job) => {
      await sleep(delayMs)
      handled[service].add(job.id)
      console.log(`  ${service.padEnd(10)} ${job.data.item}`)
    },
    { group: service },
  )
}

const mail = start('mail', 5)
const billing = start('billing', 20)
const statistics = start('statistics', 1)
await Promise.all([mail.ready, billing.ready, statistics.ready]) // from now on, they miss nothing

const ids: string[] = []
async function order(item: string, cents: number): Promise<void> {
  const { id } = await orders.publish('', { item, cents })
  ids.push(id)
}

await order('a book', 1_900)
await order('a lamp', 4_500)

await billing.close() // billing is away …
await order('a chair', 12_000)
await order('a table', 39_900)
start('billing', 20) // … and catches up

const services: Service[] = ['mail', 'billing', 'statistics']
while (!services.every((service) => ids.every((id) => handled[service].has(id)))) await sleep(10)

const waiting = await Promise.all(services.map((service) => mq.queue(`orders.${service}`).stats()))
await mq.close()

assert.equal(ids.length, 4)
for (const { ready, dead } of waiting) assert.deepEqual({ ready, dead }, { ready: 0, dead: 0 })
console.log('Each of the 4 orders reached all 3 services.')
