import assert from 'node:assert/strict'
import { test } from 'node:test'
import { simulate } from './simulation.ts'
import type { Sabotage } from './simulation.ts'

const seeds = 300
const first = Number(process.env['SEED'] ?? 1)

test(`no promise is broken in ${seeds} runs under faults`, async () => {
  let crashes = 0
  let deliveries = 0
  for (let seed = first; seed < first + seeds; seed++) {
    const report = await simulate({ seed })
    assert.deepEqual(report.broken, [], `replay: npm run sim -- ${seed}`)
    crashes += report.crashes
    deliveries += report.deliveries
  }
  assert.ok(crashes > seeds && deliveries > 50 * seeds, 'the runs did something')
})

test('a run can be replayed from its seed', async () => {
  assert.deepEqual(await simulate({ seed: 7 }), await simulate({ seed: 7 }))
})

for (const sabotage of ['sync does nothing', 'a record is dropped'] satisfies Sabotage[]) {
  test(`the simulation notices when ${sabotage}`, async () => {
    for (let seed = 1; seed <= 50; seed++) {
      if ((await simulate({ seed, sabotage })).broken.length > 0) return
    }
    assert.fail('50 runs noticed nothing')
  })
}
