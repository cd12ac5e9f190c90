/** What cannot be sent is refused by itself: what others send in the same turn goes on. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { connect } from '../../../src/index.ts'
import { findRedis, RedisServer } from '../../servers/redis.ts'
import { codeOf } from './world.ts'

const { skip } = await findRedis()

test(
  'headers that no field can hold are refused as on the other engines, each message alone',
  { skip },
  async () => {
    await using server = await RedisServer.start()
    await using mq = await connect(`redis://127.0.0.1:${server.port}`)
    const queue = mq.queue('q')
    await queue.declare()
    const cycle: Record<string, unknown> = {}
    cycle['again'] = cycle
    const bad = [{ f: () => 1 }, { map: new Map() }, { ['n'.repeat(256)]: 1 }, cycle]
    const sent = [{ n: 1 }, ...bad, { n: 2 }].map((headers) => queue.send(1, { headers: headers as never }))
    const codes = await Promise.all(sent.map((one) => codeOf(one)))
    assert.deepEqual(
      codes.slice(1, -1),
      bad.map(() => 'INVALID_ARGUMENT'),
    )
    await Promise.all([sent[0], sent.at(-1)])
    assert.deepEqual(
      (await queue.browse()).map((job) => job.headers),
      [{ n: 1 }, { n: 2 }],
    )
  },
)
