import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { inspect } from 'node:util'
import { MillraceError } from '../../src/model/errors.ts'
import type { FieldTable } from '../../src/model/field-table.ts'
import { Message } from '../../src/model/message.ts'
import { Router } from '../../src/routing/router.ts'
import { Random, seedOfRun } from '../std/random.ts'

function matches(table: FieldTable, headers: FieldTable | undefined): boolean {
  const router = new Router<string>('headers')
  router.bind({ destination: 'q', routingKey: 'ignored', arguments: table })
  router.invariants()
  const routes = new Set<string>()
  router.route('whatever', { properties: headers === undefined ? {} : { headers } }, routes)
  return routes.size === 1
}

describe('a headers exchange', () => {
  test('all wants every argument, any wants one', () => {
    const two = { type: 'report', format: 'pdf' }
    assert.equal(matches({ 'x-match': 'all', ...two }, two), true)
    assert.equal(matches({ 'x-match': 'all', ...two }, { ...two, more: 1 }), true)
    assert.equal(matches({ 'x-match': 'all', ...two }, { type: 'report' }), false)
    assert.equal(matches({ 'x-match': 'all', ...two }, { type: 'report', format: 'zip' }), false)
    assert.equal(matches({ 'x-match': 'any', ...two }, { type: 'report' }), true)
    assert.equal(matches({ 'x-match': 'any', ...two }, { type: 'x', format: 'pdf' }), true)
    assert.equal(matches({ 'x-match': 'any', ...two }, { type: 'x' }), false)
    assert.equal(matches({ 'x-match': 'any', ...two }, undefined), false)
  })

  test('a binding that does not say how wants all', () => {
    assert.equal(matches({ a: 1, b: 2 }, { a: 1 }), false)
    assert.equal(matches({ a: 1, b: 2 }, { a: 1, b: 2 }), true)
  })

  test('with nothing to compare, all matches everything and any nothing', () => {
    assert.equal(matches({}, undefined), true)
    assert.equal(matches({ 'x-match': 'all' }, { a: 1 }), true)
    assert.equal(matches({ 'x-match': 'all-with-x' }, {}), true)
    assert.equal(matches({ 'x-match': 'any' }, { a: 1 }), false)
    assert.equal(matches({ 'x-match': 'any-with-x' }, { 'x-match': 'any-with-x' }), false)
    assert.equal(matches({ 'x-match': 'any', 'x-a': 1 }, { 'x-a': 1 }), false)
  })

  test('names beginning x- are compared only in the modes that say so', () => {
    assert.equal(matches({ 'x-match': 'all', 'x-a': 1, b: 2 }, { b: 2 }), true)
    assert.equal(matches({ 'x-match': 'all-with-x', 'x-a': 1, b: 2 }, { b: 2 }), false)
    assert.equal(matches({ 'x-match': 'all-with-x', 'x-a': 1, b: 2 }, { 'x-a': 1, b: 2 }), true)
    assert.equal(matches({ 'x-match': 'any', 'x-a': 1, b: 2 }, { 'x-a': 1 }), false)
    assert.equal(matches({ 'x-match': 'any-with-x', 'x-a': 1, b: 2 }, { 'x-a': 1 }), true)
  })

  test('a void argument asks only whether the header is there', () => {
    assert.equal(matches({ a: null }, { a: 'anything' }), true)
    assert.equal(matches({ a: null }, { a: null }), true)
    assert.equal(matches({ a: null }, { b: 1 }), false)
    assert.equal(matches({ 'x-match': 'any', a: null, b: 1 }, { a: 0 }), true)
    assert.equal(matches({ a: 1 }, { a: null }), false)
  })

  test('values are compared by what they are', () => {
    const same: readonly [FieldTable[string], FieldTable[string]][] = [
      [1, 1n],
      ['1', '1'],
      [new Date(5000), new Date(5000)],
      [Uint8Array.of(1), Buffer.of(1)],
      [
        [1, { a: [true] }],
        [1n, { a: [true] }],
      ],
      [
        { a: 1, b: 2 },
        { b: 2, a: 1 },
      ],
    ]
    const different: readonly [FieldTable[string], FieldTable[string]][] = [
      [1, '1'],
      [1, true],
      [0, false],
      ['a', 'A'],
      [1, 1.5],
      [2 ** 53, 9_007_199_254_740_993n],
      [new Date(5000), new Date(6000)],
      [new Date(5000), 5000],
      [Uint8Array.of(1), Uint8Array.of(2)],
      [Uint8Array.of(49), [49]],
      [[1], [1, 2]],
      [{ a: 1 }, { a: 1, b: 2 }],
      [{ a: 1 }, [1]],
      [[], {}],
    ]
    for (const [a, b] of same) assert.equal(matches({ h: a }, { h: b }), true, inspect([a, b]))
    for (const [a, b] of different) {
      assert.equal(matches({ h: a }, { h: b }), false, inspect([a, b]))
      assert.equal(matches({ h: b }, { h: a }), false, inspect([b, a]))
    }
  })

  test('what every object inherits is no header', () => {
    assert.equal(matches({ toString: null }, {}), false)
    assert.equal(matches({ 'x-match': 'any', constructor: null }, { a: 1 }), false)
  })

  test('it agrees with the plain definition on random arguments and headers', () => {
    const seed = seedOfRun()
    const random = new Random(seed)
    const names = ['a', 'b', 'x-a', 'x-b']
    const some = (): FieldTable =>
      Object.fromEntries(
        names.filter(() => random.next() < 0.5).map((name) => [name, random.pick([null, 1, 'v'])]),
      )
    for (let round = 0; round < 2000; round += 1) {
      const mode = random.pick(['all', 'any', 'all-with-x', 'any-with-x'])
      const [table, headers] = [some(), some()]
      const asked = Object.entries(table).filter(
        ([name]) => mode.endsWith('-with-x') || !name.startsWith('x-'),
      )
      const test = ([name, value]: [string, unknown]): boolean =>
        name in headers && (value === null || headers[name] === value)
      const expected = mode.startsWith('all') ? asked.every(test) : asked.some(test)
      const where = `seed ${seed}, ${JSON.stringify({ mode, table, headers })}`
      assert.equal(matches({ 'x-match': mode, ...table }, headers), expected, where)
    }
  })

  test('headers are decoded only where there is something to compare them with', () => {
    const message = Message.ofBytes('e', 'k', Buffer.from('2000ffffffff', 'hex'), '')
    const router = new Router<string>('headers')
    router.route('k', message, new Set())
    router.bind({ destination: 'q', routingKey: '' })
    assert.throws(() => router.route('k', message, new Set()), MillraceError)
  })
})
