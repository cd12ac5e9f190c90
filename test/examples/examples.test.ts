/** Every example runs as its reader would run it, on each engine, and its own checks hold. */
import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { mkdtemp, readdir, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { text } from 'node:stream/consumers'
import { test } from 'node:test'
import { fileURLToPath } from 'node:url'

const folder = fileURLToPath(new URL('../../examples/', import.meta.url))

/** What each prints when its sums came out. */
const outcomes: Record<string, RegExp> = {
  'sign-up': /Everyone has a mail; grace took three attempts\.\n$/,
  'webhook-relay': /All 7 hooks arrived\.\n$/,
  broadcast: /Each of the 4 orders reached all 3 services\.\n$/,
  'log-routing': /Every line found its readers\.\n$/,
  'request-reply': /All questions were answered, or failed as they should\.\n$/,
  'cpu-bound': /148933 primes below 2000000, counted on \d+ threads\n$/,
  'flash-sale':
    /✔ nothing oversold.*\n.*✔ .* = 1,000 items\n.*✔ .*each answered once\n.*✔ no message failed\n/,
}

/** Parts of an example, which are no programs. */
const parts = ['flash-sale-board']

test('every example is tested', async () => {
  const files = await readdir(folder)
  const programs = files.filter((file) => file.endsWith('.ts')).map((file) => file.slice(0, -3))
  const names = programs.filter((name) => !parts.includes(name))
  assert.deepEqual(names.sort(), Object.keys(outcomes).sort())
})

for (const [name, outcome] of Object.entries(outcomes)) {
  test(`${name} comes out right on file: and again in the same folder`, { timeout: 120_000 }, async (t) => {
    const data = await mkdtemp(join(tmpdir(), `millrace-${name}-`))
    t.after(() => rm(data, { recursive: true, force: true }))
    assert.match(await run(name, `file:${data}`), outcome)
    assert.match(await run(name, `file:${data}`, '5000'), outcome)
  })

  test(`${name} comes out right on memory:`, { timeout: 120_000 }, async () => {
    assert.match(await run(name, 'memory:', '20000'), outcome)
  })
}

async function run(name: string, url: string, ...args: string[]): Promise<string> {
  const child = spawn(process.execPath, ['--import', 'tsx', join(folder, `${name}.ts`), ...args], {
    env: { ...process.env, MQ_URL: url },
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  const code = new Promise<number | null>((resolve) => child.once('close', resolve))
  const [output, errors] = await Promise.all([text(child.stdout), text(child.stderr)])
  assert.deepEqual({ code: await code, errors }, { code: 0, errors: '' }, output)
  return output
}
