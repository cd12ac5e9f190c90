import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { Heap } from '../../src/std/heap.ts'
import { Random, seedOfRun } from './random.ts'

const ascending = (a: number, b: number): number => a - b

describe('Heap', () => {
  test('the smallest item comes out first, whatever the order they went in', () => {
    const heap = new Heap<number>(ascending)
    for (const item of [5, 3, 8, 1, 9, 1]) heap.push(item)
    assert.deepEqual(drain(heap), [1, 1, 3, 5, 8, 9])
  })

  test('an empty heap has nothing to give', () => {
    const heap = new Heap<number>(ascending)
    assert.equal(heap.peek(), undefined)
    assert.equal(heap.pop(), undefined)
    assert.equal(heap.length, 0)
  })

  test('the compare function decides what is smallest', () => {
    const heap = new Heap<{ name: string }>((a, b) => (a.name < b.name ? 1 : -1))
    for (const name of ['b', 'c', 'a']) heap.push({ name })
    assert.equal(heap.pop()?.name, 'c')
  })

  test('replaced items come out in order and the old ones are gone', () => {
    const heap = new Heap<number>(ascending)
    heap.push(0)
    heap.replaceAll([7, 2, 6, 2, 4])
    heap.invariants()
    assert.deepEqual([...heap.values()].sort(ascending), [2, 2, 4, 6, 7])
    assert.deepEqual(drain(heap), [2, 2, 4, 6, 7])
  })

  test('it behaves as a sorted array does under random operations', () => {
    const seed = seedOfRun()
    const random = new Random(seed)
    const heap = new Heap<number>(ascending)
    let model: number[] = []
    for (let step = 0; step < 10_000; step += 1) {
      const where = `seed ${seed}, step ${step}`
      const choice = random.next()
      if (choice < 0.55) {
        const item = random.below(500)
        heap.push(item)
        model.push(item)
        model.sort(ascending)
      } else if (choice < 0.99) {
        assert.equal(heap.pop(), model.shift(), where)
      } else if (choice < 0.995) {
        model = Array.from({ length: random.below(200) }, () => random.below(500))
        heap.replaceAll(model)
        model.sort(ascending)
      } else {
        heap.clear()
        model = []
      }
      assert.equal(heap.length, model.length, where)
      assert.equal(heap.peek(), model[0], where)
      heap.invariants()
    }
  })
})

function drain(heap: Heap<number>): number[] {
  const items: number[] = []
  for (let item = heap.pop(); item !== undefined; item = heap.pop()) items.push(item)
  return items
}
