/** The books of the shop: the one process that knows what is sold, to whom. It answers the others' questions. */
import { setTimeout as sleep } from 'node:timers/promises'
import { Board } from '../flash-sale-board.ts'
import { Books } from '../flash-sale-books.ts'
import { deadlines, items, mq, orders, payments, url } from './shop.ts'
import type { Order } from './shop.ts'

const buyers = Number(process.argv[2])
const books = new Books({ buyers, items })
let calls = 0

for (const queue of [orders, payments, deadlines]) {
  await queue.delete()
  await queue.declare()
}

const answers = {
  'ledger.reserve': (buyer: number) => books.reserve(buyer),
  'ledger.pay': (buyer: number) => books.pay(buyer),
  'ledger.expire': (buyer: number) => books.expire(buyer),
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
while (books.answered < buyers) {
  board.show(books.figures, (await orders.stats()).ready, 0)
  if (!told && books.figures.stock <= items / 2) told = process.send?.('half') ?? true
  await sleep(board.intervalMs)
}
board.show(books.figures, 0, 0)
const seconds = (performance.now() - startedMs) / 1_000

books.check(board)
console.log(`\n  ${calls.toLocaleString('en')} questions answered in ${seconds.toFixed(1)} s\n`)
await mq.close()
process.exit()
