import assert from 'node:assert/strict'
import { PassThrough } from 'node:stream'
import { describe, test } from 'node:test'
import { age, counted, dataText } from '../../src/cli/format.ts'
import { Progress } from '../../src/cli/progress.ts'
import { table } from '../../src/cli/table.ts'
import { OutputClosed, Terminal } from '../../src/cli/terminal.ts'

function terminal(setup: { isTTY: boolean; environment?: Record<string, string> }) {
  const output = Object.assign(new PassThrough(), { isTTY: setup.isTTY, columns: 60 })
  const errors = Object.assign(new PassThrough(), { isTTY: setup.isTTY })
  const made = new Terminal({
    input: new PassThrough(),
    output,
    errors,
    environment: setup.environment ?? {},
    interrupted: new AbortController().signal,
  })
  const said = (stream: PassThrough): string => String(stream.read() ?? '')
  return { made, output, errors, said }
}

describe('format', () => {
  test('data is shown so that a person can read it', () => {
    assert.equal(dataText('as it is'), 'as it is')
    assert.equal(dataText({ a: [1, null] }), '{"a":[1,null]}')
    assert.equal(dataText(null), 'null')
    assert.equal(dataText(new TextEncoder().encode('grün')), 'grün')
    assert.equal(dataText(Uint8Array.of(0xc3, 0x28)), 'base64:wyg=')
  })

  test('an age is told in the largest unit that says it', () => {
    assert.deepEqual([-5, 0, 999, 1_000, 119_000, 120_000, 7_200_000, 172_800_000].map(age), [
      '0ms',
      '0ms',
      '999ms',
      '1s',
      '119s',
      '2m',
      '2h',
      '2d',
    ])
  })

  test('a count has its plural', () => {
    assert.deepEqual(
      [0, 1, 2_000].map((count) => counted(count, 'message')),
      ['0 messages', '1 message', '2,000 messages'],
    )
  })

  test('a table has text to the left and figures to the right', () => {
    const { made } = terminal({ isTTY: false })
    assert.deepEqual(
      table(
        made,
        ['NAME', 'READY'],
        [
          ['a', 1_000_000],
          ['long-name', 2],
        ],
      ),
      ['NAME           READY', 'a          1,000,000', 'long-name          2'],
    )
  })
})

describe('terminal', () => {
  test('colours are for terminals, and not with NO_COLOR', () => {
    assert.equal(terminal({ isTTY: false }).made.style('bold', 'x'), 'x')
    assert.equal(terminal({ isTTY: true, environment: { NO_COLOR: '1' } }).made.style('bold', 'x'), 'x')
  })

  test('a closed output rejects what is written, and throws nothing else', async () => {
    const { made, output } = terminal({ isTTY: false })
    const failed = new Promise((resolve) => output.once('error', resolve))
    output.destroy(Object.assign(new Error('write EPIPE'), { code: 'EPIPE' }))
    await failed
    await assert.rejects(made.print('x'), OutputClosed)
  })
})

describe('progress', () => {
  test('says nothing where the errors are no terminal, and nothing for a moment', async (t) => {
    t.mock.method(Date, 'now', () => 1_800_000_000_000)
    for (const isTTY of [true, false]) {
      const { made, errors, said } = terminal({ isTTY })
      const progress = new Progress(made, 'moving', 10)
      progress.advance(5)
      progress.end()
      assert.equal(said(errors), '')
      assert.equal(progress.done, 5)
    }
  })

  test('shows a bar for what takes longer, and takes it away', async (t) => {
    let nowMs = 1_800_000_000_000
    t.mock.method(Date, 'now', () => nowMs)
    const { made, errors, said } = terminal({ isTTY: true })
    const progress = new Progress(made, 'moving', 10)
    nowMs += 350
    progress.advance(5)
    assert.match(said(errors), /^\rmoving █{14}░{14} 50% 5 at \d+\/s/)
    progress.end()
    assert.equal(said(errors), '\r\u001b[K')
  })
})
