/** Policies: chosen by name and priority, merged with arguments and an operator's policy, live when they change. */
import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import type { FieldTable } from '../../src/model/field-value.ts'
import type { PolicyFacts } from '../../src/model/setting.ts'
import { FakeStore } from './fake-store.ts'
import { Bench, codeOf } from './harness.ts'

const plain: PolicyFacts = {
  vhost: '/',
  name: 'p',
  operator: false,
  pattern: '',
  applyTo: 'all',
  priority: 0,
  definition: {},
}

function set(bench: Bench, definition: FieldTable, facts: Partial<PolicyFacts> = {}): void {
  bench.engine.policies.set({ ...plain, definition, ...facts }, bench.nowMs)
}

function remove(bench: Bench, facts: Partial<PolicyFacts> = {}): boolean {
  return bench.engine.policies.delete({ ...plain, ...facts }, bench.nowMs)
}

describe('which policy applies', () => {
  test('the one of the highest priority that matches, of equals the first by name', () => {
    const bench = Bench.create()
    const queue = bench.client().queue('orders.eu')
    set(bench, { 'max-length': 1 }, { name: 'b', pattern: '^orders' })
    set(bench, { 'max-length': 2 }, { name: 'c', pattern: 'eu$', priority: 1 })
    set(bench, { 'max-length': 3 }, { name: 'd', pattern: '^invoices', priority: 9 })
    assert.equal(queue.policies?.policy?.name, 'c')
    assert.equal(queue.maxLength, 2)
    remove(bench, { name: 'c' })
    assert.equal(queue.maxLength, 1)
    set(bench, { 'max-length': 4 }, { name: 'a', pattern: 'r' })
    assert.equal(queue.maxLength, 4)
    set(bench, { 'max-length': 4 }, { name: 'a', pattern: 'x' })
    assert.equal(queue.policies?.policy?.name, 'b')
    remove(bench, { name: 'b' })
    assert.equal(queue.policies, undefined)
    assert.equal(queue.maxLength, Infinity)
  })

  test('those for what it is, in its virtual host', () => {
    const bench = Bench.create()
    bench.engine.declareVhost('other')
    const client = bench.client()
    const classic = client.queue('classic')
    const quorum = client.queue('quorum', { 'x-queue-type': 'quorum' })
    client.session.declareExchange({ name: 'x', kind: 'fanout' })
    const exchange = bench.engine.vhost('/').exchange('x')
    const applies = (applyTo: PolicyFacts['applyTo'], vhost = '/') => {
      set(bench, { 'max-length': 1 }, { applyTo, vhost })
      return [classic, quorum, exchange].map((subject) => subject.policies !== undefined)
    }
    assert.deepEqual(applies('all'), [true, true, true])
    assert.deepEqual(applies('queues'), [true, true, false])
    assert.deepEqual(applies('classic_queues'), [true, false, false])
    assert.deepEqual(applies('quorum_queues'), [false, true, false])
    assert.deepEqual(applies('exchanges'), [false, false, true])
    remove(bench)
    assert.deepEqual(applies('all', 'other'), [false, false, false])
  })

  test('what is declared later is under the policy too', () => {
    const bench = Bench.create()
    set(bench, { 'max-length': 5, 'alternate-exchange': 'amq.fanout' })
    const client = bench.client()
    assert.equal(client.queue('q').maxLength, 5)
    client.session.declareExchange({ name: 'x', kind: 'direct' })
    assert.equal(bench.engine.vhost('/').exchange('x').alternate, 'amq.fanout')
  })

  test('a policy is no part of what a declaration must agree with', () => {
    const bench = Bench.create()
    const client = bench.client()
    client.queue('q', { 'x-max-length': 10 })
    set(bench, { 'max-length': 5 })
    client.queue('q', { 'x-max-length': 10 })
    assert.equal(
      codeOf(() => client.queue('q', { 'x-max-length': 5 })),
      'PRECONDITION_FAILED',
    )
  })
})

