/** What the tests of redis:// share: clients that are closed when the test ends, and patience. */
import { readFileSync } from 'node:fs'
import { resolve } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { connect } from '../../../src/index.ts'
import type { Client, ConnectOptions } from '../../../src/index.ts'

/** How often the connection was said to be down, up, blocked and free again. */
export interface Heard {
  down: number
  up: number
  blocked: number
  unblocked: number
  lost: number
}

export function listen(mq: Client): Heard {
  const heard: Heard = { down: 0, up: 0, blocked: 0, unblocked: 0, lost: 0 }
  mq.on('down', () => (heard.down += 1)).on('up', () => (heard.up += 1))
  mq.on('blocked', () => (heard.blocked += 1)).on('unblocked', () => (heard.unblocked += 1))
  mq.on('topologyLost', () => (heard.lost += 1))
  return heard
}

/** Clients that end with the test, whatever became of their server. */
export class Clients {
  readonly #open: Client[] = []

  async connect(url: string, options?: ConnectOptions): Promise<Client> {
    const client = await connect(url, options)
    this.#open.push(client)
    return client
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all(this.#open.map((client) => client.close({ timeout: 500 }).catch(() => undefined)))
  }
}

/** Sends numbers one after the other, in lanes, until told to stop; says which of them were stored. */
export function keepSending(mq: Client, name = 'q') {
  const queue = mq.queue<number>(name)
  const stored = new Set<number>()
  const codes = new Set<string>()
  let isStopped = false
  const lanes = [0, 1, 2, 3].map(async (first) => {
    for (let number = first; !isStopped; number += 4) {
      const code = await codeOf(queue.send(number))
      if (code === 'none') stored.add(number)
      else codes.add(code)
      if (code === 'CLOSED') return
      // It is not speed that is tested here.
      await delay(3)
    }
  })
  const stop = async (): Promise<void> => {
    isStopped = true
    await Promise.all(lanes)
  }
  return { stored, codes, stop }
}

/** Works on the queue; `seen` says what came, and how often. */
export async function keepWorking(mq: Client, name = 'q') {
  const seen = new Map<number, number>()
  const worker = mq.queue<number>(name).work(
    (job) => {
      seen.set(job.data, (seen.get(job.data) ?? 0) + 1)
    },
    { concurrency: 20 },
  )
  worker.on('error', () => undefined)
  await worker.ready
  return seen
}

/** The words of ACL SETUSER as docs/redis.md gives them: a user 'app' with the password 'secret' and the prefix 'mq'. */
export function documentedRights(): string[] {
  const document = readFileSync(resolve(import.meta.dirname, '../../../docs/redis.md'), 'utf8')
  const [, words = ''] = /^redis-cli (ACL SETUSER app [^`]*)$/m.exec(document.replaceAll('\\\n', '')) ?? []
  return words.replaceAll("'", '').trim().split(/\s+/)
}

/** More than any of it takes, and less than a test has: so that it says what never came. */
const patienceMs = 100_000

/** Waits until it holds. */
export async function until(what: string, holds: () => boolean | Promise<boolean>): Promise<void> {
  const startMs = performance.now()
  while (!(await holds())) {
    if (performance.now() - startMs > patienceMs) throw new Error(`not within ${patienceMs} ms: ${what}`)
    await delay(10)
  }
}

/** The code of the error it rejects with, or 'none'. */
export function codeOf(promise: Promise<unknown>): Promise<string> {
  return promise.then(
    () => 'none',
    (error: unknown) => (error as { code: string }).code,
  )
}
