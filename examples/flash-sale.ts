/**
 * A flash sale: 100,000 buyers want 1,000 items. An order reserves an item; who has not paid after a second loses it, and
 * it is sold to somebody else. In the end the program checks its sums: nothing oversold, everybody answered once.
 *
 *   npx tsx examples/flash-sale.ts [BUYERS] [--url redis://localhost]
 *
 * The orders, payments and deadlines are in queues on disk; the shop's books are in this process. So a sale that was
 * stopped is not resumed: each run begins with empty queues and full shelves.
 */
import { setTimeout as sleep } from 'node:timers/promises'
import { connect } from 'millrace'
import { commandLine } from './command-line.ts'
import { Board } from './flash-sale-board.ts'
import { Books } from './flash-sale-books.ts'

const { url, words } = commandLine('file:./data/flash-sale')
const buyers = Number(words[0] ?? 100_000)
const items = 1_000
const arrivalsPerSecond = 20_000
const deadlineMs = 1_000

const mq = await connect(url)
const orders = mq.queue<{ buyer: number }>('orders')
const payments = mq.queue<{ buyer: number }>('payments')
const deadlines = mq.queue<{ buyer: number }>('deadlines')
const queues = [orders, payments, deadlines]
for (const queue of queues) await queue.delete()

// --- the shop --------------------------------------------------------------------------------------------------------

const books = new Books({ buyers, items })
/** Messages that were sent, and those whose handler has finished, or given up. */
const messages = { sent: 0, finished: 0, failed: 0 }

const orderDesk = orders.work(
  async ({ data: order }) => {
    if (books.reserve(order.buyer) === 'sold out') return
    await deadlines.send(order, { delay: deadlineMs })
    messages.sent += 1
    const patience = Math.random()
    // Most buyers pay in time, some too late, and some never.
    if (patience < 0.85) {
      await payments.send(order, { delay: Math.round(patience * 1.4 * deadlineMs) })
      messages.sent += 1
    }
  },
  { concurrency: 100 },
)
const cashDesk = payments.work(({ data: { buyer } }) => books.pay(buyer))
const clock = deadlines.work(({ data: { buyer } }) => books.expire(buyer))

for (const desk of [orderDesk, cashDesk, clock]) {
  desk.on('completed', () => (messages.finished += 1))
  desk.on('dead', () => (messages.failed += 1))
}

// --- the sale --------------------------------------------------------------------------------------------------------

const stopped = new AbortController()
process.once('SIGINT', () => stopped.abort())
process.once('SIGTERM', () => stopped.abort())

const startedMs = performance.now()
const board = new Board(url)
const shown = show()
await arrive()
while (!stopped.signal.aborted && messages.finished + messages.failed < messages.sent) await sleep(20)
const seconds = (performance.now() - startedMs) / 1_000
await Promise.all([orderDesk.close(), cashDesk.close(), clock.close()])
await shown
await mq.close()

/** The buyers, a few thousand at a time; each batch is stored before the next one comes. */
async function arrive(): Promise<void> {
  for (let come = 0; come < buyers && !stopped.signal.aborted;) {
    const elapsedMs = performance.now() - startedMs
    const due = Math.min(buyers, Math.ceil((elapsedMs * arrivalsPerSecond) / 1_000), come + 5_000)
    const batch = Array.from({ length: due - come }, (_, index) => ({ buyer: come + index }))
    messages.sent += batch.length
    await orders.sendMany(batch)
    come = due
    await sleep(5)
  }
}

/** Of all three queues; some engines cannot tell what is delayed. */
async function total(figure: 'ready' | 'delayed'): Promise<number> {
  const reports = await Promise.all(queues.map((queue) => queue.stats()))
  return reports.reduce((sum, report) => sum + (report[figure] ?? 0), 0)
}

/** Shows the figures until every buyer has been answered. */
async function show(): Promise<void> {
  while (books.answered < buyers && !stopped.signal.aborted) {
    board.show(books.figures, await total('ready'), await total('delayed'))
    await sleep(board.intervalMs)
  }
  board.show(books.figures, 0, 0)
}

// --- the sums --------------------------------------------------------------------------------------------------------

if (stopped.signal.aborted) {
  console.log('\nThe sale was stopped; the next run begins a new one.')
  process.exit(130)
}

books.check(board)
board.check(messages.failed === 0, 'no message failed')
console.log(`\n  ${messages.sent.toLocaleString('en')} messages in ${seconds.toFixed(1)} s\n`)
