/** An order desk; as many as you like. It asks the ledger for an item, and sets the buyer a deadline. */
import { ask, deadlineMs, deadlines, orders, payments } from './shop.ts'

orders.work(
  async ({ data: order }) => {
    if ((await ask('reserve', order)) === 'sold out') return
    await deadlines.send(order, { delay: deadlineMs })
    // Most buyers pay in time, some too late, and some never.
    const patience = Math.random()
    if (patience < 0.85) await payments.send(order, { delay: Math.round(patience * 1.4 * deadlineMs) })
  },
  { concurrency: 100 },
)
