/**
 * A sign-up answers at once. The welcome mail goes out behind it, and is tried again until the mail server takes it.
 *
 *   npx tsx examples/sign-up.ts [--url redis://localhost]
 */
import assert from 'node:assert/strict'
import { setTimeout as sleep } from 'node:timers/promises'
import { connect } from 'millrace'
import { z } from 'zod'
import { commandLine } from './command-line.ts'

const { url } = commandLine('file:./data/sign-up')
const mq = await connect(url)

const mails = mq.queue('welcome-mails', {
  schema: z.object({ to: z.email(), name: z.string() }), // checked when it is sent, and again when it is received
  attempts: 5, // then it goes to 'welcome-mails.dead'
  backoff: { type: 'exponential', delay: '100ms' },
})

// --- the web server's side -----------------------------------------------------------------------------------------

async function signUp(name: string): Promise<string> {
  // … the user is written to the database here …
  const { id } = await mails.send({ to: `${name}@example.com`, name })
  console.log(`${name} signed up`) // the mail is stored: a crash from here on cannot lose it
  return id
}

// --- the mailer's side, in this process or in another one ----------------------------------------------------------

const attempts = new Map<string, number>()

const mailer = mails.work(
  async (job) => {
    await deliver(job.data.name, job.attempt)
    attempts.set(job.id, job.attempt)
    console.log(`  ${job.data.to} has the mail (attempt ${job.attempt})`)
  },
  { concurrency: 10 },
)
mailer.on('retrying', (job, error, delayMs) => {
  console.log(`  ${job.data.to}: ${error.message}; again in ${delayMs} ms`)
})

/** A mail server that is down when grace's mail comes first. */
async function deliver(name: string, attempt: number): Promise<void> {
  await sleep(20)
  if (name === 'grace' && attempt < 3) throw new Error('the mail server does not answer')
}

// --- and the outcome -----------------------------------------------------------------------------------------------

const ada = await signUp('ada')
const grace = await signUp('grace')
const edsger = await signUp('edsger')

await assert.rejects(mails.send({ to: 'no address', name: 'x' }), { code: 'SCHEMA_MISMATCH' })

const everyone = [ada, grace, edsger]
while (!everyone.every((id) => attempts.has(id))) await sleep(20)
await mq.close()

assert.deepEqual(
  everyone.map((id) => attempts.get(id)),
  [1, 3, 1],
)
console.log('Everyone has a mail; grace took three attempts.')
