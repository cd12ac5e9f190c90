/**
 * Python shares queues on Redis by docs/redis-protocol.md, with examples/millrace_redis.py: what it sends Node consumes, and the
 * reverse; and each keeps the other's promises.
 */
import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { readFile } from 'node:fs/promises'
import { createInterface } from 'node:readline'
import { after, before, describe, test } from 'node:test'
import type { TestContext } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { connect } from '../../src/index.ts'
import type { Client, Job } from '../../src/index.ts'
import { Proxy } from '../servers/proxy.ts'
import { findRedis, RedisServer } from '../servers/redis.ts'
import { needPython, python, spawnPython } from './clients.ts'

const { skip: noRedis } = await findRedis()
const skip = noRedis || (await needPython('redis'))
const program = 'redis_queue.py'
const examples = fileURLToPath(new URL('../../examples/', import.meta.url))
/** So long that a machine which stands still for two seconds renews it in time. */
const leaseMs = 5_000

let server: RedisServer
let worlds = 0
before(async () => {
  if (skip === false) server = await RedisServer.start({ sync: 'everysec' })
})
after(() => server?.close())

interface Told {
  readonly id: string
  readonly data: unknown
  readonly attempt: number
  readonly headers: Record<string, unknown>
}

/** A namespace of the test's own, with a Node program in it. */
async function world(t: TestContext): Promise<{ url: string; mq: Client }> {
  const url = `${server.url()}?prefix=py-${(worlds += 1)}&lease=${leaseMs}`
  const mq = await connect(url)
  t.after(() => mq.close({ timeout: '1s' }))
  return { url, mq }
}

/** What it returned for each of these sends; `onTold` when another has returned. */
async function pythonSends(
  url: string,
  queue: string,
  sends: readonly object[],
  onTold?: (count: number) => void,
): Promise<unknown[]> {
  const child = spawnPython(program, url, queue, 'send')
  child.stdin.end(sends.map((send) => `${JSON.stringify(send)}\n`).join(''))
  const told: unknown[] = []
  for await (const line of createInterface({ input: child.stdout })) {
    told.push(JSON.parse(line))
    onTold?.(told.length)
  }
  if (child.exitCode === null) await once(child, 'exit')
  assert.equal(child.exitCode, 0)
  return told
}

/** A consumer in Python, once it is there; jobs in the order in which it began and ended them. */
async function pythonConsumes(t: TestContext, url: string, queue: string) {
  const child = spawnPython(program, url, queue, 'consume')
  t.after(() => child.kill('SIGKILL'))
  const begun: Told[] = []
  const ended: string[] = []
  const ready = new Promise<void>((resolve) => {
    createInterface({ input: child.stdout }).on('line', (line) => {
      const told = JSON.parse(line) as 'ready' | { ended: string } | Told
      if (told === 'ready') resolve()
      else if ('ended' in told) ended.push(told.ended)
      else begun.push(told)
    })
  })
  await ready
  return { child, begun, ended }
}

async function until(what: string, holds: () => boolean | Promise<boolean>): Promise<void> {
  for (let tries = 0; !(await holds()); tries += 1) {
    assert(tries < 2_000, `waited too long until ${what}`)
    await sleep(50)
  }
}

