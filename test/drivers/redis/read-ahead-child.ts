/** Handles all that is in the queue 'busy' of the URL, once others have lost it, and tells the numbers as JSON. */
import { connect } from '../../../src/index.ts'
import { until } from './world.ts'

await using mq = await connect(process.argv[2] as string)
const queue = mq.queue<number>('busy')
const handled: number[] = []
queue.work((job) => void handled.push(job.data))
await until('it is empty', async () => {
  const { ready, unacked } = await queue.stats()
  return ready === 0 && unacked === 0
})
console.log(JSON.stringify(handled))
