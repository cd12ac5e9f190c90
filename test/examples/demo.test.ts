/** `npm run demo`: the flash sale in many processes, with an order desk and the broker killed in the middle. */
import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { text } from 'node:stream/consumers'
import { test } from 'node:test'
import { fileURLToPath } from 'node:url'
import { startTestBroker } from '../interop/broker.ts'
import { findRedis, RedisServer } from '../servers/redis.ts'

const program = fileURLToPath(new URL('../../examples/demo/main.ts', import.meta.url))
const sums = /✔ nothing oversold.*\n.*✔ .* = 1,000 items\n.*✔ .*each answered once\n/

test('the demo comes out right, although its broker is killed', { timeout: 120_000 }, async (t) => {
  const folder = await mkdtemp(join(tmpdir(), 'millrace-demo-'))
  t.after(() => rm(folder, { recursive: true, force: true }))
  const output = await run(['6000', join(folder, 'data')])
  assert.match(output, sums)
  assert.match(output, /An order desk and the broker were killed/)
})

test('the demo comes out right on a broker that is there', { timeout: 120_000 }, async () => {
  await using broker = await startTestBroker()
  const output = await run(['3000', '--url', broker.url()])
  assert.match(output, sums)
  assert.match(output, /An order desk was killed/)
})

const { skip } = await findRedis()

test('the demo comes out right on a Redis', { timeout: 120_000, skip }, async () => {
  await using redis = await RedisServer.start({ sync: 'everysec' })
  const output = await run(['3000', '--url', `${redis.url()}?lease=2000`])
  assert.match(output, sums)
  assert.match(output, /An order desk was killed/)
})

async function run(words: readonly string[]): Promise<string> {
  const child = spawn(process.execPath, ['--import', 'tsx', program, ...words], {
    env: { ...process.env, MQ_URL: undefined },
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  const exit = once(child, 'exit')
  const output = await text(child.stdout)
  assert.deepEqual(await exit, [0, null], output)
  return output
}