describe('policy, operator policy and arguments', () => {
  test('of numbers the smallest counts', () => {
    const bench = Bench.create()
    const client = bench.client()
    const queue = client.queue('q', {
      'x-max-length': 10,
      'x-max-length-bytes': 10,
      'x-message-ttl': 10,
      'x-expires': 10,
      'x-delivery-limit': 10,
    })
    const numbers = () => {
      const { maxLength, maxLengthBytes, messageTtlMs, expiresMs, deliveryLimit } = queue.settings
      return [maxLength, maxLengthBytes, messageTtlMs, expiresMs, deliveryLimit]
    }
    const all = (value: number) => ({
      'max-length': value,
      'max-length-bytes': value,
      'message-ttl': value,
      expires: value,
      'delivery-limit': value,
    })
    assert.deepEqual(numbers(), [10, 10, 10, 10, 10])
    set(bench, all(20))
    assert.deepEqual(numbers(), [10, 10, 10, 10, 10])
    set(bench, all(7))
    assert.deepEqual(numbers(), [7, 7, 7, 7, 7])
    set(bench, all(8), { operator: true })
    assert.deepEqual(numbers(), [7, 7, 7, 7, 7])
    set(bench, all(3), { operator: true })
    assert.deepEqual(numbers(), [3, 3, 3, 3, 3])
    assert.deepEqual(queue.policies?.definition, all(3))
    remove(bench)
    assert.deepEqual(numbers(), [3, 3, 3, 3, 3])
    remove(bench, { operator: true })
    assert.deepEqual(numbers(), [10, 10, 10, 10, 10])
  })

  test('of texts the argument counts, then the policy', () => {
    const bench = Bench.create()
    const client = bench.client()
    const own = client.queue('own', {
      'x-dead-letter-exchange': 'mine',
      'x-dead-letter-routing-key': 'mine',
      'x-overflow': 'drop-head',
    })
    const none = client.queue('none')
    const policy = {
      'dead-letter-exchange': 'theirs',
      'dead-letter-routing-key': 'theirs',
      overflow: 'reject-publish',
    }
    set(bench, { ...policy, 'consumer-timeout': 5 })
    const texts = ({ settings }: typeof own) => [
      settings.deadLetterExchange,
      settings.deadLetterRoutingKey,
      settings.overflow,
      settings.consumerTimeoutMs,
    ]
    assert.deepEqual(texts(own), ['mine', 'mine', 'drop-head', 5])
    assert.deepEqual(texts(none), ['theirs', 'theirs', 'reject-publish', 5])
    remove(bench)
    assert.deepEqual(texts(none), [undefined, undefined, 'drop-head', undefined])
    assert.equal(client.queue('slow', { 'x-consumer-timeout': 7 }).settings.consumerTimeoutMs, 7)
  })

  test('a quorum queue overflows as its policy says', () => {
    const bench = Bench.create()
    const args = { 'x-queue-type': 'quorum', 'x-overflow': 'drop-head' }
    const queue = bench.client().queue('q', args)
    set(bench, { overflow: 'reject-publish' })
    assert.equal(queue.settings.overflow, 'reject-publish')
  })

  test('an operator’s policy says what the other does not, and goes before it', () => {
    const bench = Bench.create()
    const queue = bench.client().queue('q')
    set(bench, { 'max-length': 4, overflow: 'drop-head' })
    set(bench, { 'message-ttl': 5, overflow: 'reject-publish' }, { operator: true })
    assert.deepEqual(queue.policies?.definition, {
      'max-length': 4,
      'message-ttl': 5,
      overflow: 'reject-publish',
    })
  })
})

describe('a change is live', () => {
  test('a shorter queue drops from its head at once', () => {
    const bench = Bench.create()
    const client = bench.client()
    const queue = client.queue('q')
    for (let body = 1; body <= 5; body += 1) client.send('q', String(body))
    bench.settle()
    set(bench, { 'max-length': 2 })
    bench.settle()
    assert.equal(queue.readyMessages, 2)
    remove(bench)
    for (let body = 6; body <= 9; body += 1) client.send('q', String(body))
    assert.deepEqual(client.drain('q'), ['4', '5', '6', '7', '8', '9'])
  })

  test('messages published from then on have the new time to live', () => {
    const bench = Bench.create()
    const client = bench.client()
    client.queue('q')
    client.send('q', 'before')
    set(bench, { 'message-ttl': 100 })
    client.send('q', 'after')
    client.drain('q')
    client.send('q', 'after')
    bench.pass(100)
    assert.deepEqual(client.drain('q'), [])
  })

  test('what dies goes where the policy says', () => {
    const bench = Bench.create()
    const client = bench.client()
    client.queue('q')
    client.queue('dead')
    client.consume('q')
    client.send('q', 'm')
    bench.settle()
    set(bench, { 'dead-letter-exchange': '', 'dead-letter-routing-key': 'dead' }, { pattern: '^q$' })
    client.session.reject(1, { requeue: false }, bench.nowMs)
    assert.deepEqual(client.drain('dead'), ['m'])
  })

  test('a queue that is not used expires, counted from the change', () => {
    const bench = Bench.create()
    const client = bench.client()
    client.queue('q')
    bench.pass(1000)
    set(bench, { expires: 500 })
    bench.pass(499)
    assert.ok(bench.engine.vhost('/').queues.has('q'))
    bench.pass(1)
    assert.ok(!bench.engine.vhost('/').queues.has('q'))
  })

  test('a queue that was to expire does not when the policy has gone', () => {
    const bench = Bench.create()
    const client = bench.client()
    client.queue('q')
    set(bench, { expires: 500 })
    remove(bench)
    bench.pass(10_000)
    assert.ok(bench.engine.vhost('/').queues.has('q'))
  })

  test('another change does not let its time begin anew', () => {
    const bench = Bench.create()
    const client = bench.client()
    client.queue('q')
    set(bench, { expires: 500 })
    bench.pass(400)
    set(bench, { expires: 500, 'max-length': 3 })
    bench.pass(100)
    assert.ok(!bench.engine.vhost('/').queues.has('q'))
  })

  test('an exchange hands on to the alternate of its policy what it routes nowhere', () => {
    const bench = Bench.create()
    const client = bench.client()
    client.session.declareExchange({ name: 'x', kind: 'direct' })
    client.queue('q')
    client.session.bindQueue({ queue: 'q', exchange: 'amq.fanout', routingKey: '' })
    assert.equal(client.publish('x', 'k', 'm').type, 'unroutable')
    set(bench, { 'alternate-exchange': 'amq.fanout' }, { applyTo: 'exchanges' })
    assert.equal(client.publish('x', 'k', 'm').type, 'routed')
    client.session.declareExchange({ name: 'y', kind: 'direct', arguments: { 'alternate-exchange': 'none' } })
    assert.equal(client.publish('y', 'k', 'm').type, 'unroutable')
    remove(bench)
    assert.equal(client.publish('x', 'k', 'm').type, 'unroutable')
  })
})

