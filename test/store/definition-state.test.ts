import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { Definition } from '../../src/model/record.ts'
import { DefinitionState } from '../../src/store/definition-state.ts'
import { queueDeclared } from './world.ts'

const exchange: Definition = {
  type: 'exchange.declared',
  vhost: '/',
  name: 'x',
  kind: 'topic',
  autoDelete: false,
  internal: false,
  arguments: {},
}
const binding = {
  vhost: '/',
  source: 'x',
  destination: 'queue 1',
  destinationType: 'queue',
  routingKey: '#',
} as const
const bound: Definition = { type: 'bound', ...binding, arguments: {} }

function after(...all: Definition[]): string[] {
  const state = new DefinitionState()
  for (const definition of all) state.apply(definition)
  return state.definitions().map((definition) => definition.type)
}

test('what is declared twice is there once', () => {
  const vhost: Definition = { type: 'vhost.declared', vhost: '/' }
  const all = [vhost, exchange, queueDeclared(1), bound]
  assert.deepEqual(after(...all, ...all), ['vhost.declared', 'exchange.declared', 'queue.declared', 'bound'])
})

test('what is deleted takes its bindings along, also when it is declared again', () => {
  const queue = queueDeclared(1)
  assert.deepEqual(after(exchange, queue, bound, { type: 'queue.deleted', id: 1 }, queue), [
    'exchange.declared',
    'queue.declared',
  ])
  const deleted: Definition = { type: 'exchange.deleted', vhost: '/', name: 'x' }
  assert.deepEqual(after(exchange, queue, bound, deleted, exchange), ['exchange.declared', 'queue.declared'])
})

test('bindings that differ in their arguments are different bindings', () => {
  const other: Definition = { type: 'bound', ...binding, arguments: { a: 1 } }
  const queue = queueDeclared(1)
  assert.equal(after(exchange, queue, bound, other).length, 4)
  assert.equal(after(exchange, queue, bound, other, { type: 'unbound', ...binding, arguments: {} }).length, 3)
})

test('a deleted virtual host takes all that is in it along', () => {
  const vhost: Definition = { type: 'vhost.declared', vhost: '/' }
  const paused: Definition = { type: 'queue.paused', id: 1, paused: true }
  const known: Definition = { type: 'deduplicated', queueId: 1, key: 'k', messageId: 'm', untilMs: 9 }
  const all = [vhost, exchange, queueDeclared(1), bound, paused, known]
  assert.equal(after(...all).length, 6)
  assert.deepEqual(after(...all, { type: 'vhost.deleted', vhost: '/' }), [])
})

test('a queue that runs again is not paused', () => {
  const paused: Definition = { type: 'queue.paused', id: 1, paused: true }
  assert.deepEqual(after(queueDeclared(1), paused), ['queue.declared', 'queue.paused'])
  assert.deepEqual(after(queueDeclared(1), paused, { ...paused, paused: false }), ['queue.declared'])
})
