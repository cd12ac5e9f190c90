import assert from 'node:assert/strict'
import { test } from 'node:test'
import { durationMs, maximumDurationMs } from '../../src/client/duration.ts'
import { ValidationError } from '../../src/model/errors.ts'

test('each unit is understood, and a bare number is milliseconds', () => {
  const cases: [unknown, number][] = [
    ['250ms', 250],
    ['5s', 5_000],
    ['1.5s', 1_500],
    ['5m', 300_000],
    ['1h', 3_600_000],
    ['7d', 604_800_000],
    [0, 0],
    [12, 12],
    [1.4, 1],
  ]
  for (const [given, ms] of cases) assert.equal(durationMs(given, 'delay'), ms)
})

test('what is negative, not a number, without a known unit or over ten years is refused and says what to write', () => {
  for (const wrong of [
    -1,
    NaN,
    Infinity,
    '5',
    '5 s',
    '-5s',
    '5y',
    '',
    's',
    null,
    undefined,
    {},
    [],
    5n,
    maximumDurationMs + 1,
  ]) {
    assert.throws(
      () => durationMs(wrong, 'delay'),
      (error) =>
        error instanceof ValidationError &&
        error.code === 'INVALID_OPTION' &&
        /delay must be/.test(error.message),
      String(wrong),
    )
  }
})
