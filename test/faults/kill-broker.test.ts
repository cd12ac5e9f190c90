import assert from 'node:assert/strict'
import { resolve } from 'node:path'
import { test } from 'node:test'
import { killBrokerOverAndOver } from './kill-broker.ts'

test('a broker that is killed again and again under load loses nothing it confirmed', async () => {
  const seed = Number(process.env['SEED'] ?? 1)
  const program = resolve(import.meta.dirname, '../../src/cli/main.ts')
  const report = await killBrokerOverAndOver({ rounds: 10, seed, command: ['--import', 'tsx', program] })
  assert.deepEqual(report.broken, [], `replay: npm run kill:broker -- 10 ${seed}`)
  assert.ok(report.confirmed > 100, `only ${report.confirmed} messages were confirmed`)
  assert.ok(report.committed > 10, `only ${report.committed} acks were committed`)
})
