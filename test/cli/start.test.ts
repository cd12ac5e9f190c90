/** `npm start` of a checkout: it runs what is built, and builds first what was edited. */
import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { appendFile, cp, mkdtemp, rm, symlink } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import type { TestContext } from 'node:test'
import { fileURLToPath } from 'node:url'
import { connect } from 'amqplib'
import { ended, listening } from './harness.ts'

const root = fileURLToPath(new URL('../../', import.meta.url))
const copied = ['package.json', 'tsconfig.json', 'tsconfig.build.json', 'scripts', 'src']

/** A copy of the project in which nothing is built. */
async function newCheckout(t: TestContext): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'millrace-start-'))
  t.after(() => rm(folder, { recursive: true, force: true }))
  for (const path of copied) await cp(join(root, path), join(folder, path), { recursive: true })
  await symlink(join(root, 'node_modules'), join(folder, 'node_modules'))
  return folder
}

function npmStart(t: TestContext, cwd: string) {
  const words = ['start', '--silent', '--', '--port', '0', '--log-format', 'json']
  // A group of its own: npm, the shell it starts and the server end together, whatever happens.
  const env = { ...process.env, FORCE_COLOR: '0' }
  const child = spawn('npm', words, { cwd, env, detached: true })
  const done = ended(child)
  t.after(async () => {
    try {
      process.kill(-child.pid!, 'SIGKILL')
    } catch {
      // All of them have ended.
    }
    await done
  })
  return { child, done }
}

async function serveOnce(t: TestContext, checkout: string) {
  const { child, done } = npmStart(t, checkout)
  const connection = await connect(await listening(child))
  const channel = await connection.createConfirmChannel()
  await channel.assertQueue('kept', { durable: true })
  channel.sendToQueue('kept', Buffer.from('x'), { persistent: true })
  await channel.waitForConfirms()
  const { messageCount } = await channel.checkQueue('kept')
  await connection.close()
  process.kill(-child.pid!, 'SIGTERM')
  return { ...(await done), messageCount }
}

test('npm start builds what is not built, runs what is, and builds again what was edited', async (t) => {
  const checkout = await newCheckout(t)
  const building = /Building dist/
  const first = await serveOnce(t, checkout)
  assert.match(first.errors, building)
  assert.equal(first.messageCount, 1)

  const second = await serveOnce(t, checkout)
  assert.doesNotMatch(second.errors, building)
  assert.equal(second.messageCount, 2, 'the messages are in ./data')

  await appendFile(join(checkout, 'src/cli/version.ts'), "\nexport const wrong: number = 'text'\n")
  const third = await npmStart(t, checkout).done
  assert.match(third.errors, building)
  assert.match(third.output, /src\/cli\/version\.ts.*TS2322/, 'the compiler says what is wrong')
  assert.doesNotMatch(third.errors, /listening/, 'nothing is served that is not what was written')
  assert.notEqual(third.code, 0)

  await rm(join(checkout, 'node_modules'))
  const fourth = await npmStart(t, checkout).done
  assert.match(fourth.errors, /run npm ci/)
  assert.equal(fourth.code, 1)
})
