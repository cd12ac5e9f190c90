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
import { findRedis, RedisServer } from '../servers/redis.ts'

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
const redisSkips: Record<string, string | false> = { 'with-python': await needPython('redis') }
const { skip: noRedis } = await findRedis()

/** Parts of an example, which are no programs. */
const parts = ['command-line', 'flash-sale-board', 'flash-sale-books']

test('every example is tested', async () => {
  const files = await readdir(folder)
  const programs = files.filter((file) => file.endsWith('.ts')).map((file) => file.slice(0, -3))
  const names = programs.filter((name) => !parts.includes(name))
  assert.deepEqual(names.sort(), Object.keys(outcomes).sort())
})

let broker: TestBroker
let redis: RedisServer | undefined
before(async () => {
  broker = await startTestBroker()
  if (noRedis === false) redis = await RedisServer.start({ sync: 'everysec' })
})
after(async () => {
  await broker[Symbol.asyncDispose]()
  await redis?.close()
})

for (const [name, outcome] of Object.entries(outcomes)) {
  const options = { timeout: 120_000, skip: skips[name] ?? false }
  test(`${name} comes out right on file: and again in the same folder`, options, async (t) => {
    const data = await mkdtemp(join(tmpdir(), `millrace-${name}-`))
    t.after(() => rm(data, { recursive: true, force: true }))
    assert.match(await run(name, [], `file:${data}`), outcome)
    assert.match(await run(name, ['5000', '--url', `file:${data}`]), outcome)
  })

  test(`${name} comes out right on memory:`, options, async () => {
    assert.match(await run(name, ['20000', '--url', 'memory:']), outcome)
  })

  test(`${name} comes out right on amqp: and again on the same broker`, options, async () => {
    assert.match(await run(name, ['5000', '--url', broker.url()]), outcome)
    assert.match(await run(name, ['2000', '--url', broker.url()]), outcome)
  })

  const onRedis = { timeout: 120_000, skip: noRedis || (redisSkips[name] ?? false) }
  test(`${name} comes out right on redis: and again on the same server`, onRedis, async () => {
    const url = `${redis?.url()}?prefix=${name}`
    assert.match(await run(name, ['5000', '--url', url]), outcome)
    assert.match(await run(name, ['2000', '--url', url]), outcome)
  })
}

test('what an example does not take is said, in one line', async () => {
  const { code, errors } = await ran('sign-up', ['--ulr', 'memory:'])
  assert.equal(code, 2)
  assert.match(errors, /'--ulr'.*\n.*--url redis:\/\/localhost:6379\n$/)
  assert.doesNotMatch(errors, /\n {4}at /)
})

/** What it printed, where it ended well. */
async function run(name: string, words: readonly string[], url?: string): Promise<string> {
  const { code, output, errors } = await ran(name, words, url)
  assert.deepEqual({ code, errors }, { code: 0, errors: '' }, output)
  return output
}

async function ran(name: string, words: readonly string[], url?: string) {
  const child = spawn(process.execPath, ['--import', 'tsx', join(folder, `${name}.ts`), ...words], {
    env: { ...process.env, MQ_URL: url, PYTHON: python },
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  const exit = new Promise<number | null>((resolve) => child.once('close', resolve))
  const [output, errors] = await Promise.all([text(child.stdout), text(child.stderr)])
  return { code: await exit, output, errors }
}
