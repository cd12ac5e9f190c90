/** The clock: what is not paid in time goes back on the shelf. */
import { ask, deadlines } from './shop.ts'

deadlines.work(async ({ data }) => void (await ask('expire', data)), { concurrency: 20 })
