/** `redis://…?cluster=yes` passes the conformance suite on a cluster of three, and finds what it finds on one server. */
import assert from 'node:assert/strict'
import { after, describe, test } from 'node:test'
import { conformance, missing } from '../../src/conformance/index.ts'
import { findRedis } from '../servers/redis.ts'
import { documentedSigns, failures, foundSigns, patience } from './capabilities-doc.ts'
import { redisClusterEngine as engine, stopRedis } from './redis-engine.ts'

const { skip } = await findRedis()

if (skip === false) {
  after(stopRedis)
  const results = conformance({ runner: { test, describe }, engine, ...patience })
  test('every rule is accounted for', () => {
    assert.deepEqual(missing(results), [])
  })
  test('a cluster does what one server does', () => {
    assert.deepEqual(failures(results), [])
    assert.deepEqual(foundSigns(engine.name, results), documentedSigns('redis'))
  })
} else test('redis: a cluster passes the conformance suite', { skip })
