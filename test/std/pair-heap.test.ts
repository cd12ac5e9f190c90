import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { PairHeap } from '../../src/std/pair-heap.ts'
import { Random, seedOfRun } from './random.ts'

type Pair = readonly [key: number, value: number]

const byKeyThenValue = (a: Pair, b: Pair): number => a[0] - b[0] || a[1] - b[1]

describe('PairHeap', () => {
  test('values come out in the order of their keys', () => {
    const heap = new PairHeap()
    heap.push(30, 1)
    heap.push(10, 2)
    heap.push(20, 3)
    assert.equal(heap.peekKey(), 10)
    assert.equal(heap.peekValue(), 2)
    assert.deepEqual([heap.pop(), heap.pop(), heap.pop()], [2, 3, 1])
  })

  test('values of one key come out in ascending order', () => {
    const heap = new PairHeap()
    for (const value of [4, 2, 5, 1, 3]) heap.push(7, value)
    assert.deepEqual([heap.pop(), heap.pop(), heap.pop(), heap.pop(), heap.pop()], [1, 2, 3, 4, 5])
  })

  test('an empty heap has an infinite key and no value', () => {
    const heap = new PairHeap()
    assert.equal(heap.peekKey(), Infinity)
    assert.equal(heap.peekValue(), undefined)
    assert.equal(heap.pop(), undefined)
    heap.load([], [])
    assert.equal(heap.peekKey(), Infinity)
    heap.invariants()
  })

  test('a load replaces what was there and leaves the given arrays alone', () => {
    const heap = new PairHeap()
    heap.push(1, 1)
    const keys = Float64Array.of(9, 8, 7)
    heap.load(keys, Float64Array.of(90, 80, 70))
    heap.push(7.5, 75)
    assert.deepEqual([heap.pop(), heap.pop(), heap.pop(), heap.pop()], [70, 75, 80, 90])
    assert.deepEqual([...keys], [9, 8, 7])
  })

  test('it behaves as a sorted array does under random operations', () => {
    const seed = seedOfRun()
    const random = new Random(seed)
    const heap = new PairHeap()
    let model: Pair[] = []
    for (let step = 0; step < 10_000; step += 1) {
      const where = `seed ${seed}, step ${step}`
      const growing = Math.floor(step / 1000) % 2 === 0
      const choice = random.next() * (growing ? 0.8 : 1.2)
      if (choice < 0.5) {
        const key = random.below(100)
        heap.push(key, step)
        model.push([key, step])
        model.sort(byKeyThenValue)
      } else if (choice < 1.19) {
        assert.equal(heap.pop(), model.shift()?.[1], where)
      } else if (choice < 1.195) {
        model = Array.from({ length: random.below(300) }, (_, index) => [random.below(50), index])
        heap.load(
          model.map((pair) => pair[0]),
          model.map((pair) => pair[1]),
        )
        model.sort(byKeyThenValue)
      } else {
        heap.clear()
        model = []
      }
      assert.equal(heap.length, model.length, where)
      assert.equal(heap.peekKey(), model[0]?.[0] ?? Infinity, where)
      assert.equal(heap.peekValue(), model[0]?.[1], where)
      heap.invariants()
      if (step % 100 === 0) assert.deepEqual(pairsOf(heap), model, where)
    }
  })
})

function pairsOf(heap: PairHeap): Pair[] {
  const pairs: Pair[] = []
  heap.forEach((key, value) => pairs.push([key, value]))
  return pairs.sort(byKeyThenValue)
}
