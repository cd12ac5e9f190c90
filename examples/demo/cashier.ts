/** The cash desk: what is paid in time is sold. */
import { ask, payments } from './shop.ts'

payments.work(async ({ data }) => void (await ask('pay', data)), { concurrency: 20 })
