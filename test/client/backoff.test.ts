import assert from 'node:assert/strict'
import { test } from 'node:test'
import { backoffFunction, defaultBackoff } from '../../src/client/backoff.ts'

test('exponential doubles from the first delay up to the maximum', () => {
  const delay = backoffFunction({ type: 'exponential', delay: '1s', max: '10s', jitter: 0 })
  assert.deepEqual(
    [1, 2, 3, 4, 5, 50, 5_000].map((attempt) => delay(attempt, undefined)),
    [1_000, 2_000, 4_000, 8_000, 10_000, 10_000, 10_000],
  )
})

test('fixed keeps its delay', () => {
  const delay = backoffFunction({ type: 'fixed', delay: 300, jitter: 0 })
  assert.deepEqual(
    [1, 2, 9].map((attempt) => delay(attempt, undefined)),
    [300, 300, 300],
  )
})

test('jitter spreads a delay evenly to both sides and no further', () => {
  const delay = backoffFunction(defaultBackoff)
  const delays = Array.from({ length: 2_000 }, () => delay(1, undefined))
  assert.ok(delays.every((ms) => ms >= 800 && ms <= 1_200))
  assert.ok(delays.some((ms) => ms < 900) && delays.some((ms) => ms > 1_100))
})

test('a function is given the attempt and the error, and what it returns is checked', () => {
  const error = new Error('no')
  const seen: unknown[] = []
  const delay = backoffFunction((attempt, cause) => (seen.push(attempt, cause), attempt * 7))
  assert.equal(delay(3, error), 21)
  assert.deepEqual(seen, [3, error])
  assert.throws(() => backoffFunction(() => NaN)(1, error), { code: 'INVALID_OPTION' })
  assert.throws(() => backoffFunction(() => -1)(1, error), { code: 'INVALID_OPTION' })
})
