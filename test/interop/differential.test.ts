/**
 * The same scenario on both: seeded sequences of operations, right and wrong ones, at a real RabbitMQ and at Millrace's broker, which
 * must answer alike. `npm run differential -- FROM COUNT` runs more of them, and makes short what differs.
 */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { startBroker } from '../../src/server/index.ts'
import { findRabbitMq, RabbitMq } from '../servers/rabbitmq.ts'
import { Comparison } from './differential/compare.ts'
import { generate } from './differential/generate.ts'
import { print, runRange } from './differential/range.ts'

const { skip } = await findRabbitMq()

test('150 sequences are answered as by RabbitMQ', { skip }, async () => {
  await using rabbit = await RabbitMq.start()
  await using broker = await startBroker({ port: 0 })
  const ports = { reference: rabbit.port, subject: broker.port }
  const summary = await runRange({
    ports,
    from: Number(process.env['SEED'] ?? 1),
    count: 150,
    lanes: 8,
    stopAfter: 3,
    shrinks: false,
    tell: () => undefined,
  })
  const told = summary.differences.map(
    (difference) => `npm run differential -- ${difference.sequence.seed} 1\n${print(difference)}`,
  )
  assert.deepEqual(told, [])
  const comparison = new Comparison(ports)
  for (const seed of summary.unsteady) {
    assert.ok(await isSteady(comparison, seed), `now so, now otherwise: npm run differential -- ${seed} 1`)
  }
  await comparison.close()
})

/**
 * On a machine that stands still much is looked at too early; with patience a broker that answers well does so several times
 * in a row.
 */
async function isSteady(comparison: Comparison, seed: number): Promise<boolean> {
  let inARow = 0
  for (let tries = 0; tries < 10 && inARow < 3; tries += 1) {
    inARow = (await comparison.compare(generate(seed), 10)) === undefined ? inARow + 1 : 0
  }
  return inARow === 3
}
