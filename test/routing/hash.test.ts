/** Consistent hash exchanges: one destination a message, the same for the same key, each its share by weight. */
import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import type { FieldTable } from '../../src/model/field-value.ts'
import type { Properties } from '../../src/model/properties.ts'
import { Router } from '../../src/routing/router.ts'

function create(weights: Readonly<Record<string, string>>, table: FieldTable = {}): Router<string> {
  const router = new Router<string>('x-consistent-hash', table)
  for (const [destination, routingKey] of Object.entries(weights)) router.bind({ destination, routingKey })
  return router
}

function route(router: Router<string>, key: string, properties: Properties = {}): string | undefined {
  const found = new Set<string>()
  router.route(key, { properties }, found)
  assert.ok(found.size <= 1)
  router.invariants()
  return [...found][0]
}

const keys = Array.from({ length: 20_000 }, (_, index) => `key ${index}`)

function share(router: Router<string>): Map<string, number> {
  const counts = new Map<string, number>()
  for (const key of keys) {
    const destination = route(router, key)!
    counts.set(destination, (counts.get(destination) ?? 0) + 1)
  }
  return counts
}

describe('shares', () => {
  test('without a binding nothing is routed; with one everything goes there', () => {
    assert.equal(route(create({}), 'k'), undefined)
    assert.equal(route(create({ a: '3' }), 'k'), 'a')
  })

  test('each destination gets what its weight says, within a twentieth', () => {
    const counts = share(create({ a: '1', b: '2', c: '+5', d: '12' }))
    for (const [destination, weight] of Object.entries({ a: 1, b: 2, c: 5, d: 12 })) {
      const expected = (keys.length * weight) / 20
      const got = counts.get(destination) ?? 0
      assert.ok(Math.abs(got - expected) < keys.length / 20 / 4 + expected / 20, `${destination}: ${got}`)
    }
  })

  test('great weights cost nothing', () => {
    const counts = share(create({ a: '1000000', b: '1000000' }))
    assert.ok(Math.abs((counts.get('a') ?? 0) - keys.length / 2) < keys.length / 40)
  })

  test('who is added takes from the others; nothing moves between those', () => {
    const router = create({ a: '1', b: '1', c: '1' })
    const before = keys.map((key) => route(router, key))
    router.bind({ destination: 'd', routingKey: '1' })
    let moved = 0
    keys.forEach((key, index) => {
      const after = route(router, key)
      if (after === before[index]) return
      moved += 1
      assert.equal(after, 'd')
    })
    assert.ok(Math.abs(moved - keys.length / 4) < keys.length / 40)
    router.unbind({ destination: 'd', routingKey: '1' })
    assert.deepEqual(
      keys.map((key) => route(router, key)),
      before,
    )
  })

  test('the share of who goes is taken over', () => {
    const router = create({ a: '1', b: '1', c: '1' })
    router.unbindAll('a')
    const counts = share(router)
    assert.deepEqual([...counts.keys()].sort(), ['b', 'c'])
    assert.ok(Math.abs((counts.get('b') ?? 0) - keys.length / 2) < keys.length / 40)
  })
})

describe('what is hashed', () => {
  const weights = { a: '1', b: '1', c: '1', d: '1' }

  function spread(router: Router<string>, properties: (value: string) => Properties): number {
    return new Set(keys.slice(0, 100).map((value) => route(router, 'same', properties(value)))).size
  }

  test('a header, where the exchange says so', () => {
    const router = create(weights, { 'hash-header': 'user' })
    assert.equal(
      spread(router, (user) => ({ headers: { user } })),
      4,
    )
    assert.equal(
      spread(router, (user) => ({ headers: { other: user } })),
      1,
    )
    assert.equal(
      spread(router, () => ({})),
      1,
    )
    assert.equal(route(router, 'a', { headers: { user: 5 } }), route(router, 'b', { headers: { user: 5n } }))
  })

  test('a property, where the exchange says so', () => {
    const ids = (value: string): Properties => ({
      correlationId: value,
      messageId: value,
      timestamp: Number(value.slice(4)),
    })
    for (const property of ['correlation_id', 'message_id', 'timestamp']) {
      const router = create(weights, { 'hash-property': property })
      assert.equal(spread(router, ids), 4)
      assert.equal(
        spread(router, () => ({})),
        1,
      )
    }
  })
})

describe('what is refused', () => {
  const refused = [
    ['', 'The binding key must be an integer: <<"">>'],
    ['x', 'The binding key must be an integer: <<"x">>'],
    ['1.5', 'The binding key must be an integer: <<"1.5">>'],
    ['0', 'The binding key must be greater than 0'],
    ['-3', 'The binding key must be greater than 0'],
    ['1000001', 'The binding key must be 1000000 at most'],
  ] as const
  for (const [routingKey, message] of refused) {
    test(`a weight of '${routingKey}'`, () => {
      const router = create({})
      assert.throws(() => router.bind({ destination: 'a', routingKey }), {
        code: 'PRECONDITION_FAILED',
        message,
      })
      assert.equal(router.size, 0)
    })
  }
})
