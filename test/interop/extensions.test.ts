/** The Python program of docs/amqp-extensions.md, as it stands there. */
import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { text } from 'node:stream/consumers'
import { test } from 'node:test'
import { startBroker } from '../../src/server/index.ts'
import { needPython, python } from './clients.ts'

test(
  'a program in Python delays, retries and counts by the words of the document',
  { skip: await needPython('pika') },
  async () => {
    const document = readFileSync(new URL('../../docs/amqp-extensions.md', import.meta.url), 'utf8')
    const program = /```python\n(.*?)```/s.exec(document)?.[1] ?? ''
    await using broker = await startBroker({ port: 0 })
    const startMs = performance.now()
    const child = spawn(python, ['-c', program.replace('amqp://localhost', broker.url)])
    const [said, complaint] = await Promise.all([text(child.stdout), text(child.stderr)])
    assert.equal(complaint, '')
    assert.equal(said, "b'in five seconds' at attempt 3\n")
    assert.ok(performance.now() - startMs >= 7_000, 'five seconds, and one before each retry')
  },
)
