/** A seeded random walk over everything at once; see wide-walk.ts. Replay a failure with SEED=<seed>. */
import { test } from 'node:test'
import { Random, seedOfRun } from '../std/random.ts'
import { WideWalk } from './wide-walk.ts'

test('a random walk through exchanges, queues and policies of every kind loses count of nothing', () => {
  const seed = seedOfRun()
  for (let round = 0; round < 60; round += 1) {
    const walk = new WideWalk(new Random(seed + round))
    try {
      for (let step = 0; step < 200; step += 1) walk.step()
      walk.finish()
    } catch (error) {
      throw new Error(`seed ${seed}, round ${round}`, { cause: error })
    }
  }
})
