/**
 * A webhook relay: it posts events to other people's servers, tries again when they answer with an error, and parks what
 * never works in the dead-letter queue, until somebody mends the receiver and drives it back.
 *
 *   npx tsx examples/webhook-relay.ts [--url redis://localhost]
 */
import assert from 'node:assert/strict'
import { once } from 'node:events'
import { createServer } from 'node:http'
import { setTimeout as sleep } from 'node:timers/promises'
import { connect } from 'millrace'
import { commandLine } from './command-line.ts'

const { url } = commandLine('file:./data/webhook-relay')
const mq = await connect(url)

// --- the relay -----------------------------------------------------------------------------------------------------

interface Hook {
  url: string
  event: string
}

const hooks = mq.queue<Hook>('webhooks', {
  attempts: 3,
  backoff: { type: 'fixed', delay: '100ms' },
  timeout: '5s', // a receiver that hangs is aborted, and counts as failed
})
// Hooks of an earlier run that was stopped: their receivers are gone.
await hooks.delete()
await hooks.dead.purge()

const relay = hooks.work(
  async (job) => {
    const answer = await fetch(job.data.url, {
      method: 'POST',
      body: JSON.stringify({ event: job.data.event }),
      // At least once is not exactly once: the id lets the receiver know a repetition.
      headers: { 'content-type': 'application/json', 'idempotency-key': job.id },
      signal: job.signal,
    })
    if (!answer.ok) throw new Error(`${new URL(job.data.url).pathname} answered ${answer.status}`)
  },
  { concurrency: 20 },
)
relay.on('retrying', (job, error) => console.log(`  attempt ${job.attempt}: ${error.message}`))
relay.on('dead', (_job, error) => console.log(`  parked: ${error.message}`))

// --- the receivers: one works, one stumbles, one is broken -----------------------------------------------------------

const received = new Set<string>()
const stumbled = new Set<string>()
let broken = true

const server = createServer((request, response) => {
  const id = String(request.headers['idempotency-key'])
  request.resume()
  if (request.url === '/broken' && broken) response.statusCode = 500
  else if (request.url === '/stumbling' && !stumbled.has(id)) {
    stumbled.add(id)
    response.statusCode = 503
  } else received.add(id)
  response.end()
})
server.listen(0, '127.0.0.1')
await once(server, 'listening')
const address = server.address()
assert(typeof address === 'object' && address !== null)
const base = `http://127.0.0.1:${address.port}`

// --- what happens ----------------------------------------------------------------------------------------------------

const sent: string[] = []
for (const path of ['/working', '/stumbling', '/working', '/broken', '/stumbling', '/broken', '/working']) {
  const { id } = await hooks.send({ url: base + path, event: `order-${sent.length + 1}` })
  sent.push(id)
}

while (received.size < 5 || (await hooks.dead.count()) < 2) await sleep(20)
assert.equal(stumbled.size, 2)
assert.equal(received.size, 5)

broken = false
console.log('The receiver is mended; the dead letters go back.')
assert.equal(await hooks.dead.redrive(), 2)

while (received.size < 7) await sleep(20)
await mq.close()
server.closeAllConnections()
server.close()

assert.deepEqual([...received].sort(), [...sent].sort())
console.log('All 7 hooks arrived.')
