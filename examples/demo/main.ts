/**
 * The flash sale with everybody in a process of their own, on one broker: `millrace serve`, two crowds of buyers, two order
 * desks, a cash desk, a clock, and a ledger that keeps the books. In the middle of it an order desk and the broker are killed
 * and started again; in the end the ledger checks its sums.
 *
 *   npm run demo                                   or: npx tsx examples/demo/main.ts [BUYERS [FOLDER]] [--url URL]
 *
 * With --url amqp://… or redis://… it runs on that server instead, and leaves it alive.
 */
import { spawn } from 'node:child_process'
import type { ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { rm } from 'node:fs/promises'
import { createInterface } from 'node:readline'
import type { Readable } from 'node:stream'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { commandLine } from '../command-line.ts'

const { url: given, words } = commandLine('')
const buyers = Number(words[0] ?? 20_000)
const ownFolder = './data/demo'
const data = words[1] ?? ownFolder
const crowds = 2
if (/^(?:file|memory):/.test(given)) {
  console.error('The demo is many processes: give it a server, --url amqp://… or redis://…, or no URL at all')
  process.exit(2)
}

const children = new Set<ChildProcess>()
// What an earlier sale left; a folder that was given is taken as it is.
if (data === ownFolder) await rm(ownFolder, { recursive: true, force: true })
let broker: ChildProcess | undefined
const url = given === '' ? await serve() : given

const ledger = start('ledger', String(buyers))
const ended = once(ledger, 'exit')
await Promise.race([once(ledger, 'message'), ended]) // its queues are there
start('cashier')
start('clock')
start('desk')
const unlucky = start('desk')
for (let crowd = 0; crowd < crowds; crowd += 1) {
  start('buyers', String((buyers * crowd) / crowds), String((buyers * (crowd + 1)) / crowds))
}

process.once('SIGINT', () => void end(130))
process.once('SIGTERM', () => void end(143))

await Promise.race([once(ledger, 'message'), ended]) // half of the items are out
unlucky.kill('SIGKILL')
if (broker !== undefined) {
  const gone = once(broker, 'exit')
  broker.kill('SIGKILL')
  await gone
  await serve(new URL(url).port)
}
start('desk')

const [code] = (await ended) as [number | null]
const victims = broker === undefined ? 'An order desk was' : 'An order desk and the broker were'
if (code === 0) console.log(`  ${victims} killed in the middle (SIGKILL), and started again.\n`)
await end(code ?? 1)

/** Starts the broker; resolves with its URL. */
async function serve(port = '0'): Promise<string> {
  const program = fileURLToPath(new URL('../../src/cli/main.ts', import.meta.url))
  const words = ['serve', '--data', data, '--port', port, '--log-format', 'json']
  broker = spawn(process.execPath, ['--import', 'tsx', program, ...words], {
    stdio: ['ignore', 'ignore', 'pipe'],
  })
  children.add(broker)
  const lines = createInterface({ input: broker.stderr as Readable })
  for await (const line of lines) {
    const { event, url } = JSON.parse(line) as { event: string; url?: string }
    if (event === 'listening' && url !== undefined) return url
  }
  throw new Error('the broker did not start')
}

function start(name: string, ...words: string[]): ChildProcess {
  const program = fileURLToPath(new URL(`${name}.ts`, import.meta.url))
  const child = spawn(process.execPath, ['--import', 'tsx', program, ...words], {
    env: { ...process.env, MQ_URL: url },
    stdio: ['ignore', 'inherit', 'inherit', 'ipc'],
  })
  children.add(child)
  child.once('exit', () => children.delete(child))
  return child
}

/** Everybody goes home, the broker last. */
async function end(code: number): Promise<never> {
  for (const child of [...children].toReversed()) {
    child.kill()
    if (child.exitCode === null && child.signalCode === null)
      await Promise.race([once(child, 'exit'), sleep(5_000)])
  }
  process.exit(code)
}
