/** The books of the shop: the one process that knows what is sold, to whom. It answers the others' questions. */
import { setTimeout as sleep } from 'node:timers/promises'
import { Board } from '../flash-sale-board.ts'
import { deadlines, items, mq, orders, payments, url } from './shop.ts'
import type { Answer, Order } from './shop.ts'

const buyers = Number(process.argv[2])

/** What became of each buyer. A question may come twice (that is "at least once"): then the answer is the same. */
const books = new Map<number, 'reserved' | 'paid' | 'expired' | 'turned away'>()
const figures = { buyers, items, arrived: 0, stock: items, reserved: 0, paid: 0, expired: 0, turnedAway: 0 }
let mostOut = 0
let calls = 0

for (const queue of [orders, payments, deadlines]) {
  await queue.delete()
  await queue.declare()
}

function reserve(buyer: number): Answer {
  const known = books.get(buyer)
  if (known !== undefined) return known === 'turned away' ? 'sold out' : 'reserved'
  figures.arrived += 1
  if (figures.stock === 0) {
    books.set(buyer, 'turned away')
    figures.turnedAway += 1
    return 'sold out'
  }
  books.set(buyer, 'reserved')
  figures.stock -= 1
  figures.reserved += 1
  mostOut = Math.max(mostOut, figures.reserved + figures.paid)
  return 'reserved'
}

function settle(buyer: number, outcome: 'paid' | 'expired'): null {
  if (books.get(buyer) !== 'reserved') return null // the other one was first
  books.set(buyer, outcome)
  figures.reserved -= 1
  figures[outcome] += 1
  if (outcome === 'expired') figures.stock += 1
  return null
}

const answers = {
  'ledger.reserve': reserve,
  'ledger.pay': (buyer: number) => settle(buyer, 'paid'),
  'ledger.expire': (buyer: number) => settle(buyer, 'expired'),
}
for (const [name, answer] of Object.entries(answers)) {
  const worker = mq.reply<Order>(
    name,
    ({ data }) => {
      calls += 1
      return answer(data.buyer)
    },
    { concurrency: 100 },
  )
  await worker.ready
}
process.send?.('ready')

const startedMs = performance.now()
const board = new Board(url)
let told = false
while (figures.paid + figures.expired + figures.turnedAway < buyers) {
  board.show(figures, (await orders.stats()).ready, 0)
  if (!told && figures.stock <= items / 2) told = process.send?.('half') ?? true
  await sleep(board.intervalMs)
}
board.show(figures, 0, 0)
const seconds = (performance.now() - startedMs) / 1_000

const { paid, expired, turnedAway, stock } = figures
const number = (value: number): string => value.toLocaleString('en')
board.check(
  mostOut <= items,
  `nothing oversold: at most ${number(mostOut)} of ${number(items)} items were out at once`,
)
board.check(
  paid + stock === items,
  `${number(paid)} paid + ${number(stock)} left over = ${number(items)} items`,
)
board.check(
  paid + expired + turnedAway === buyers && books.size === buyers,
  `${number(paid)} paid + ${number(expired)} not in time + ${number(turnedAway)} turned away = ` +
    `${number(buyers)} buyers, each answered once`,
)
console.log(`\n  ${number(calls)} questions answered in ${seconds.toFixed(1)} s\n`)
await mq.close()
process.exit()
