import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { Router } from '../../src/routing/router.ts'
import { Random, seedOfRun } from '../std/random.ts'

const plain = { properties: {} }

function routed(router: Router<string>, routingKey: string): readonly string[] {
  const routes = new Set<string>()
  router.route(routingKey, plain, routes)
  return [...routes].sort()
}

function matches(pattern: string, routingKey: string): boolean {
  const router = new Router<string>('topic')
  router.bind({ destination: 'q', routingKey: pattern })
  router.invariants()
  return routed(router, routingKey).length === 1
}

/** The definition, as plainly as it can be put. */
function naive(pattern: readonly string[], words: readonly string[]): boolean {
  const [first, ...rest] = pattern
  if (first === undefined) return words.length === 0
  if (first === '#') return naive(rest, words) || (words.length > 0 && naive(pattern, words.slice(1)))
  return words.length > 0 && (first === '*' || first === words[0]) && naive(rest, words.slice(1))
}

const wordsOf = (key: string): readonly string[] => (key === '' ? [] : key.split('.'))

describe('a topic exchange', () => {
  test('matches as in the tutorial and the tests of RabbitMQ', () => {
    const cases: readonly [pattern: string, key: string, expected: boolean][] = [
      ['*.orange.*', 'quick.orange.rabbit', true],
      ['*.*.rabbit', 'quick.orange.rabbit', true],
      ['lazy.#', 'quick.orange.rabbit', false],
      ['lazy.#', 'lazy.pink.rabbit', true],
      ['lazy.#', 'lazy.orange.new.rabbit', true],
      ['lazy.#', 'lazy', true],
      ['*.orange.*', 'orange', false],
      ['*.orange.*', 'quick.orange.new.rabbit', false],
      ['a.b.c', 'a.b.c', true],
      ['a.*.c', 'a.b.c', true],
      ['a.#.c', 'a.c', true],
      ['a.#.c', 'a.b.b.c', true],
      ['#.a', 'a', true],
      ['#.a', 'b.b.a', true],
      ['#.a', 'a.b', false],
      ['#', '', true],
      ['#', 'a', true],
      ['#', 'a.b.c', true],
      ['#.#', '', true],
      ['#.#', 'a', true],
      ['#.*', '', false],
      ['#.*', 'a', true],
      ['*.#', '', false],
      ['*.#', 'a.b', true],
      ['*', '', false],
      ['*', 'a', true],
      ['*', 'a.b', false],
      ['#.a.#.b.#', 'x.a.y.z.b', true],
      ['#.a.#.b.#', 'b.a', false],
      ['*.#.*', 'a', false],
      ['*.#.*', 'a.b', true],
    ]
    for (const [pattern, key, expected] of cases)
      assert.equal(matches(pattern, key), expected, `${pattern} ${key}`)
  })

  test('an empty word between dots is a word, and the empty key has none', () => {
    const cases: readonly [pattern: string, key: string, expected: boolean][] = [
      ['', '', true],
      ['', '.', false],
      ['.', '.', true],
      ['*.*', '.', true],
      ['*', '.', false],
      ['a..b', 'a..b', true],
      ['a.*.b', 'a..b', true],
      ['a.b', 'a..b', false],
      ['a.#.b', 'a..b', true],
      ['a.*', 'a.', true],
      ['*.a', '.a', true],
      ['a', '', false],
    ]
    for (const [pattern, key, expected] of cases)
      assert.equal(matches(pattern, key), expected, `${pattern} ${key}`)
  })

  test('a wildcard is a whole word of the binding, and nothing special in the key of a message', () => {
    assert.equal(matches('a*', 'ab'), false)
    assert.equal(matches('a*', 'a*'), true)
    assert.equal(matches('a#.b', 'a#.b'), true)
    assert.equal(matches('a.b', 'a.*'), false)
    assert.equal(matches('a.b', '#'), false)
    assert.equal(matches('a.*', 'a.*'), true)
    assert.equal(matches('a.*', 'a.#'), true)
  })

  test('keys of objects are words like any other', () => {
    assert.equal(matches('__proto__.*', '__proto__.constructor'), true)
    assert.equal(matches('constructor', 'toString'), false)
  })

  test('it agrees with the plain definition on random bindings and keys, also while they change', () => {
    const seed = seedOfRun()
    const random = new Random(seed)
    const router = new Router<string>('topic')
    const bound = new Set<string>()
    const key = (words: readonly string[]): string =>
      Array.from({ length: random.below(6) }, () => random.pick(words)).join('.')
    for (let step = 0; step < 4000; step += 1) {
      const routingKey = key(['a', 'b', 'c', '', '*', '#'])
      if (random.next() < 0.6) {
        router.bind({ destination: routingKey, routingKey })
        bound.add(routingKey)
      } else {
        const pattern = bound.size === 0 ? routingKey : random.pick([...bound])
        router.unbind({ destination: pattern, routingKey: pattern })
        bound.delete(pattern)
      }
      if (step % 20 === 0) router.invariants()
      if (step % 5 !== 0) continue
      const message = key(['a', 'b', 'c', 'd', '', '*'])
      const expected = [...bound].filter((pattern) => naive(wordsOf(pattern), wordsOf(message))).sort()
      assert.deepEqual(routed(router, message), expected, `seed ${seed}, step ${step}, key '${message}'`)
    }
  })

  test('many hashes in a key do not multiply the work', () => {
    const router = new Router<string>('topic')
    for (let index = 0; index < 200; index += 1) {
      const letters = Array.from({ length: 8 }, (_, bit) => (index & (1 << bit) ? 'a' : 'b'))
      router.bind({ destination: `q${index}`, routingKey: `#.${letters.join('.#.')}.#` })
    }
    router.bind({ destination: 'all', routingKey: Array.from({ length: 64 }, () => '#').join('.') })
    router.bind({ destination: 'none', routingKey: `${Array.from({ length: 60 }, () => '#.a').join('.')}.c` })
    const longest = Array.from({ length: 127 }, (_, index) => (index % 2 === 0 ? 'a' : 'b')).join('.')
    const reached = routed(router, longest)
    assert.equal(reached.includes('none'), false)
    assert.equal(reached.length, 201)
  })
})
