/** What reaches a bound of the engine is refused, and changes nothing. */
import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import type { EngineLimits } from '../../src/engine/limits.ts'
import { bufferedPublishBytes, settlementBytes } from '../../src/engine/transaction.ts'
import type { FieldValue } from '../../src/model/field-value.ts'
import { encodeProperties } from '../../src/model/properties.ts'
import { Bench, codeOf } from './harness.ts'

function create(limits: Partial<EngineLimits>) {
  const bench = Bench.create({ limits })
  const client = bench.client()
  return { bench, client, session: client.session }
}

describe('LIMIT_REACHED', () => {
  test('for one virtual host more', () => {
    const { bench } = create({ vhosts: 2 })
    bench.engine.declareVhost('second')
    bench.engine.declareVhost('second')
    assert.equal(
      codeOf(() => bench.engine.declareVhost('third')),
      'LIMIT_REACHED',
    )
    assert.deepEqual([...bench.engine.vhosts.keys()], ['/', 'second'])
  })

  test('for one session more; one that was closed makes room', () => {
    const { bench, session } = create({ sessions: 1 })
    assert.equal(
      codeOf(() => bench.client()),
      'LIMIT_REACHED',
    )
    session.close(0)
    bench.client()
    assert.equal(bench.engine.sessions.size, 1)
  })

  test('for one queue more; one that is there may be declared again', () => {
    const { client } = create({ queues: 1 })
    client.queue('q')
    client.queue('q')
    assert.equal(
      codeOf(() => client.queue('other')),
      'LIMIT_REACHED',
    )
  })

  test('for one exchange more; those of every virtual host do not count', () => {
    const { session } = create({ exchanges: 1 })
    session.declareExchange({ name: 'x', kind: 'fanout' })
    session.declareExchange({ name: 'x', kind: 'fanout' })
    assert.equal(
      codeOf(() => session.declareExchange({ name: 'y', kind: 'fanout' })),
      'LIMIT_REACHED',
    )
  })

  test('for one binding more; what was refused is not bound', () => {
    const { client, session, bench } = create({ bindings: 1 })
    client.queue('q')
    session.bindQueue({ queue: 'q', exchange: 'amq.direct', routingKey: 'a' })
    session.bindQueue({ queue: 'q', exchange: 'amq.direct', routingKey: 'a' })
    assert.equal(
      codeOf(() => session.bindQueue({ queue: 'q', exchange: 'amq.direct', routingKey: 'b' })),
      'LIMIT_REACHED',
    )
    assert.equal(client.publish('amq.direct', 'b', 'm').type, 'unroutable')
    bench.settle()
  })

  test('for one consumer more of a session', () => {
    const { client } = create({ consumersPerSession: 1 })
    client.queue('q')
    client.consume('q', { tag: 'a' })
    assert.equal(
      codeOf(() => client.consume('q', { tag: 'b' })),
      'LIMIT_REACHED',
    )
  })

  test('for one parameter more; one that is there may be changed', () => {
    const { bench } = create({ parameters: 1 })
    const { parameters } = bench.engine
    const facts = { vhost: '', component: '', name: 'a', value: '1' }
    parameters.set(facts)
    parameters.set({ ...facts, value: '2' })
    assert.equal(
      codeOf(() => parameters.set({ ...facts, name: 'b' })),
      'LIMIT_REACHED',
    )
    assert.equal(parameters.get(facts), '2')
    assert.equal(parameters.get({ ...facts, name: 'b' }), undefined)
  })
})

