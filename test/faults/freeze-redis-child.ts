/**
 * A worker that is frozen with two messages in its hands: it stops itself between two statements, so that nothing in it can
 * have noticed how late it is when it goes on and settles the first one.
 *
 * Arguments: the URL, and what it does with that one: 'ack', 'retry', 'release', 'dead' or 'extend'. It tells its parent
 * 'held', then whether the settlement held, and 'lost' when the signal of the other one aborts.
 */
import { connect } from '../../src/index.ts'

const [url, outcome] = process.argv.slice(2) as [string, 'ack' | 'retry' | 'release' | 'dead' | 'extend']
const mq = await connect(url)
const jobs = mq.queue('work').consume({ prefetch: 2 })
const { value: first } = await jobs.next()
const { value: second } = await jobs.next()
if (first === undefined || second === undefined) throw new Error('there is nothing to hold')
second.signal.addEventListener('abort', () => process.send?.('lost'))
process.send?.('held')
await new Promise((resolve) => process.once('message', resolve))
process.kill(process.pid, 'SIGSTOP')
const settlements = {
  ack: () => first.ack(),
  retry: () => first.retry({ delay: 0 }),
  release: () => first.release(),
  dead: () => first.dead('too late'),
  extend: () => first.extend('1m'),
}
process.send?.(`${outcome} ${await settlements[outcome]()}`)
