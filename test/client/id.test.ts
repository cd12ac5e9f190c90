import assert from 'node:assert/strict'
import { test } from 'node:test'
import { newId } from '../../src/client/id.ts'

test('ids are UUIDs of version 7, distinct and ascending in one process', () => {
  const ids = Array.from({ length: 200_000 }, newId)
  assert.equal(new Set(ids).size, ids.length)
  for (const id of ids)
    assert.match(id, /^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/)
  assert.deepEqual([...ids].sort(), ids)
})

test('an id begins with its time in milliseconds', () => {
  const before = Date.now()
  const ms = Number.parseInt(newId().replaceAll('-', '').slice(0, 12), 16)
  assert.ok(ms >= before - 1 && ms <= Date.now() + 1_000)
})
