/**
 * A seeded random walk over an engine with tiny windows, a store that answers late, and restarts; compared with a naive
 * model after every step. Replay a failure with SEED=<seed>.
 */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { Random, seedOfRun } from '../std/random.ts'
import { Walk } from './walk.ts'

const plans = [
  { name: 'plain', priorities: 0, keys: 0, ttl: false, delays: false, paging: false, restarts: false },
  { name: 'paged', priorities: 0, keys: 0, ttl: false, delays: false, paging: true, restarts: false },
  {
    name: 'paged with priorities and delays',
    priorities: 2,
    keys: 0,
    ttl: false,
    delays: true,
    paging: true,
    restarts: false,
  },
  { name: 'keys', priorities: 0, keys: 3, ttl: false, delays: true, paging: false, restarts: false },
  { name: 'paged keys', priorities: 0, keys: 3, ttl: false, delays: true, paging: true, restarts: false },
  { name: 'everything', priorities: 2, keys: 3, ttl: true, delays: true, paging: true, restarts: true },
]

for (const plan of plans) {
  test(`a random walk agrees with the model: ${plan.name}`, () => {
    const seed = seedOfRun()
    for (let round = 0; round < 20; round += 1) {
      const walk = new Walk(new Random(seed + round), plan)
      try {
        for (let step = 0; step < 400; step += 1) walk.step()
        walk.finish()
      } catch (error) {
        assert.fail(
          `seed ${seed}, round ${round}: ${String(error instanceof Error ? error.stack : error)}\n${walk.history()}`,
        )
      }
    }
  })
}
