import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { persistentPublish } from '../../src/engine/publish.ts'
import { Message } from '../../src/model/message.ts'
import { Bench, codeOf } from './harness.ts'

describe('bindings', () => {
  test('lead from exchanges to what is there; to unbind what is not bound is ok', () => {
    const bench = Bench.create()
    const client = bench.client()
    const { session } = client
    client.queue('q')
    const bind = (source: string, destination: string) => () =>
      session.bindExchange({ source, destination, routingKey: '' })
    assert.equal(codeOf(bind('amq.fanout', 'none')), 'NOT_FOUND')
    assert.equal(codeOf(bind('none', 'amq.fanout')), 'NOT_FOUND')
    assert.equal(codeOf(bind('', 'amq.fanout')), 'ACCESS_REFUSED')
    assert.equal(codeOf(bind('amq.fanout', '')), 'ACCESS_REFUSED')
    bind('amq.fanout', 'amq.direct')()
    session.unbindExchange({ source: 'amq.fanout', destination: 'amq.direct', routingKey: 'other' })
    session.unbindExchange({ source: 'none', destination: 'amq.direct', routingKey: '' })
    session.bindQueue({ queue: 'q', exchange: 'amq.direct', routingKey: '' })
    session.unbindQueue({ queue: 'q', exchange: 'amq.direct', routingKey: 'other' })
    client.publish('amq.fanout', '', 'm')
    assert.deepEqual(client.drain('q'), ['m'])
    bench.settle()
  })

  test('are listed, those of the default exchange too', () => {
    const bench = Bench.create()
    const client = bench.client()
    client.queue('q')
    client.session.bindQueue({ queue: 'q', exchange: 'amq.topic', routingKey: 'k.#' })
    client.session.bindExchange({ source: 'amq.topic', destination: 'amq.fanout', routingKey: 'x' })
    const lines = [...bench.engine.vhost('/').bindings()].map(
      ({ source, destinationType, destination, routingKey }) =>
        `${source} -> ${destinationType} ${destination} ${routingKey}`,
    )
    assert.deepEqual(lines, [
      ' -> queue q q',
      'amq.topic -> queue q k.#',
      'amq.topic -> exchange amq.fanout x',
    ])
  })
})

test('what is published for nobody in particular is routed, and refused, as a session’s', () => {
  const bench = Bench.create()
  const client = bench.client()
  const vhost = bench.engine.vhost('/')
  const publish = (exchange: string, headers = {}) =>
    vhost.publish(
      Message.of(exchange, 'q', { headers }, 'm'),
      { ...persistentPublish, hasHeaders: true },
      bench.nowMs,
    )
  assert.equal(publish('').type, 'unroutable')
  client.queue('q')
  assert.equal(publish('').type, 'routed')
  assert.equal(publish('amq.direct').type, 'unroutable')
  assert.equal(
    codeOf(() => publish('none')),
    'NOT_FOUND',
  )
  assert.equal(
    codeOf(() => publish('amq.rabbitmq.trace')),
    'ACCESS_REFUSED',
  )
  assert.equal(
    codeOf(() => publish('', { CC: 1 })),
    'PRECONDITION_FAILED',
  )
  assert.deepEqual(client.drain('q'), ['m'])
})

test('a message that might have headers and has none is routed by its key alone', () => {
  const bench = Bench.create()
  const client = bench.client()
  client.queue('q')
  client.session.bindQueue({ queue: 'q', exchange: 'amq.direct', routingKey: 'k' })
  assert.equal(client.publish('amq.direct', 'k', 'm', { hasHeaders: true }).type, 'routed')
  assert.deepEqual(client.drain('q'), ['m'])
})
