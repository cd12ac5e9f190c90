/** A crowd of buyers, from number FROM to number TO; each batch is stored before the next one comes. */
import { setTimeout as sleep } from 'node:timers/promises'
import { MillraceError } from 'millrace'
import { mq, orders } from './shop.ts'
import type { Order } from './shop.ts'

const [from, to] = process.argv.slice(2).map(Number) as [number, number]
const batch = 500

for (let first = from; first < to; first += batch) {
  const count = Math.min(batch, to - first)
  await order(Array.from({ length: count }, (_, index) => ({ buyer: first + index })))
  await sleep(50)
}
await mq.close()
process.exit()

/** What was not confirmed is sent again. Some of it may have arrived: the ledger answers a buyer once. */
async function order(crowd: readonly Order[]): Promise<void> {
  try {
    await orders.sendMany(crowd)
  } catch (error) {
    if (!(error instanceof MillraceError) || error.code !== 'CONNECTION_LOST') throw error
    await sleep(100)
    await order(crowd)
  }
}
