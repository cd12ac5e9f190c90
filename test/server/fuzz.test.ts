import assert from 'node:assert/strict'
import { test } from 'node:test'
import { seedOfRun } from '../std/random.ts'
import { fuzzServer } from './fuzz.ts'

test('whatever a peer says, it is refused as the protocol has it, and the broker stays sound', async () => {
  const { rounds, survived } = await fuzzServer(seedOfRun(), 3_000)
  assert.ok(survived > rounds / 20, `${survived} of ${rounds} conversations went to their end`)
})