describe('Python sends, Node consumes', { skip, concurrency: 1 }, () => {
  test('data, id, headers and key arrive; Python sees duplicates', async (t) => {
    const { url, mq } = await world(t)
    await mq.queue('q').declare()
    const told = await pythonSends(url, 'q', [
      { data: { text: 'grün 静' }, id: 'first', headers: { tenant: 'acme', level: 3 } },
      { data: [1], id: 'second', dedupe: ['k', 60_000] },
      { data: [2], id: 'third', dedupe: ['k', 60_000] },
    ])
    assert.deepEqual(told, [
      ['first', false],
      ['second', false],
      ['second', true],
    ])
    const jobs: Job[] = []
    for await (const job of mq.queue('q').consume()) {
      await job.ack()
      if (jobs.push(job) === 2) break
    }
    assert.deepEqual(
      jobs.map(({ id, data, headers, attempt, routingKey }) => ({ id, data, headers, attempt, routingKey })),
      [
        {
          id: 'first',
          data: { text: 'grün 静' },
          headers: { tenant: 'acme', level: 3 },
          attempt: 1,
          routingKey: 'q',
        },
        { id: 'second', data: [1], headers: {}, attempt: 1, routingKey: 'q' },
      ],
    )
  })

  test('priorities go first, and what is delayed is never early', async (t) => {
    const { url, mq } = await world(t)
    const queue = mq.queue<string>('q', { priorities: 5 })
    await queue.declare()
    await pythonSends(url, 'q', [
      { data: 'late', delay_ms: 1_500 },
      { data: 'low' },
      { data: 'high', priority: 5 },
      { data: 'expired', ttl_ms: 1 },
    ])
    const sentMs = Date.now()
    await sleep(10)
    const taken: string[] = []
    for await (const job of queue.consume({ prefetch: 1 })) {
      taken.push(job.data)
      await job.ack()
      if (job.data === 'late') {
        assert(Date.now() - job.sentAt.getTime() >= 1_500, `${Date.now() - sentMs} ms`)
        break
      }
    }
    assert.deepEqual(taken, ['high', 'low', 'late'])
    await until('the expired one is dead', async () => (await queue.dead.count()) === 1)
  })

  test('messages of one key are handled one at a time, in order', async (t) => {
    const { url, mq } = await world(t)
    const queue = mq.queue<number>('q')
    await queue.declare()
    const sends = [0, 1, 2, 3].map((data) => ({ data, key: 'schlüssel' }))
    await pythonSends(url, 'q', sends)
    let running = 0
    const order: number[] = []
    const worker = queue.work(
      async (job) => {
        running += 1
        assert.equal(running, 1)
        await sleep(20)
        running -= 1
        order.push(job.data)
      },
      { concurrency: 4 },
    )
    worker.on('failed', (_job, error) => t.diagnostic(error.message))
    await until('all are done', () => order.length === 4)
    assert.deepEqual(order, [0, 1, 2, 3])
  })

  test('a send whose connection goes is stored once', async (t) => {
    const { url, mq } = await world(t)
    const queue = mq.queue<number>('q')
    await queue.declare()
    const proxy = await Proxy.start({ port: server.port })
    t.after(() => proxy.close())
    const numbers = Array.from({ length: 2_000 }, (_, index) => index)
    // As it gets on, and so never before it has connected or after it has ended, nor so often that it never gets on.
    const told = await pythonSends(
      url.replace(`:${server.port}`, `:${proxy.port}`),
      'q',
      numbers.map((data) => ({ data })),
      (count) => {
        if (count % 150 === 1) setTimeout(() => proxy.reset(), count % 4)
      },
    )
    assert.equal(told.length, numbers.length)
    assert(proxy.accepted > 2, `${proxy.accepted} connections`)
    const stored = (await queue.browse({ limit: 10_000 })).map((job) => job.data)
    assert.deepEqual(stored, numbers)
  })
})

