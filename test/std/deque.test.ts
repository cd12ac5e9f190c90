import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { Deque } from '../../src/std/deque.ts'
import { Random, seedOfRun } from './random.ts'

describe('Deque', () => {
  test('items come out in the order they went in', () => {
    const deque = new Deque<number>()
    for (let item = 0; item < 100; item += 1) deque.push(item)
    for (let item = 0; item < 100; item += 1) assert.equal(deque.shift(), item)
    assert.equal(deque.shift(), undefined)
    assert.equal(deque.length, 0)
  })

  test('an empty deque has nothing to look at or to take', () => {
    const deque = new Deque<string>()
    assert.equal(deque.peekFirst(), undefined)
    assert.equal(deque.peekLast(), undefined)
    assert.equal(deque.pop(), undefined)
    assert.equal(deque.shift(), undefined)
    assert.equal(deque.at(0), undefined)
    deque.invariants()
  })

  test('an index outside of the deque holds nothing', () => {
    const deque = new Deque<string>()
    deque.push('a')
    assert.equal(deque.at(0), 'a')
    assert.equal(deque.at(1), undefined)
    assert.equal(deque.at(-1), undefined)
  })

  test('it behaves as an array does under random operations', () => {
    const seed = seedOfRun()
    const random = new Random(seed)
    const deque = new Deque<number>()
    let model: number[] = []
    for (let step = 0; step < 20_000; step += 1) {
      const growing = Math.floor(step / 1000) % 2 === 0
      const choice = random.next() * (growing ? 0.8 : 1.6)
      const where = `seed ${seed}, step ${step}`
      if (choice < 0.35) {
        deque.push(step)
        model.push(step)
      } else if (choice < 0.6) {
        deque.unshift(step)
        model.unshift(step)
      } else if (choice < 1.1) {
        assert.equal(deque.shift(), model.shift(), where)
      } else if (choice < 1.599) {
        assert.equal(deque.pop(), model.pop(), where)
      } else {
        deque.clear()
        model = []
      }
      assert.equal(deque.length, model.length, where)
      assert.equal(deque.peekFirst(), model[0], where)
      assert.equal(deque.peekLast(), model.at(-1), where)
      const index = random.below(model.length + 1)
      assert.equal(deque.at(index), model[index], where)
      deque.invariants()
    }
  })
})
