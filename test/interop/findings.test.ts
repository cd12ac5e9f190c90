/** What differential runs have found stays mended: RabbitMQ's answers are on record, so none is needed here. */
import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { test } from 'node:test'
import { isDeepStrictEqual } from 'node:util'
import { startBroker } from '../../src/server/index.ts'
import { answer, readFindings } from './differential/findings.ts'
import { knownDifferences } from './known-differences.ts'

test('recorded sequences are answered as RabbitMQ did', async (t) => {
  const findings = readFindings()
  await using broker = await startBroker({ port: 0 })
  const answers = await answer(findings, broker.port)
  // What was looked at too early, on a machine that stood still, is asked again.
  for (const patience of [3, 10, 40]) {
    const early = findings.filter((finding, index) => !isDeepStrictEqual(answers[index], finding.answers))
    const later = await answer(early, broker.port, patience)
    for (const [index, finding] of early.entries()) answers[findings.indexOf(finding)] = later[index] ?? []
  }
  for (const [index, finding] of findings.entries()) {
    await t.test(finding.rule, () => assert.deepEqual(answers[index], finding.answers))
  }
})

test('every known difference is documented for users', () => {
  const text = readFileSync('docs/compatibility.md', 'utf8')
  for (const { name } of knownDifferences) assert.ok(text.includes(name), name)
})
