/** What the processes of the demo have in common: the connection and the queues. */
import { connect } from 'millrace'

export interface Order {
  buyer: number
}

/** Of the ledger: whether there is an item, or whether a payment or a deadline counted. */
export type Answer = 'reserved' | 'sold out' | boolean

export const items = 1_000
export const deadlineMs = 1_000

export const url = process.env.MQ_URL ?? ''
export const mq = await connect(url)

// The ledger may be slow to answer, or away: try again until it is there.
const retry = { attempts: 100, backoff: { type: 'fixed', delay: '200ms' } } as const
export const orders = mq.queue<Order>('orders', retry)
export const payments = mq.queue<Order>('payments', retry)
export const deadlines = mq.queue<Order>('deadlines', retry)

/** Asks the ledger. */
export function ask(what: 'reserve' | 'pay' | 'expire', order: Order): Promise<Answer> {
  return mq.request(`ledger.${what}`, order, { timeout: '5s' })
}

process.once('SIGTERM', () => void mq.close().then(() => process.exit()))
// When the demo's main process is gone, however it went.
process.once('disconnect', () => process.exit(1))
