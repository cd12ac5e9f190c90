/**
 * A flash sale: 100,000 buyers want 1,000 items. An order reserves an item; who has not paid after a second loses it, and
 * it is sold to somebody else. In the end the program checks its sums: nothing oversold, everybody answered once.
 *
 *   npm start                                      or: npx tsx examples/flash-sale.ts [BUYERS]
 *
 * The orders, payments and deadlines are in queues on disk; the shop's books are in this process. So a sale that was
 * stopped is not resumed: each run begins with empty queues and full shelves.
 */
import { setTimeout as sleep } from 'node:timers/promises'
import { connect } from 'millrace'
import { Board } from './flash-sale-board.ts'

const url = process.env.MQ_URL ?? 'file:./data/flash-sale'
const buyers = Number(process.argv[2] ?? 100_000)
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

/** What became of each buyer. A message may come twice (that is "at least once"), so each step looks here first. */
const books = new Map<number, 'reserved' | 'paid' | 'expired' | 'turned away'>()
const figures = {
  buyers,
  items,
  arrived: 0,
  stock: items,
  reserved: 0,
  paid: 0,
  expired: 0,
  turnedAway: 0,
  mostOut: 0,
  messages: 0,
}
/** Messages whose handler has finished, or given up. */
let finished = 0
let failed = 0

const orderDesk = orders.work(
  async (job) => {
    const { buyer } = job.data
    if (books.has(buyer)) return
    if (figures.stock === 0) {
      books.set(buyer, 'turned away')
      figures.turnedAway += 1
      return
    }
    books.set(buyer, 'reserved')
    figures.stock -= 1
    figures.reserved += 1
    figures.mostOut = Math.max(figures.mostOut, figures.reserved + figures.paid)
    figures.messages += 1
    await deadlines.send({ buyer }, { delay: deadlineMs })
    const patience = Math.random()
    // Most buyers pay in time, some too late, and some never.
    if (patience < 0.85) {
      figures.messages += 1
      await payments.send({ buyer }, { delay: Math.round(patience * 1.4 * deadlineMs) })
    }
  },
  { concurrency: 100 },
)

const cashDesk = payments.work(({ data: { buyer } }) => {
  if (books.get(buyer) !== 'reserved') return // too late: the item is not theirs any more
  books.set(buyer, 'paid')
  figures.reserved -= 1
  figures.paid += 1
})

const clock = deadlines.work(({ data: { buyer } }) => {
  if (books.get(buyer) !== 'reserved') return
  books.set(buyer, 'expired')
  figures.reserved -= 1
  figures.expired += 1
  figures.stock += 1
})

for (const desk of [orderDesk, cashDesk, clock]) {
  desk.on('completed', () => (finished += 1))
  desk.on('dead', () => (failed += 1))
}

// --- the sale --------------------------------------------------------------------------------------------------------

const stopped = new AbortController()
process.once('SIGINT', () => stopped.abort())
process.once('SIGTERM', () => stopped.abort())

const startedMs = performance.now()
const board = new Board(url)
const shown = show()
await arrive()
while (!stopped.signal.aborted && finished + failed < figures.messages) await sleep(20)
const seconds = (performance.now() - startedMs) / 1_000
await Promise.all([orderDesk.close(), cashDesk.close(), clock.close()])
await shown
await mq.close()

/** The buyers, a few thousand at a time; each batch is stored before the next one comes. */
async function arrive(): Promise<void> {
  while (figures.arrived < buyers && !stopped.signal.aborted) {
    const elapsedMs = performance.now() - startedMs
    const due = Math.min(buyers, Math.ceil((elapsedMs * arrivalsPerSecond) / 1_000), figures.arrived + 5_000)
    const batch = Array.from({ length: due - figures.arrived }, (_, index) => ({
      buyer: figures.arrived + index,
    }))
    await orders.sendMany(batch)
    figures.arrived = due
    figures.messages += batch.length
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
  const answered = (): number => figures.paid + figures.expired + figures.turnedAway
  while (answered() < buyers && !stopped.signal.aborted) {
    board.show(figures, await total('ready'), await total('delayed'))
    await sleep(board.intervalMs)
  }
  board.show(figures, 0, 0)
}

// --- the sums --------------------------------------------------------------------------------------------------------

if (stopped.signal.aborted) {
  console.log('\nThe sale was stopped; the next run begins a new one.')
  process.exit(130)
}

const { paid, expired, turnedAway, stock, mostOut } = figures
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
board.check(failed === 0, 'no message failed')
console.log(`\n  ${number(figures.messages)} messages in ${seconds.toFixed(1)} s\n`)
