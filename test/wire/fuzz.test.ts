import assert from 'node:assert/strict'
import { test } from 'node:test'
import { seedOfRun } from '../std/random.ts'
import { fuzz } from './fuzz.ts'

test('whatever is done to the bytes, the codec reads them or refuses them, alike in any chunks', () => {
  const { rounds, refused, events } = fuzz(seedOfRun(), 10_000)
  assert.ok(refused > rounds / 10 && refused < rounds, `${refused} of ${rounds} refused`)
  assert.ok(events > rounds)
})
