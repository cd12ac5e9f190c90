/**
 * The same scenario on both: seeded sequences of operations, right and wrong ones, at a real RabbitMQ and at Millrace's broker, which
 * must answer alike. `npm run differential -- FROM COUNT` runs more of them, and makes short what differs.
 */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { startBroker } from '../../src/server/index.ts'
import { findRabbitMq, RabbitMq } from '../servers/rabbitmq.ts'
import { print, runRange } from './differential/range.ts'

const { skip } = await findRabbitMq()

test('150 sequences are answered as by RabbitMQ', { skip }, async () => {
  await using rabbit = await RabbitMq.start()
  await using broker = await startBroker({ port: 0 })
  const summary = await runRange({
    ports: { reference: rabbit.port, subject: broker.port },
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
  assert.ok(summary.unsteady.length < 5, `unsteady: ${summary.unsteady.join(', ')}`)
})
