/**
 * `redis://…?cluster=yes` passes the conformance suite on a cluster of three. All of a
 * queue is on one node: what takes long and tries one queue alone is left to the run on one server, unless
 * `MILLRACE_WHOLE=1`.
 */
import assert from 'node:assert/strict'
import { after, describe, test } from 'node:test'
import { conformance, missing } from '../../src/conformance/index.ts'
import { findRedis } from '../servers/redis.ts'
import { documentedSigns, failures, foundSigns, patience } from './capabilities-doc.ts'
import { redisClusterEngine as engine, stopRedis } from './redis-engine.ts'

const { skip } = await findRedis()

/** Back-pressure, leases, windows, restarts in a row, a soak. */
const left =
  process.env['MILLRACE_WHOLE'] === '1' ? [] : [11, 45, 47, 48, 49, 50, 51, 52, 55, 65, 87, 91, 93, 100]

if (skip === false) {
  after(stopRedis)
  const chosen = (name: string, run: () => Promise<void>): unknown =>
    left.includes(Number.parseInt(name, 10)) ? undefined : test(name, run)
  const results = conformance({ runner: { test: chosen, describe }, engine, ...patience })
  test('every rule is accounted for', () => {
    assert.deepEqual(missing(results), left)
  })
  test('docs/capabilities.md says what this run found', () => {
    assert.deepEqual(failures(results), [])
    const documented = documentedSigns(engine.name)
    for (const [number, sign] of foundSigns(engine.name, results)) {
      if (!left.includes(Number(number))) assert.equal(sign, documented.get(number), `rule ${number}`)
    }
  })
} else test('redis: a cluster passes the conformance suite', { skip })
