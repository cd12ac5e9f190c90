import assert from 'node:assert/strict'
import { test } from 'node:test'
import { Slots } from '../../src/std/slots.ts'
import { Random, seedOfRun } from './random.ts'

test('slots hold what was put into them, as a naive map would', () => {
  const random = new Random(seedOfRun())
  const slots = new Slots<number>()
  const naive = new Map<number, number>()
  for (let step = 0; step < 5_000; step++) {
    const taken = [...naive.keys()]
    const draw = random.below(3)
    if (draw === 0 || taken.length === 0) {
      const slot = slots.add(step)
      assert.ok(!naive.has(slot))
      naive.set(slot, step)
    } else if (draw === 1) {
      const slot = random.pick(taken)
      slots.remove(slot)
      slots.remove(slot)
      naive.delete(slot)
    } else {
      const slot = random.pick(taken)
      slots.replace(slot, -step - 1)
      naive.set(slot, -step - 1)
    }
    slots.invariants()
    assert.equal(slots.size, naive.size)
  }
  assert.deepEqual(
    [...slots.entries()].map(([slot, item]) => [slot, item]),
    [...naive].sort((a, b) => a[0] - b[0]),
  )
})

test('a freed slot is used again before a new one', () => {
  const slots = new Slots<string>()
  const first = slots.add('a')
  slots.add('b')
  slots.remove(first)
  assert.equal(slots.at(first), undefined)
  assert.equal(slots.add('c'), first)
  assert.throws(() => slots.replace(9, 'x'), /a bug in Millrace/)
})
