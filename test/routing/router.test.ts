import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { MillraceError } from '../../src/model/errors.ts'
import type { RoutingKind } from '../../src/model/record.ts'
import { RouteSet } from '../../src/routing/route-set.ts'
import { Router } from '../../src/routing/router.ts'
import { Random, seedOfRun } from '../std/random.ts'

interface Target {
  readonly name: string
  routeMark: number
}

const kinds: readonly RoutingKind[] = ['direct', 'fanout', 'topic', 'headers']

const target = (name: string): Target => ({ name, routeMark: 0 })

const plain = { properties: {} }

/** The names of those that a message with this key goes to, in alphabetical order. */
function routed(router: Router<Target>, routingKey: string): readonly string[] {
  const routes = new RouteSet<Target>()
  router.route(routingKey, plain, routes)
  router.invariants()
  return Array.from({ length: routes.size }, (_, index) => routes.at(index).name).sort()
}

describe('every kind of exchange', () => {
  for (const kind of kinds) {
    test(`${kind}: a binding that is there already changes nothing`, () => {
      const router = new Router<Target>(kind)
      const a = target('a')
      assert.equal(router.bind({ destination: a, routingKey: 'k' }), true)
      assert.equal(router.bind({ destination: a, routingKey: 'k', arguments: {} }), false)
      assert.equal(router.size, 1)
      assert.deepEqual(routed(router, 'k'), ['a'])
    })

    test(`${kind}: destination, key and arguments together make a binding`, () => {
      const router = new Router<Target>(kind)
      const [a, b] = [target('a'), target('b')]
      const terms = [
        { destination: a, routingKey: 'k' },
        { destination: a, routingKey: 'l' },
        { destination: b, routingKey: 'k' },
        { destination: a, routingKey: 'k', arguments: { n: 1, m: 'x' } },
        { destination: a, routingKey: 'k', arguments: { n: 2 } },
        { destination: a, routingKey: '\u00007:{"n":1}k' },
        { destination: a, routingKey: '' },
      ]
      for (const one of terms) assert.equal(router.bind(one), true)
      assert.equal(router.bind({ destination: a, routingKey: 'k', arguments: { m: 'x', n: 1n } }), false)
      assert.equal(router.size, terms.length)
      router.invariants()
      assert.deepEqual(
        [...router.bindings()].map((binding) => binding.routingKey).sort(),
        terms.map((one) => one.routingKey).sort(),
      )
      for (const one of terms) {
        assert.equal(router.unbind(one), true)
        assert.equal(router.unbind(one), false)
        router.invariants()
      }
      assert.equal(router.isEmpty, true)
    })

    test(`${kind}: arguments of every type make bindings of their own`, () => {
      const router = new Router<Target>(kind)
      const destination = target('a')
      const seconds = [new Date(1000), new Date(2000)]
      const values = [...seconds, Buffer.from('a'), null, true, 'true', 1, 1.5, [1, 'a'], { a: null }, {}, []]
      for (const value of values) {
        const terms = { destination, routingKey: 'k', arguments: { value } }
        assert.equal(router.bind(terms), true)
        assert.equal(router.bind({ ...terms, arguments: structuredClone({ value }) }), false)
      }
      assert.equal(router.size, values.length)
    })

    test(`${kind}: a destination with several matching bindings is reached once`, () => {
      const router = new Router<Target>(kind)
      const a = target('a')
      router.bind({ destination: a, routingKey: 'k' })
      router.bind({ destination: a, routingKey: 'k', arguments: { 'x-n': 1 } })
      assert.deepEqual(routed(router, 'k'), ['a'])
    })

    test(`${kind}: what is not bound can be unbound`, () => {
      const router = new Router<Target>(kind)
      assert.equal(router.unbind({ destination: target('a'), routingKey: 'k' }), false)
      assert.deepEqual(router.unbindAll(target('a')), [])
    })

    test(`${kind}: all bindings of a destination go with it`, () => {
      const router = new Router<Target>(kind)
      const [a, b] = [target('a'), target('b')]
      for (const routingKey of ['k', 'l', 'm.*', '#']) router.bind({ destination: a, routingKey })
      router.bind({ destination: b, routingKey: 'k' })
      assert.equal(router.bindingsOf(a).length, 4)
      assert.equal(router.unbindAll(a).length, 4)
      assert.deepEqual(routed(router, 'k'), ['b'])
      assert.equal(router.size, 1)
    })

    test(`${kind}: any order of binding and unbinding leaves exactly what is bound`, () => {
      const seed = seedOfRun()
      const random = new Random(seed)
      const router = new Router<Target>(kind)
      const targets = Array.from({ length: 8 }, (_, index) => target(`t${index}`))
      const keys = ['', 'a', 'b', 'a.b', 'a.*', '#', '*.b', 'a.#.b']
      const model = new Set<string>()
      for (let step = 0; step < 3000; step += 1) {
        const destination = random.pick(targets)
        const routingKey = random.pick(keys)
        const identity = `${destination.name} ${routingKey}`
        const where = `seed ${seed}, step ${step}`
        if (random.next() < 0.5) {
          assert.equal(router.bind({ destination, routingKey }), !model.has(identity), where)
          model.add(identity)
        } else if (random.next() < 0.9) {
          assert.equal(router.unbind({ destination, routingKey }), model.delete(identity), where)
        } else {
          const gone = [...model].filter((known) => known.startsWith(`${destination.name} `))
          assert.equal(router.unbindAll(destination).length, gone.length, where)
          for (const known of gone) model.delete(known)
        }
        router.invariants()
      }
      const bound = [...router.bindings()].map(
        (binding) => `${binding.destination.name} ${binding.routingKey}`,
      )
      assert.deepEqual(bound.sort(), [...model].sort())
    })
  }

  test('a Set takes the routes as well as a RouteSet does', () => {
    const router = new Router<string>('topic')
    for (const routingKey of ['a.*', 'a.#', 'a.b']) router.bind({ destination: 'q', routingKey })
    const routes = new Set<string>()
    router.route('a.b', plain, routes)
    assert.deepEqual([...routes], ['q'])
  })
})

