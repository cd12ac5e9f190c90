/**
 * docs/migrating-from-bullmq.md says what BullMQ's, Bee-Queue's and Kue's features are called here: that is tried here, on a real
 * Redis. The program "after" prints what the one "before" printed with BullMQ 6.7.
 */
import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { text } from 'node:stream/consumers'
import { after, before, describe, test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { connect, NonRetryableError } from '../../src/index.ts'
import type { Client } from '../../src/index.ts'
import { findRedis, RedisServer } from '../servers/redis.ts'

const { skip } = await findRedis()
const root = join(import.meta.dirname, '../..')

let server: RedisServer
let worlds = 0
before(async () => {
  if (skip === false) server = await RedisServer.start({ sync: 'everysec' })
})
after(() => server?.close())

function newUrl(): string {
  return `${server.url()}?prefix=migrating-${(worlds += 1)}`
}

/** What BullMQ's program printed. */
const printed = [
  'ada@example.com: the mail server is away',
  'nobody: no address',
  'a mail to ada@example.com, attempt 2',
  'grace@example.com: the mail server is away',
  'a mail to grace@example.com, attempt 2',
  'failed: nobody, no address',
]

describe('the program after', { skip }, () => {
  for (const engine of ['redis', 'file']) {
    test(`prints on ${engine}: what the one before did`, { timeout: 60_000 }, async (t) => {
      const folder = await mkdtemp(join(tmpdir(), 'millrace-migrating-'))
      t.after(() => rm(folder, { recursive: true, force: true }))
      const page = await readFile(join(root, 'docs/migrating-from-bullmq.md'), 'utf8')
      const code = /^prints the same as\n\n```ts\n(.*?)^```$/ms.exec(page)?.[1] ?? ''
      const url = engine === 'redis' ? newUrl() : `file:${folder}/data`
      assert(code.includes("'redis://localhost:6379'") && code.includes('delay: 500'))
      const program = code
        // On a slow machine the one that is delayed would be due before the other is tried again.
        .replace('delay: 500', 'delay: 3_000')
        .replace("'redis://localhost:6379'", JSON.stringify(url))
        .replace("'millrace'", JSON.stringify(join(root, 'src/index.ts')))
      await writeFile(join(folder, 'after.mts'), program)
      const child = spawn(process.execPath, ['--import', 'tsx', join(folder, 'after.mts')], {
        cwd: root,
        stdio: ['ignore', 'pipe', 'inherit'],
      })
      assert.deepEqual((await text(child.stdout)).trimEnd().split('\n'), printed)
    })
  }
})

async function until(what: string, holds: () => boolean | Promise<boolean>): Promise<void> {
  for (let tries = 0; !(await holds()); tries += 1) {
    assert(tries < 2_000, `waited too long until ${what}`)
    await sleep(25)
  }
}

/** What the page says, and a trial of it. */
const claims: Record<string, (mq: Client) => Promise<void>> = {
  'id alone is only a name; dedupe adds once': async (mq) => {
    const queue = mq.queue('q')
    await queue.send(1, { id: 'a' })
    await queue.send(2, { id: 'a' })
    assert.equal((await queue.stats()).ready, 2)
    const first = await queue.send(3, { id: 'b', dedupe: { key: 'k', window: '1m' } })
    const second = await queue.send(4, { dedupe: { key: 'k', window: '1m' } })
    assert.deepEqual([first.duplicate, second], [false, { id: 'b', duplicate: true }])
  },
  'a higher priority goes first, and none is 0': async (mq) => {
    const queue = mq.queue('q', { priorities: 10 })
    for (const priority of [undefined, 1, 10]) await queue.send(priority ?? 0, priority ? { priority } : {})
    assert.deepEqual(
      (await queue.browse()).map((job) => job.data),
      [10, 1, 0],
    )
  },
  'release in a handler puts back what is too much, and uses up no attempt': async (mq) => {
    const queue = mq.queue('q')
    const attempts: number[] = []
    queue.work(async (job) => {
      attempts.push(job.attempt)
      if (attempts.length === 1) await job.release({ delay: 50 })
    })
    await queue.send(1)
    await until('it came again', () => attempts.length === 2)
    await until('it is done', async () => (await queue.stats()).acked === 1)
    assert.deepEqual(attempts, [1, 1])
  },
  'retry in a handler is moveToDelayed with an attempt': async (mq) => {
    const queue = mq.queue('q')
    const attempts: number[] = []
    queue.work(async (job) => {
      attempts.push(job.attempt)
      if (attempts.length === 1) await job.retry({ delay: 50 })
    })
    await queue.send(1)
    await until('it came again', () => attempts.length === 2)
    assert.deepEqual(attempts, [1, 2])
  },
  'job.dead is moveToFailed; one dead letter may be taken by choice': async (mq) => {
    const queue = mq.queue<string>('q')
    await queue.sendMany(['a', 'b'])
    queue.work((job) => job.dead('not wanted'))
    await until('both are dead', async () => (await queue.dead.count()) === 2)
    for await (const job of mq.queue<string>('q.dead').consume()) {
      assert.equal(job.headers['x-millrace-reason'], 'not wanted')
      if (job.data === 'a') await job.release()
      else {
        await job.ack()
        break
      }
    }
    await until('one is left', async () => (await queue.dead.count()) === 1)
    assert.equal((await queue.dead.browse())[0]?.data, 'a')
  },
  'deadLetter: false is removeOnFail; the handler’s error is told': async (mq) => {
    const queue = mq.queue('q', { deadLetter: false, attempts: 1 })
    const errors: string[] = []
    queue
      .work(() => Promise.reject(new Error('no luck')))
      .on('dead', (_job, error) => errors.push(error.message))
    await queue.send(1)
    await until('it is dropped', async () => (await queue.stats()).dropped === 1)
    await until('it is told', () => errors.length > 0)
    assert.deepEqual(errors, ['no luck'])
  },
  'backoff: () => 0 is immediate, and a function is a strategy': async (mq) => {
    const asked: [number, string][] = []
    const backoff = (attempt: number, error: unknown): number => {
      asked.push([attempt, (error as Error).message])
      return 0
    }
    const queue = mq.queue('q', { attempts: 3, backoff })
    queue.work((job) => Promise.reject(new Error(`failure ${job.attempt}`)))
    await queue.send(1)
    await until('it is dead', async () => (await queue.dead.count()) === 1)
    assert.deepEqual(asked, [
      [1, 'failure 1'],
      [2, 'failure 2'],
    ])
  },
  'cancel and send again is promote, and debounce': async (mq) => {
    const queue = mq.queue('q')
    const { id } = await queue.send('old', { delay: '1h' })
    assert.equal(await queue.cancel(id), true)
    await queue.send('new')
    assert.deepEqual(
      (await queue.browse()).map((job) => job.data),
      ['new'],
    )
    assert.equal((await queue.stats()).delayed, 0)
  },
  'singleActiveConsumer and concurrency are a global concurrency': async (mq) => {
    const queue = mq.queue('q', { singleActiveConsumer: true })
    await queue.sendMany([1, 2, 3, 4, 5, 6])
    let running = 0
    let most = 0
    let done = 0
    const handler = async (): Promise<void> => {
      running += 1
      most = Math.max(most, running)
      await sleep(30)
      running -= 1
      done += 1
    }
    for (let worker = 0; worker < 3; worker += 1) queue.work(handler, { concurrency: 2 })
    await until('all are done', () => done === 6)
    assert.equal(most, 2)
  },
  'request and reply is waitUntilFinished, also for children': async (mq) => {
    await mq.reply<number>('resize', (job) => job.data * 2, { concurrency: 10 }).ready
    const results = await Promise.all([1, 2, 3].map((part) => mq.request<number>('resize', part)))
    assert.deepEqual(results, [2, 4, 6])
  },
  'a handler that sends its own next run is a job scheduler': async (mq) => {
    const queue = mq.queue<number>('q')
    const runs: number[] = []
    const schedule = (run: number): Promise<unknown> =>
      queue.send(run, { at: new Date(Date.now() + 50), dedupe: { key: `run ${run}`, window: '1h' } })
    queue.work(async (job) => {
      runs.push(job.data)
      await schedule(job.data + 1)
    })
    await Promise.all([schedule(1), schedule(1)])
    await until('it ran four times', () => runs.length >= 4)
    assert.deepEqual(runs.slice(0, 4), [1, 2, 3, 4])
  },
  'pause and resume hold for all; stats says so': async (mq) => {
    const queue = mq.queue('q')
    await queue.pause()
    let done = 0
    queue.work(() => void (done += 1))
    await queue.send(1)
    await sleep(100)
    assert.deepEqual([done, (await queue.stats()).paused], [0, true])
    await queue.resume()
    await until('it is done', () => done === 1)
  },
  'states are ready, unacked, delayed and dead': async (mq) => {
    const queue = mq.queue<string>('q')
    await queue.send('dead')
    for await (const job of queue.consume()) {
      await job.dead()
      break
    }
    await queue.sendMany(['unacked', 'ready'])
    await queue.send('delayed', { delay: '1h' })
    await queue.consume({ prefetch: 1 }).next()
    for (const state of ['ready', 'unacked', 'delayed', 'dead'] as const) {
      assert.deepEqual(
        (await queue.browse({ state })).map((job) => job.data),
        [state],
      )
    }
    const { ready, unacked, delayed, dead } = await queue.stats()
    assert.deepEqual({ ready, unacked, delayed, dead }, { ready: 1, unacked: 1, delayed: 1, dead: 1 })
    assert.equal(await queue.purge({ state: 'all' }), 2)
  },
  'headers stay through retries and into the dead letter': async (mq) => {
    const queue = mq.queue('q', { attempts: 2, backoff: () => 0 })
    const seen: unknown[] = []
    queue.work((job) => {
      seen.push(job.headers['traceparent'])
      throw job.attempt === 1 ? new Error('again') : new NonRetryableError('no')
    })
    await queue.send(1, { headers: { traceparent: '00-1-2-01' } })
    await until('it is dead', async () => (await queue.dead.count()) === 1)
    seen.push((await queue.dead.browse())[0]?.headers['traceparent'])
    assert.deepEqual(seen, ['00-1-2-01', '00-1-2-01', '00-1-2-01'])
  },
  'a mistyped option is an error': async (mq) => {
    await assert.rejects(mq.queue('q').send(1, { dealy: 5 } as object), /did you mean delay/)
  },
}

describe('what the page says', { skip }, () => {
  for (const [claim, tryIt] of Object.entries(claims)) {
    test(claim, { timeout: 60_000 }, async (t) => {
      const mq = await connect(newUrl())
      t.after(() => mq.close({ timeout: '1s' }))
      await tryIt(mq)
    })
  }

  test('?max_message_size is sizeLimit', async () => {
    await using mq = await connect(`${newUrl()}&max_message_size=100`)
    await assert.rejects(mq.queue('q').send('x'.repeat(200)), { code: 'MESSAGE_TOO_LARGE' })
  })

  test('keys of others stay as they are', async () => {
    await server.command('SET', 'bull:emails:meta', 'theirs')
    await using mq = await connect(server.url())
    await mq.queue('emails').send(1)
    await mq.queue('emails').delete()
    assert.equal(await server.command('GET', 'bull:emails:meta'), 'theirs')
  })
})
