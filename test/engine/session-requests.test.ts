import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { Bench, codeOf } from './harness.ts'

describe('a session', () => {
  test('says what was asked of it', () => {
    const { session } = Bench.create().client()
    assert.equal(session.confirming, false)
    assert.equal(session.topology.lastQueueName, '')
    session.confirmSelect()
    const { name } = session.declareQueue({ name: '' }, 0)
    assert.equal(session.confirming, true)
    assert.equal(session.topology.lastQueueName, name)
  })

  test('that is closed takes no more requests, and is closed once', () => {
    const bench = Bench.create()
    const { session } = bench.client({ connectionId: 7 })
    session.close(0)
    session.close(0)
    bench.engine.closeConnection(7, 0)
    bench.engine.closeConnection(8, 0)
    const requests = [
      () => session.declareQueue({ name: 'q' }, 0),
      () => session.qos({ prefetchCount: 1, global: false }),
      () => session.ack(0, true, 0),
      () => session.txSelect(),
    ]
    for (const request of requests) assert.equal(codeOf(request), 'CLOSED')
    assert.equal(session.settleAck(1), false)
    session.invariants()
  })

  test('says of each way to settle that there is no such delivery', () => {
    const { session } = Bench.create().client()
    assert.equal(session.settleAck(1), false)
    assert.equal(session.settleRetry(1, 0, 0), false)
    assert.equal(session.settleRelease(1, 0, 0), false)
    assert.equal(session.settleDead(1, { reason: 'attempts' }, 0), false)
  })

  test('consumes from the queue declared last where it names none, and says first that there is none', () => {
    const bench = Bench.create()
    const client = bench.client()
    const consume = () => client.consume('', { tag: 't', noAck: true })
    assert.equal(codeOf(consume), 'NOT_FOUND')
    client.queue('q')
    consume()
    assert.equal(codeOf(consume), 'NOT_ALLOWED')
    client.send('q', 'm')
    bench.settle()
    assert.deepEqual(client.takeBodies(), ['m'])
  })
})

test('what a transaction published to an exchange that has gone comes back if it is mandatory', () => {
  const bench = Bench.create()
  const client = bench.client()
  const { session } = client
  client.queue('q')
  for (const name of ['gone', 'kept']) {
    session.declareExchange({ name, kind: 'fanout' })
    session.bindQueue({ queue: 'q', exchange: name, routingKey: '' })
  }
  session.txSelect()
  for (const exchange of ['gone', 'kept']) {
    client.publish(exchange, '', `${exchange} mandatory`, { mandatory: true })
    client.publish(exchange, '', exchange)
  }
  session.deleteExchange('gone')
  session.txCommit(bench.nowMs)
  assert.deepEqual(
    client.returned.map(({ body }) => body),
    ['gone mandatory'],
  )
  assert.deepEqual(client.drain('q'), ['kept mandatory', 'kept'])
})
