/** A delay is a sum of levels: never shorter than asked for, and little longer. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import {
  levelCount,
  levelMs,
  levelName,
  levelsOf,
  maximumDelayMs,
  roundedUp,
} from '../../../src/drivers/amqp/delay-levels.ts'

const secondMs = 1_000
const hourMs = 3_600_000
const dayMs = 24 * hourMs

function sumMs(levels: readonly number[]): number {
  return levels.reduce((sum, level) => sum + levelMs(level), 0)
}

test('there are 28 levels of seconds above 10 of milliseconds, each with a name of its own', () => {
  const levels = Array.from({ length: levelCount }, (_, level) => level)
  assert.deepEqual(
    levels.map(levelName).filter((_, level) => [0, 9, 10, 37].includes(level)),
    ['1ms', '512ms', '1s', '134217728s'],
  )
  assert.equal(new Set(levels.map(levelName)).size, levelCount)
  assert.equal(sumMs(levels.filter((level) => level >= 10)), maximumDelayMs)
})

test('a delay is the sum of its levels, the longest first, each once', () => {
  for (const [delayMs, names] of [
    [1, ['1ms']],
    [5, ['4ms', '1ms']],
    [31, ['16ms', '8ms', '4ms', '2ms', '1ms']],
    [1_000, ['1s']],
    [1_032, ['1s', '32ms']],
    [90 * secondMs, ['64s', '16s', '8s', '2s']],
  ] as const) {
    assert.deepEqual(levelsOf(delayMs).map(levelName), names, `${delayMs} ms`)
  }
})

test('it is never short, and late by no more than it says', () => {
  const tolerated = (delayMs: number): number => {
    if (delayMs < secondMs) return delayMs / 16
    if (delayMs < 60 * secondMs) return 32
    return delayMs < 18 * hourMs ? secondMs : delayMs / 32_768 + secondMs
  }
  const delays = [0.5, 1, 2, 3, 999, 1_000, 1_001, 59_999, 60_000, 60_001, hourMs, dayMs, 365 * dayMs]
  for (let delayMs = 1; delayMs < maximumDelayMs; delayMs = Math.ceil(delayMs * 1.07)) delays.push(delayMs)
  for (const delayMs of [...delays, maximumDelayMs]) {
    const heldMs = sumMs(levelsOf(delayMs))
    assert.equal(heldMs, roundedUp(delayMs))
    assert.ok(heldMs >= delayMs, `${delayMs} ms came ${delayMs - heldMs} ms early`)
    assert.ok(heldMs - delayMs <= Math.max(1, tolerated(delayMs)), `${delayMs} ms held ${heldMs}`)
  }
})

test('no delay takes many levels', () => {
  for (let delayMs = 1; delayMs < maximumDelayMs / 2; delayMs = Math.ceil(delayMs * 1.01)) {
    assert.ok(levelsOf(delayMs).length <= 16, `${delayMs} ms: ${levelsOf(delayMs).length}`)
  }
})

test('what is no delay within the limits is a mistake of ours', () => {
  for (const delayMs of [0, -1, maximumDelayMs + 1, Number.NaN]) {
    assert.throws(() => levelsOf(delayMs), /a delay within the limits/)
  }
})
