import assert from 'node:assert/strict'
import { resolve } from 'node:path'
import { test } from 'node:test'
import { killOverAndOver } from './kill.ts'

test('killed again and again under load, it loses nothing confirmed and repeats nothing whose ack was synced', async () => {
  const seed = Number(process.env['SEED'] ?? 1)
  const entry = resolve(import.meta.dirname, '../../src/index.ts')
  const report = await killOverAndOver({ rounds: 15, seed, entry })
  assert.deepEqual(report.broken, [], `replay: npm run kill -- 15 ${seed}`)
  assert.ok(report.sent > 100, `only ${report.sent} messages were sent`)
})