describe('Node sends, Python consumes', { skip, concurrency: 1 }, () => {
  test('data, id and headers arrive, at once and when they are due', async (t) => {
    const { url, mq } = await world(t)
    const queue = mq.queue('q')
    await queue.declare()
    const { child, begun, ended } = await pythonConsumes(t, url, 'q')
    await queue.send({ text: 'grün 静' }, { id: 'first', headers: { tenant: 'acme' } })
    const sentMs = Date.now()
    await queue.send('late', { id: 'second', delay: '1s' })
    await until('both are done', () => ended.length === 2)
    assert(Date.now() - sentMs >= 1_000)
    assert.deepEqual(begun, [
      { id: 'first', data: { text: 'grün 静' }, attempt: 1, headers: { tenant: 'acme' } },
      { id: 'second', data: 'late', attempt: 1, headers: {} },
    ])
    child.kill('SIGTERM')
    assert.deepEqual(await once(child, 'exit'), [0, null])
    const { ready, unacked, acked, consumers } = await queue.stats()
    assert.deepEqual({ ready, unacked, acked, consumers }, { ready: 0, unacked: 0, acked: 2, consumers: 0 })
  })

  test('what fails is tried again, then dead: with its reason, and on its way without a Millrace program', async (t) => {
    const { url, mq } = await world(t)
    const queue = mq.queue('q')
    await queue.send({ do: 'fail' }, { id: 'failing', headers: { tenant: 'acme' } })
    await queue.send({ do: 'bury' }, { id: 'useless' })
    const { begun } = await pythonConsumes(t, url, 'q')
    const base = `py-${worlds}:{q.dead}:messages`
    // Nobody asks for `stats`, by which this program would bring them.
    await until('both are buried', async () => (await server.command('HLEN', base)) === 2)
    await until('all of it is told', () => begun.length >= 4)
    assert.deepEqual(begun.map(({ id, attempt }) => `${id} ${attempt}`).sort(), [
      'failing 1',
      'failing 2',
      'failing 3',
      'useless 1',
    ])
    const letters = (await queue.dead.browse()).map(({ id, data, headers }) => ({ id, data, headers }))
    const death = { 'x-last-death-reason': 'rejected', 'x-last-death-queue': 'q' }
    assert.deepEqual(
      letters.sort((a, b) => (a.id < b.id ? -1 : 1)),
      [
        {
          id: 'failing',
          data: { do: 'fail' },
          headers: {
            ...death,
            tenant: 'acme',
            'x-millrace-reason': 'attempts',
            'x-millrace-attempts': 3,
            'x-millrace-error': 'no luck',
          },
        },
        {
          id: 'useless',
          data: { do: 'bury' },
          headers: {
            ...death,
            'x-millrace-reason': 'rejected',
            'x-millrace-attempts': 1,
            'x-millrace-error': 'no use',
          },
        },
      ],
    )
    const { dead, retried, deadLettered } = await queue.stats()
    assert.deepEqual({ dead, retried, deadLettered }, { dead: 2, retried: 2, deadLettered: 2 })
  })

  test('a job longer than the lease is renewed, and handled once', async (t) => {
    const { url, mq } = await world(t)
    const queue = mq.queue('q')
    await queue.declare()
    const { begun, ended } = await pythonConsumes(t, url, 'q')
    await queue.send({ seconds: (1.5 * leaseMs) / 1_000 }, { id: 'long' })
    await until('it has begun', () => begun.length === 1)
    const stolen: string[] = []
    queue.work((job) => void stolen.push(job.id))
    await until('it has ended', () => ended.length === 1)
    await until('it is gone', async () => (await queue.stats()).acked === 1)
    assert.deepEqual({ begun: begun.length, stolen }, { begun: 1, stolen: [] })
  })

  test('a job whose Python is killed goes to Node, its attempt used up', async (t) => {
    const { url, mq } = await world(t)
    const queue = mq.queue('q')
    await queue.declare()
    const { child, begun } = await pythonConsumes(t, url, 'q')
    await queue.send({ seconds: 60 })
    await until('it has begun', () => begun.length === 1)
    child.kill('SIGKILL')
    const attempts: number[] = []
    queue.work((job) => void attempts.push(job.attempt))
    await until('somebody else has it', () => attempts.length === 1)
    assert.deepEqual(attempts, [2])
  })

  test('a Python that was held up loses its lease, settles nothing, and begins anew', async (t) => {
    const { url, mq } = await world(t)
    const queue = mq.queue('q')
    await queue.declare()
    const { child, begun, ended } = await pythonConsumes(t, url, 'q')
    await queue.send({ seconds: (1.5 * leaseMs) / 1_000 }, { id: 'stolen' })
    await until('it has begun', () => begun.length === 1)
    child.kill('SIGSTOP')
    const attempts: number[] = []
    const worker = queue.work((job) => void attempts.push(job.attempt))
    await until('somebody else has it', () => attempts.length === 1)
    await worker.close()
    child.kill('SIGCONT')
    await until('it has ended there too', () => ended.length === 1)
    await queue.send('next', { id: 'next' })
    await until('it takes the next one', () => ended.length === 2)
    // It tells us first, and then the server.
    await until('both are settled', async () => (await queue.stats()).acked === 2)
    const { acked, unacked, ready } = await queue.stats()
    assert.deepEqual({ attempts, acked, unacked, ready }, { attempts: [2], acked: 2, unacked: 0, ready: 0 })
  })
})

