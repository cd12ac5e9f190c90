/** The two forms of the log say the same. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { createLog } from '../../src/server/log.ts'

const now = () => new Date('2026-01-02T03:04:05.678Z')
const fields = { id: 7, user: 'ada', reason: 'two "words"\nand a line', missing: undefined, empty: '' }

function lines(format: 'text' | 'json'): string[] {
  const written: string[] = []
  const log = createLog({ format, level: 'info', write: (line) => written.push(line), now })
  log.debug('not told')
  log.info('listening')
  log.warn('refused', fields)
  return written
}

test('text: one line a fact, whatever a peer put into it', () => {
  assert.deepEqual(lines('text'), [
    '2026-01-02T03:04:05.678Z info  listening\n',
    '2026-01-02T03:04:05.678Z warn  refused  id=7 user=ada reason="two \\"words\\"\\nand a line" empty=""\n',
  ])
})

test('json: one object a line', () => {
  const told = lines('json').map((line): unknown => JSON.parse(line))
  const time = '2026-01-02T03:04:05.678Z'
  const { missing: _, ...rest } = fields
  assert.deepEqual(told, [
    { time, level: 'info', event: 'listening' },
    { time, level: 'warn', event: 'refused', ...rest },
  ])
})
