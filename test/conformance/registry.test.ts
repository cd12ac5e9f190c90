/** The list itself. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { capabilityTable, chapters, lineCount } from '../../src/conformance/index.ts'
import type { LineResult, Outcome } from '../../src/conformance/index.ts'

const lines = chapters.flatMap((chapter) => chapter.lines)

test('the hundred rules are there, each once, in order', () => {
  assert.deepEqual(
    lines.map(({ number }) => number),
    Array.from({ length: lineCount }, (_, index) => index + 1),
  )
})

test('no two rules have the same title', () => {
  assert.equal(new Set(lines.map(({ title }) => title)).size, lines.length)
})

test('the table shows each outcome and its reason', () => {
  const result = (number: number, outcome: Outcome): LineResult => ({
    number,
    heading: 'Publish',
    title: `rule ${number}`,
    outcome,
  })
  const table = capabilityTable({
    one: [
      result(1, { type: 'passed' }),
      result(2, { type: 'unsupported', feature: 'magic' }),
      result(3, { type: 'not applicable', reason: 'no disk' }),
      result(4, { type: 'failed', error: 'broken' }),
    ],
    two: [
      result(1, { type: 'passed', note: 'no disk' }),
      result(3, { type: 'not applicable', reason: 'no disk' }),
    ],
  })
  assert.deepEqual(table.split('\n'), [
    '## Publish',
    '',
    '| # | rule | `one:` | `two:` |',
    '| --- | --- | --- | --- |',
    '| 01 | rule 1 | ✓ | ✓ <sup>1</sup> |',
    '| 02 | rule 2 | **no** <sup>2</sup> | ? |',
    '| 03 | rule 3 | – <sup>1</sup> | – <sup>1</sup> |',
    '| 04 | rule 4 | ✗ | ? |',
    '',
    '## Notes',
    '',
    '1. no disk',
    '2. magic',
    '',
  ])
})
