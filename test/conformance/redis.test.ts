/** `redis://` passes the conformance suite on one server that syncs each write, and docs/capabilities.md says what the run found. */
import { after, test } from 'node:test'
import { findRedis } from '../servers/redis.ts'
import { redisEngine, stopRedis } from './redis-engine.ts'
import { testEngine } from './test-engine.ts'

const { skip } = await findRedis()

if (skip === false) {
  testEngine(redisEngine)
  after(stopRedis)
} else test('redis: passes the conformance suite', { skip })
