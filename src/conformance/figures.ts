/** Comparing a queue's figures: an engine may not know all of them, and line 77 holds it to what it claims. */
import assert from 'node:assert/strict'
import type { QueueStats } from '../client/driver.ts'

/** Asserts those of the figures that the engine tells; `ready` and `consumers` every engine does. */
export function assertFigures<Stats extends QueueStats>(
  stats: Stats,
  expected: Partial<Stats>,
  message?: string,
): void {
  const names = Object.keys(expected) as (keyof Stats)[]
  const told = names.filter((name) => stats[name] !== undefined)
  const pick = (from: Partial<Stats>): object => Object.fromEntries(told.map((name) => [name, from[name]]))
  assert.deepEqual(pick(stats), pick(expected), message)
  for (const name of ['ready', 'consumers', 'paused'] as const) assert.notEqual(stats[name], undefined, name)
}
