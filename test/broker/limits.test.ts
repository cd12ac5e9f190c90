import assert from 'node:assert/strict'
import { test } from 'node:test'
import { defaultLimits } from '../../src/broker/limits.ts'
import { connectTo, memoryBroker } from './harness.ts'

test('every limit has a default that bounds something', () => {
  for (const [name, value] of Object.entries(defaultLimits) as [string, number][]) {
    assert.ok(Number.isFinite(value) && value > 0, name)
    if (name !== 'resumeAt') assert.ok(Number.isSafeInteger(value), name)
  }
  assert.ok(defaultLimits.resumeAt < 1, 'publishers go on below the mark, not at it')
  assert.ok(defaultLimits.maximumBodyBytes < defaultLimits.memoryBytes, 'the largest message has room')
})

test('limits that are given replace the defaults, the others stay', async () => {
  const broker = memoryBroker({ limits: { memoryBytes: 5 } })
  assert.deepEqual(broker.limits, { ...defaultLimits, memoryBytes: 5 })
  await broker.close()
})

test('the longest delay is that of the broker', async () => {
  const broker = memoryBroker({ limits: { maximumDelayMs: 1_000 } })
  connectTo(broker)
  assert.equal(broker.engine.limits.delayMs, 1_000)
  await broker.close()
})