describe('direct and fanout', () => {
  test('a direct exchange compares the whole key', () => {
    const router = new Router<Target>('direct')
    router.bind({ destination: target('a'), routingKey: 'x' })
    router.bind({ destination: target('b'), routingKey: 'x' })
    router.bind({ destination: target('c'), routingKey: '*' })
    assert.deepEqual(routed(router, 'x'), ['a', 'b'])
    assert.deepEqual(routed(router, '*'), ['c'])
    assert.deepEqual(routed(router, 'x.y'), [])
    assert.deepEqual(routed(router, ''), [])
  })

  test('a fanout exchange does not look at keys', () => {
    const router = new Router<Target>('fanout')
    router.bind({ destination: target('a'), routingKey: 'x' })
    router.bind({ destination: target('b'), routingKey: '' })
    assert.deepEqual(routed(router, 'anything'), ['a', 'b'])
  })
})

describe('RouteSet', () => {
  test('routes through several exchanges make one route until the next begins', () => {
    const [direct, fanout] = [new Router<Target>('direct'), new Router<Target>('fanout')]
    const a = target('a')
    direct.bind({ destination: a, routingKey: 'k' })
    fanout.bind({ destination: a, routingKey: '' })
    const routes = new RouteSet<Target>()
    const other = new RouteSet<Target>()
    for (let round = 0; round < 3; round += 1) {
      routes.begin()
      direct.route('k', plain, routes)
      other.begin()
      fanout.route('k', plain, other)
      assert.equal(routes.size, 1)
      assert.equal(routes.at(0), a)
      assert.equal(other.size, 1)
    }
    routes.begin()
    direct.route('k', plain, routes)
    fanout.route('k', plain, routes)
    assert.equal(routes.size, 1)
    assert.throws(() => routes.at(1))
    routes.begin()
    routes.release()
    assert.equal(routes.size, 0)
  })

  test('bindings with arguments that are not allowed are refused and not kept', () => {
    const router = new Router<Target>('headers')
    assert.throws(
      () => router.bind({ destination: target('a'), routingKey: '', arguments: { 'x-match': 'none' } }),
      (error) => error instanceof MillraceError && error.code === 'PRECONDITION_FAILED',
    )
    assert.equal(router.isEmpty, true)
  })
})