describe('what is refused', () => {
  const cases: readonly (readonly [FieldTable, Partial<PolicyFacts>, RegExp])[] = [
    [{}, {}, /no policy provided/],
    [{ 'max-priority': 5 }, {}, /<<"max-priority">>,5.* not recognised/],
    [{ constructor: 'x' }, {}, /not recognised/],
    [{ 'max-length': -1 }, {}, /-1 is not a valid maximum length/],
    [{ 'max-length': '5' }, {}, /<<"5">> is not a valid maximum length/],
    [{ 'max-length': [1] }, {}, /\[1\] is not a valid/],
    [{ 'max-length': { a: 1 } }, {}, /is not a valid/],
    [{ 'dead-letter-routing-key': 'k'.repeat(256) }, {}, /is not a valid dead letter routing key/],
    [{ expires: 0 }, {}, /0 is not a valid queue expiry/],
    [{ 'message-ttl': 1.5 }, {}, /1.5 is not a valid message TTL/],
    [{ overflow: 'x' }, {}, /is not a valid overflow value/],
    [{ 'queue-mode': 1 }, {}, /queue-mode/],
    [{ 'queue-version': 3 }, {}, /queue version/],
    [{ 'dead-letter-exchange': 5 }, {}, /dead letter exchange name/],
    [{ 'dead-letter-exchange': 'x' }, { operator: true }, /not recognised/],
    [{ 'max-length': 1 }, { pattern: '(' }, /missing closing/],
    [{ 'max-length': 1 }, { priority: 1.5 }, /whole number/],
    [{ 'max-length': 1 }, { name: '' }, /empty/],
    [{ 'max-length': 1 }, { applyTo: 'streams' as 'all' }, /unrecognised/],
    [{ 'max-length': 1 }, { vhost: 'x' }, /no vhost/],
  ]
  for (const [definition, facts, message] of cases) {
    test(`${JSON.stringify(definition)} ${JSON.stringify(facts)}`, () => {
      const bench = Bench.create()
      assert.throws(() => set(bench, definition, facts), { message })
      assert.deepEqual([...bench.engine.policies.values()], [])
    })
  }

  test('more than the limit; a policy that is there may be changed', () => {
    const bench = Bench.create({ limits: { policies: 1 } })
    set(bench, { 'max-length': 1 })
    set(bench, { 'max-length': 2n, 'ha-mode': 'all', 'queue-version': 2, 'queue-mode': 'lazy' })
    assert.equal(
      codeOf(() => set(bench, { 'max-length': 1 }, { name: 'other' })),
      'LIMIT_REACHED',
    )
    bench.engine.deleteVhost('/', 0)
    bench.engine.declareVhost('/')
    set(bench, { 'max-length': 1 }, { name: 'other' })
    assert.equal(remove(bench), false)
  })
})

describe('across a restart', () => {
  test('policies hold for what was declared before and after them', () => {
    const store = new FakeStore({ messages: 4, bytes: 1000, delayed: 2 })
    const bench = Bench.create({ journal: store, pager: store })
    bench.client().queue('before')
    set(bench, { expires: 500, 'max-length': 3 })
    bench.client().queue('after')
    for (const definitions of [[...store.definitions], bench.engine.snapshot().definitions]) {
      const next = new Bench({ journal: store, pager: store })
      next.engine.restore({ definitions, queues: [], nextSeq: 1, nextQueueId: 9, unclean: false })
      next.settle()
      const { queues } = next.engine.vhost('/')
      assert.deepEqual(
        [...queues.values()].map((queue) => queue.maxLength),
        [3, 3],
      )
      next.pass(499)
      assert.equal(queues.size, 2)
      next.pass(1)
      assert.equal(queues.size, 0)
    }
  })
})
