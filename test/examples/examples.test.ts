/**
 * Every example runs as its reader would run it, on each engine, and its own checks hold. With MILLRACE_INTEROP=rabbitmq,
 * amqp: is a real RabbitMQ.
 */
import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { mkdtemp, readdir, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { text } from 'node:stream/consumers'
import { after, before, test } from 'node:test'
import { fileURLToPath } from 'node:url'
import { startTestBroker } from '../interop/broker.ts'
import type { TestBroker } from '../interop/broker.ts'
import { needPython, python } from '../interop/clients.ts'

const folder = fileURLToPath(new URL('../../examples/', import.meta.url))

/** What each prints when its sums came out. */
const outcomes: Record<string, RegExp> = {
  'sign-up': /Everyone has a mail; grace took three attempts\.\n$/,
  'webhook-relay': /All 7 hooks arrived\.\n$/,
  broadcast: /Each of the 4 orders reached all 3 services\.\n$/,
  'log-routing': /Every line found its readers\.\n$/,
  'request-reply': /All questions were answered, or failed as they should\.\n$/,
  'cpu-bound': /148933 primes below 2000000, counted on \d+ threads\n$/,
  'with-python': /Python counted all 5 texts\.\n$/,
  'flash-sale':
    /✔ nothing oversold.*\n.*✔ .* = 1,000 items\n.*✔ .*each answered once\n.*✔ no message failed\n/,
}

const skips: Record<string, string | false> = { 'with-python': await needPython('pika') }

/** Parts of an example, which are no programs. */
const parts = ['flash-sale-board']

test('every example is tested', async () => {
  const files = await readdir(folder)
  const programs = files.filter((file) => file.endsWith('.ts')).map((file) => file.slice(0, -3))
  const names = programs.filter((name) => !parts.includes(name))
  assert.deepEqual(names.sort(), Object.keys(outcomes).sort())
})

let broker: TestBroker
before(async () => {
  broker = await startTestBroker()
})
after(() => broker[Symbol.asyncDispose]())

for (const [name, outcome] of Object.entries(outcomes)) {
  const options = { timeout: 120_000, skip: skips[name] ?? false }
  test(`${name} comes out right on file: and again in the same folder`, options, async (t) => {
    const data = await mkdtemp(join(tmpdir(), `millrace-${name}-`))
    t.after(() => rm(data, { recursive: true, force: true }))
    assert.match(await run(name, `file:${data}`), outcome)
    assert.match(await run(name, `file:${data}`, '5000'), outcome)
  })

  test(`${name} comes out right on memory:`, options, async () => {
    assert.match(await run(name, 'memory:', '20000'), outcome)
  })

  test(`${name} comes out right on amqp: and again on the same broker`, options, async () => {
    assert.match(await run(name, broker.url(), '5000'), outcome)
    assert.match(await run(name, broker.url(), '2000'), outcome)
  })
}

async function run(name: string, url: string, ...args: string[]): Promise<string> {
  const child = spawn(process.execPath, ['--import', 'tsx', join(folder, `${name}.ts`), ...args], {
    env: { ...process.env, MQ_URL: url, PYTHON: python },
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  const code = new Promise<number | null>((resolve) => child.once('close', resolve))
  const [output, errors] = await Promise.all([text(child.stdout), text(child.stderr)])
  assert.deepEqual({ code: await code, errors }, { code: 0, errors: '' }, output)
  return output
}
