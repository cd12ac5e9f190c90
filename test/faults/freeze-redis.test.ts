/** A worker process that is stopped (SIGSTOP) beyond its lease, and goes on as if nothing had been. */
import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import type { ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import { resolve } from 'node:path'
import { describe, test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { connect } from '../../src/index.ts'
import { findRedis, RedisServer } from '../servers/redis.ts'

const { skip } = await findRedis()
/** So long that a machine which stands still for two seconds renews it in time. */
const leaseMs = 5_000

describe(
  'a worker that was frozen beyond its lease settles nothing any more',
  { skip, concurrency: true },
  () => {
    for (const outcome of ['ack', 'retry', 'release', 'dead', 'extend']) {
      test(`${outcome}: refused, the signals abort, and the messages are handled elsewhere, once`, async () => {
        await using server = await RedisServer.start({ sync: 'always' })
        const url = `${server.url()}?lease=${leaseMs}`
        await using mq = await connect(url)
        const work = mq.queue<number>('work')
        await work.sendMany([1, 2])
        const frozen = new FrozenWorker(url, outcome)
        try {
          await frozen.heard('held')
          await frozen.freeze()
          const handled: number[] = []
          const worker = work.work((job) => void handled.push(job.attempt))
          while (handled.length < 2) await sleep(10)
          frozen.thaw()
          await frozen.heard(`${outcome} false`)
          await frozen.heard('lost')
          await sleep(1.2 * leaseMs)
          await worker.close()
          assert.deepEqual(handled, [2, 2])
          const { ready, unacked, delayed, acked, retried, dead } = await work.stats()
          assert.deepEqual(
            { ready, unacked, delayed, acked, retried, dead },
            { ready: 0, unacked: 0, delayed: 0, acked: 2, retried: 0, dead: 0 },
          )
        } finally {
          await frozen.close()
        }
      })
    }
  },
)

class FrozenWorker {
  readonly #child: ChildProcess
  readonly #said: unknown[] = []

  constructor(url: string, outcome: string) {
    const program = resolve(import.meta.dirname, 'freeze-redis-child.ts')
    this.#child = spawn(process.execPath, ['--import', 'tsx', program, url, outcome], {
      stdio: ['ignore', 'inherit', 'inherit', 'ipc'],
    })
    this.#child.on('message', (word) => this.#said.push(word))
  }

  async heard(word: string): Promise<void> {
    for (let waited = 0; !this.#said.includes(word); waited += 10) {
      assert.ok(waited < 60_000, `it did not say ${word}, but ${this.#said.join(', ')}`)
      await sleep(10)
    }
  }

  /** Resolves when it has stopped itself. */
  async freeze(): Promise<void> {
    this.#child.send('go')
    while (!/^State:\tT/m.test(readFileSync(`/proc/${this.#child.pid}/status`, 'utf8'))) await sleep(5)
  }

  thaw(): void {
    this.#child.kill('SIGCONT')
  }

  async close(): Promise<void> {
    const gone = once(this.#child, 'exit')
    this.#child.kill('SIGKILL')
    await gone
  }
}