test("the program in the protocol's page runs", { skip }, async (t) => {
  const { url, mq } = await world(t)
  const page = await readFile(new URL('../../docs/redis-protocol.md', import.meta.url), 'utf8')
  const [, code = ''] = /^```python\n(.*?)^```$/ms.exec(page) ?? []
  const written = 'redis://localhost:6379?prefix=mq'
  assert(code.includes(written))
  const child = spawn(python, ['-c', code.replace(written, url)], {
    env: { ...process.env, PYTHONPATH: examples, PYTHONUNBUFFERED: '1', PYTHONDONTWRITEBYTECODE: '1' },
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  t.after(() => child.kill('SIGKILL'))
  const lines = createInterface({ input: child.stdout })
  assert.deepEqual(await once(lines, 'line'), ['a mail to ada@example.com attempt 1'])
  await mq.queue('emails').send({ to: 'nobody' }, { id: 'nobody' })
  await until('it is dead', async () => (await mq.queue('emails').dead.count()) === 1)
})

test('a queue that Python declares is the one that Node declares', { skip }, async (t) => {
  const { url, mq } = await world(t)
  const declaring = spawnPython(program, url, 'größe {1}', 'declare')
  assert.deepEqual(await once(declaring, 'exit'), [0, null])
  await mq.queue('größe {1}').send(1)
  await assert.rejects(mq.queue('größe {1}.dead', { ttl: '1h' }).declare(), { code: 'CONFLICT' })
  const { ready, dead } = await mq.queue('größe {1}').stats()
  assert.deepEqual({ ready, dead }, { ready: 1, dead: 0 })
})

test(
  'what has no envelope, or a wrong one, is a message all the same, and stands in nobody’s way',
  { skip },
  async (t) => {
    const { mq } = await world(t)
    const base = `py-${worlds}:{q}`
    const queue = mq.queue('q', { maxBytes: 1_000_000, attempts: 1 })
    await queue.declare()
    const contents = [
      'no line',
      'no JSON\nbody',
      'null\n1',
      '{"id":5,"headers":[],"contentType":{},"priority":"high"}\n2',
    ]
    const integer = '{"headers":{"n":{"$integer":"x"},"t":{"$table":7}}}\n3'
    for (const [index, content] of [...contents, integer, '{"id":"right"}\n4'].entries()) {
      await server.command(
        'FCALL',
        'millrace_publish',
        '1',
        base,
        'foreign',
        String(index + 1),
        '0',
        '',
        content,
      )
    }
    assert.equal((await queue.browse()).length, 6)
    const seen: unknown[] = []
    queue.work((job) => {
      seen.push(job.data instanceof Uint8Array ? Buffer.from(job.data).toString() : job.data)
      throw new Error('no luck')
    })
    await until('all are dead', async () => (await queue.dead.count()) === 6)
    assert.deepEqual(seen, ['no line', 'no JSON\nbody', 'null\n1', 2, 3, 4])
    const [letter] = (await queue.dead.browse()).toReversed()
    assert.deepEqual([letter?.id, letter?.data, letter?.headers['x-millrace-error']], ['right', 4, 'no luck'])
  },
)
