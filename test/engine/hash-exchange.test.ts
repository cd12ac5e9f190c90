/** Exchanges of type x-consistent-hash, as they are declared and published to. */
import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { Bench } from './harness.ts'

function setUp() {
  const bench = Bench.create()
  const client = bench.client()
  client.session.declareExchange({ name: 'x', kind: 'x-consistent-hash' })
  for (const queue of ['a', 'b']) {
    client.queue(queue)
    client.session.bindQueue({ queue, exchange: 'x', routingKey: '1' })
  }
  return { bench, client }
}

describe('a consistent hash exchange', () => {
  test('gives each message to one queue, also with CC', () => {
    const { client } = setUp()
    for (let key = 0; key < 100; key += 1) {
      client.publish('x', String(key), 'm', {}, { headers: { CC: ['1', '2', '3', '4', '5'] } })
    }
    const [a, b] = [client.drain('a').length, client.drain('b').length]
    assert.equal(a + b, 100)
    assert.ok(a > 20 && b > 20)
  })

  test('refuses a weight that is none, also when the queue is bound already', () => {
    const { client } = setUp()
    assert.throws(() => client.session.bindQueue({ queue: 'a', exchange: 'x', routingKey: 'x' }), {
      code: 'PRECONDITION_FAILED',
      message: 'The binding key must be an integer: <<"x">>',
    })
  })

  test('refuses arguments that do not say what is hashed', () => {
    const { client } = setUp()
    const cases = [
      [{ 'hash-header': 'h', 'hash-property': 'message_id' }, /mutually exclusive/],
      [{ 'hash-property': 'app_id' }, /Unsupported property: app_id/],
      [{ 'hash-property': 5 }, /Unsupported property: 5/],
      [{ 'hash-header': 5 }, /hash-header must be text/],
    ] as const
    for (const [table, message] of cases) {
      const wanted = { name: 'y', kind: 'x-consistent-hash', arguments: table } as const
      assert.throws(() => client.session.declareExchange(wanted), { code: 'PRECONDITION_FAILED', message })
    }
    client.session.declareExchange({
      name: 'y',
      kind: 'x-consistent-hash',
      arguments: { 'hash-property': 'timestamp' },
    })
  })
})
