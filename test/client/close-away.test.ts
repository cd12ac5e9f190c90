/** Closing a connection whose server is away: it ends, in the time it was given. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { connect } from '../../src/index.ts'
import type { Client } from '../../src/index.ts'
import { findRedis, RedisServer } from '../servers/redis.ts'

const { skip } = await findRedis()
const patienceMs = 30_000

/** Each resolves when it is in use. */
const users: Record<string, (mq: Client) => Promise<unknown>> = {
  'a worker with a job that does not end': (mq) =>
    new Promise<void>((resolve) => {
      mq.queue('q').work(() => {
        resolve()
        return new Promise(() => undefined)
      })
    }),
  'an idle worker': (mq) => mq.queue('idle').work(() => undefined).ready,
  'messages in hand': (mq) => mq.queue('q').consume({ prefetch: 2 }).next(),
}

for (const [name, use] of Object.entries(users)) {
  for (const harm of ['killed', 'frozen'] as const) {
    test(`close with a timeout ends with ${name} while the server is ${harm}`, { skip }, async () => {
      await using server = await RedisServer.start()
      const mq = await connect(server.url())
      await mq.queue('q').sendMany([1, 2, 3])
      await use(mq)
      if (harm === 'killed') await server.kill()
      else server.freeze()
      const isClosed = mq.close({ timeout: '500ms' }).then(() => true)
      assert.equal(await Promise.race([isClosed, sleep(patienceMs, false, { ref: false })]), true)
    })
  }
}
