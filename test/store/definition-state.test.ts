import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
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

test('of two virtual hosts the one that is deleted takes only its own along', () => {
  const other: Definition = { ...queueDeclared(2), vhost: 'other' } as Definition
  const all: Definition[] = [exchange, queueDeclared(1), other, bound]
  const left = after(...all, { type: 'vhost.deleted', vhost: 'other' })
  assert.deepEqual(left, ['exchange.declared', 'queue.declared', 'bound'])
})

test('what was never there is deleted without a trace', () => {
  const gone: Definition[] = [
    { type: 'unbound', ...binding, arguments: {} },
    { type: 'exchange.deleted', vhost: '/', name: 'x' },
    { type: 'queue.deleted', id: 9 },
    { type: 'vhost.deleted', vhost: '/' },
  ]
  assert.deepEqual(after(...gone), [])
})

test('a queue has a name to be called by, one that holds back for an exchange too', () => {
  const state = new DefinitionState()
  state.apply(queueDeclared(1))
  state.apply({ ...queueDeclared(2), holdsFor: 'later' } as Definition)
  assert.equal(state.queueName(1)?.name, 'queue 1')
  assert.equal(state.queueName(2)?.name, "held back for exchange 'later'")
  assert.equal(state.queueName(3), undefined)
})

describe('what operators set', () => {
  const user = { name: 'ada', passwordHash: '', hashing: 'scrypt', tags: [] } as const
  const grantee = { vhost: '/', user: 'ada' } as const
  const policy = { vhost: '/', name: 'p', operator: false } as const
  const limit = { scope: 'vhost', name: '/', limit: 'max-queues' } as const
  const ofUser = { scope: 'user', name: 'ada', limit: 'max-channels' } as const
  const parameter = { vhost: '/', component: 'c', name: 'n' } as const
  const all: Definition[] = [
    { type: 'user.defined', ...user },
    { type: 'user.defined', ...user, name: 'bob' },
    { type: 'permission.granted', ...grantee, configure: '', write: '', read: '' },
    { type: 'topicPermission.granted', ...grantee, exchange: 'x', write: '', read: '' },
    { type: 'policy.defined', ...policy, pattern: '', applyTo: 'all', priority: 0, definition: {} },
    { type: 'limit.set', ...limit, value: 1 },
    { type: 'limit.set', ...ofUser, value: 2 },
    { type: 'parameter.set', ...parameter, value: '1' },
    { type: 'parameter.set', ...parameter, vhost: '', value: '2' },
    { type: 'vhost.described', vhost: '/', description: '', tags: [], defaultQueueType: '' },
  ]
  const types = all.map(({ type }) => type)

  test('is there once, however often it was set', () => {
    assert.deepEqual(after(...all, ...all), types)
  })

  test('is gone one by one', () => {
    const left = after(
      ...all,
      { type: 'permission.revoked', ...grantee },
      { type: 'topicPermission.revoked', ...grantee, exchange: 'x' },
      { type: 'policy.deleted', ...policy },
      { type: 'limit.cleared', ...limit },
      { type: 'parameter.cleared', ...parameter },
    )
    assert.deepEqual(left, ['user.defined', 'user.defined', 'limit.set', 'parameter.set', 'vhost.described'])
  })

  test('goes with the user', () => {
    const gone = ['user.defined', 'permission.granted', 'topicPermission.granted', 'limit.set']
    const left = types.slice()
    for (const type of gone) left.splice(left.lastIndexOf(type as never), 1)
    assert.deepEqual(after(...all, { type: 'user.deleted', name: 'ada' }), left)
  })

  test('goes with the virtual host', () => {
    assert.deepEqual(after(...all, { type: 'vhost.deleted', vhost: '/' }), [
      'user.defined',
      'user.defined',
      'limit.set',
      'parameter.set',
    ])
  })
})
