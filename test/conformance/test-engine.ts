/** Runs the suite on one engine under node:test. */
import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { conformance, missing } from '../../src/conformance/index.ts'
import type { EngineUnderTest } from '../../src/conformance/index.ts'
import { documentedSigns, failures, foundSigns, patience } from './capabilities-doc.ts'

export function testEngine(engine: EngineUnderTest): void {
  const results = conformance({ runner: { test, describe }, engine, ...patience })
  test('every rule is accounted for', () => {
    assert.deepEqual(missing(results), [])
  })
  test('docs/capabilities.md says what this run found', (t) => {
    if (failures(results).length > 0) return t.skip('there are failures')
    const documented = documentedSigns(engine.name)
    for (const [number, sign] of foundSigns(engine.name, results)) {
      assert.equal(documented.get(number), sign, `rule ${number}: run npm run docs:capabilities`)
    }
  })
}
