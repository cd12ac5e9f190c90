import assert from 'node:assert/strict'
import { resolve } from 'node:path'
import { test } from 'node:test'
import { findRedis } from '../servers/redis.ts'
import { killRedisOverAndOver } from './kill-redis.ts'

const { skip } = await findRedis()
const entry = resolve(import.meta.dirname, '../../src/index.ts')

test(
  'Redis and its workers are killed again and again: nothing confirmed is lost, nothing settled comes again',
  { skip },
  async () => {
    const seed = Number(process.env['SEED'] ?? 1)
    const report = await killRedisOverAndOver({ rounds: 5, seed, entry })
    assert.deepEqual(report.broken, [], `replay: npm run kill:redis -- 5 ${seed}`)
    assert.ok(report.sent > 100, `only ${report.sent} messages were sent`)
    assert.ok(report.acked > 100, `only ${report.acked} ends were told`)
  },
)
