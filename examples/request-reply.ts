/**
 * Request and reply: a call to whoever answers under a name, with the errors and the patience of a call.
 *
 *   npx tsx examples/request-reply.ts [--url redis://localhost]
 */
import assert from 'node:assert/strict'
import { connect, RemoteError, TimeoutError } from 'millrace'
import { commandLine } from './command-line.ts'

const { url } = commandLine('file:./data/request-reply')
const mq = await connect(url)

// --- the answering side, in this process or in another one ---------------------------------------------------------

const adder = mq.reply<{ a: number; b: number }>('math.add', (job) => job.data.a + job.data.b, {
  concurrency: 10,
})
const divider = mq.reply<{ a: number; b: number }>('math.divide', (job) => {
  if (job.data.b === 0) throw new Error('division by zero')
  return job.data.a / job.data.b
})
await Promise.all([adder.ready, divider.ready])

// --- the asking side -----------------------------------------------------------------------------------------------

const sum = await mq.request<number>('math.add', { a: 19, b: 23 })
console.log(`19 + 23 = ${sum}`)
assert.equal(sum, 42)

// A hundred at once: each answer finds its question.
const numbers = Array.from({ length: 100 }, (_, index) => index)
const doubles = await Promise.all(numbers.map((n) => mq.request<number>('math.add', { a: n, b: n })))
assert.deepEqual(
  doubles,
  numbers.map((n) => 2 * n),
)
console.log(`100 answers, the last one ${doubles.at(-1)}`)

// An error over there is an error here, and no retry: the asker decides.
await assert.rejects(mq.request('math.divide', { a: 1, b: 0 }), (error) => {
  assert(error instanceof RemoteError)
  console.log(`1 / 0: ${error.message}`)
  return error.message === 'division by zero'
})

// Nobody answers under this name.
await assert.rejects(mq.request('math.prove', {}, { timeout: '200ms' }), (error) => {
  assert(error instanceof TimeoutError)
  console.log(error.message)
  return true
})

await mq.close()
console.log('All questions were answered, or failed as they should.')
