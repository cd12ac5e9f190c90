/**
 * A queue shared with a Python program: Node hands out texts, Python counts their words and sends back what it found.
 * Python needs no Millrace: over AMQP a client for RabbitMQ (`pip install pika`, with-python.py), on Redis a client for Redis
 * (`pip install redis`, with-python-redis.py).
 *
 *   npx tsx examples/with-python.ts [--url amqp://… | redis://…]        a RabbitMQ, a `millrace serve` or a Redis of yours
 */
import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { fileURLToPath } from 'node:url'
import { connect } from 'millrace'
import { startBroker } from 'millrace/server'
import { commandLine } from './command-line.ts'

const { url: given } = commandLine('file:./data/with-python')
const [, scheme = '', place = ''] = /^(\w+):(.*)$/.exec(given) ?? []
const onRedis = scheme.startsWith('redis')
const isServer = onRedis || scheme.startsWith('amqp')
// Without a server elsewhere this process is one: it puts the engine, in its folder or in memory, on the network.
const broker = isServer
  ? undefined
  : await startBroker({ port: 0, ...(scheme === 'file' && { data: place }) })
const url = broker?.url ?? given

const mq = await connect(url)
const texts = mq.queue<{ title: string; text: string }>('texts')
const counted = mq.queue<{ title: string; words: number }>('counted')
for (const queue of [texts, counted]) {
  await queue.delete()
  await queue.declare() // so that Python finds them
}

// --- Python's side, in any number of processes, on any machine ---------------------------------------------------------

const name = onRedis ? 'with-python-redis.py' : 'with-python.py'
const program = fileURLToPath(new URL(name, import.meta.url))
const python = spawn(process.env.PYTHON ?? 'python3', [program, url], { stdio: 'inherit' })

// --- Node's side -------------------------------------------------------------------------------------------------------

const library = {
  'Ode to a Nightingale': 'My heart aches, and a drowsy numbness pains my sense',
  'The Tyger': 'Tyger Tyger, burning bright, in the forests of the night',
  Ozymandias: 'I met a traveller from an antique land',
  'An empty page': '',
  静夜思: '床前明月光 疑是地上霜',
}

const words = new Map<string, number>()
const everything = new Promise<void>((resolve) => {
  counted.work(({ data }) => {
    words.set(data.title, data.words)
    console.log(`  ${data.title}: ${data.words} words`)
    if (words.size === Object.keys(library).length) resolve()
  })
})
await texts.sendMany(Object.entries(library).map(([title, text]) => ({ title, text })))
const early = once(python, 'exit').then(() => Promise.reject(new Error('the Python program ended')))
await Promise.race([everything, early])

early.catch(() => undefined)
python.kill()
await mq.close()
await broker?.close()

assert.deepEqual(
  Object.keys(library).map((title) => words.get(title)),
  [10, 10, 8, 0, 2],
)
console.log('Python counted all 5 texts.')