describe('PRECONDITION_FAILED', () => {
  test('for one publish more in a transaction', () => {
    const { client, session } = create({ operationsPerTransaction: 1 })
    client.queue('q')
    session.txSelect()
    client.send('q', 'a')
    assert.equal(
      codeOf(() => client.send('q', 'b')),
      'PRECONDITION_FAILED',
    )
    session.txCommit(0)
    assert.deepEqual(client.drain('q'), ['a'])
  })

  test('for more bytes in all transactions together; what is committed, rolled back or closed makes room', () => {
    const { bench, client, session } = create({ bytesInTransactions: 2_000 })
    const large = 'x'.repeat(1_000)
    client.queue('q')
    session.txSelect()
    client.send('q', large)
    const other = bench.client()
    other.session.txSelect()
    other.send('q', 'small')
    assert.equal(
      codeOf(() => other.send('q', large)),
      'PRECONDITION_FAILED',
    )
    bench.engine.invariants()
    session.txCommit(0)
    other.send('q', large)
    other.session.txRollback()
    client.send('q', large)
    session.close(0)
    other.send('q', large)
    other.session.txCommit(0)
    bench.engine.invariants()
    assert.deepEqual(bench.client().drain('q'), [large, large])
  })

  test('for more in a transaction than its bookkeeping leaves room for, of publishes without a body too', () => {
    const propertyBytes = encodeProperties({}).length
    const roomFor = (publishes: number) => publishes * (bufferedPublishBytes + propertyBytes)
    const { bench, client, session } = create({ bytesInTransactions: roomFor(3) })
    client.queue('q')
    const sendEmpty = (): string => codeOf(() => client.send('q', ''))
    session.txSelect()
    for (let index = 0; index < 3; index += 1) assert.equal(sendEmpty(), 'no error')
    assert.equal(sendEmpty(), 'PRECONDITION_FAILED')
    bench.engine.invariants()
    session.txCommit(0)
    // What is settled takes of the same room, and is never refused.
    for (let index = 0; index < 3; index += 1) {
      const { deliveryTag } = session.get({ queue: 'q', noAck: false }, 0)!.delivery
      session.ack(deliveryTag, false, 0)
    }
    assert.ok(3 * settlementBytes <= roomFor(1), 'three settlements take no more than one publish')
    assert.deepEqual([sendEmpty(), sendEmpty(), sendEmpty()], ['no error', 'no error', 'PRECONDITION_FAILED'])
    bench.engine.invariants()
    session.txRollback()
    assert.deepEqual([sendEmpty(), sendEmpty(), sendEmpty()], ['no error', 'no error', 'no error'])
    bench.engine.invariants()
  })

  test('for one key more in CC and BCC, and where they are no lists', () => {
    const { client } = create({ routingKeysPerMessage: 2 })
    client.queue('q')
    const send = (headers: Record<string, FieldValue>) => codeOf(() => client.send('q', 'm', {}, { headers }))
    assert.equal(send({ CC: ['a'], BCC: ['b'] }), 'no error')
    assert.equal(send({ CC: ['a', 'b'], BCC: ['c'] }), 'PRECONDITION_FAILED')
    assert.equal(send({ CC: 'a' }), 'PRECONDITION_FAILED')
    assert.equal(send({ BCC: null }), 'PRECONDITION_FAILED')
    assert.deepEqual(client.drain('q'), ['m'])
  })
})

test('what is too much is dropped a slice at a time', () => {
  const bench = Bench.create({ limits: { dropsPerPublish: 1, workPerAdvance: 2 } })
  const client = bench.client()
  const queue = client.queue('q')
  for (const body of ['a', 'b', 'c', 'd', 'e', 'f', 'g']) client.send('q', body)
  const policy = { vhost: '/', name: 'p', operator: false, pattern: '', priority: 0 } as const
  bench.engine.policies.set({ ...policy, applyTo: 'queues', definition: { 'max-length': 1 } }, bench.nowMs)
  assert.equal(queue.readyMessages, 7)
  client.send('q', 'h')
  assert.equal(queue.readyMessages, 7)
  assert.equal(bench.engine.dispatch(bench.nowMs), true)
  assert.equal(queue.readyMessages, 5)
  bench.settle()
  assert.deepEqual(client.drain('q'), ['h'])
})

test('what consumers wait for puts off only so many drops, and so many bytes', () => {
  for (const [limits, args] of [
    [{ dropsPutOff: 3 }, { 'x-max-length': 1 }],
    [{ bytesPutOff: 3 }, { 'x-max-length-bytes': 1 }],
  ] as const) {
    const bench = Bench.create({ limits })
    const client = bench.client()
    const queue = client.queue('q', args)
    client.consume('q', { prefetch: 1 })
    for (let n = 0; n < 9; n += 1) {
      client.send('q', `${n}`)
      assert.ok(queue.readyMessages <= 5, `${queue.readyMessages} ready`)
    }
    bench.settle()
    assert.deepEqual(client.takeBodies(), ['4'])
    assert.deepEqual(client.drain('q'), ['8'])
  }
})

test('a burst into a full queue costs the same for each message, however much consumers wait for', () => {
  const bench = Bench.create()
  const client = bench.client()
  const most = 16_000
  const queue = client.queue('q', { 'x-max-length-bytes': most, 'x-overflow': 'reject-publish' })
  for (let n = 0; n < most; n += 1) client.send('q', 'm')
  client.consume('q', { prefetch: most / 2 })
  const fromMs = performance.now()
  for (let n = 0; n < most; n += 1) client.send('q', 'm')
  assert.ok(performance.now() - fromMs < 2_000, 'what waits is not added up anew for each')
  bench.settle()
  assert.ok(queue.readyBytes <= most)
})
