/** What operators set: limits, parameters; and that all of it is on record. */
import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import type { Definition } from '../../src/model/record.ts'
import { Engine, silentJournal } from '../../src/engine/engine.ts'
import { decodeDefinition, encodeDefinition } from '../../src/store/definition-codec.ts'
import { DefinitionState } from '../../src/store/definition-state.ts'
import { Bench, codeOf } from './harness.ts'

/** An engine whose facts go through the store's codec and its fold. */
function create(): { engine: Engine; state: DefinitionState } {
  const state = new DefinitionState()
  const defined = (fact: Definition): void => {
    const read = decodeDefinition(encodeDefinition(fact))
    assert.deepEqual({ ...read }, fact)
    state.apply(read!)
  }
  const engine = new Engine({ journal: { ...silentJournal, defined }, name: () => 'name' })
  engine.declareVhost('/')
  engine.declareVhost('other')
  return { engine, state }
}

function restored(definitions: readonly Definition[]): Engine {
  const engine = new Engine({ journal: silentJournal, name: () => 'name' })
  engine.restore({ definitions, queues: [], nextSeq: 1, nextQueueId: 1, unclean: false })
  return engine
}

const policy = { name: 'p', pattern: '^q', applyTo: 'all', priority: 0 } as const

function setAll({ access, operatorLimits, parameters, policies }: Engine): void {
  for (const name of ['ada', 'bob']) {
    access.defineUser({
      name,
      passwordHash: 'aGFzaA==',
      hashing: 'rabbit_password_hashing_sha256',
      tags: ['x'],
    })
    for (const vhost of ['/', 'other']) {
      access.grant({ vhost, user: name, configure: '^c', write: '.*', read: '' })
      access.grantTopic({ vhost, user: name, exchange: 'amq.topic', write: '^{username}', read: '.*' })
    }
    operatorLimits.set({ scope: 'user', name, limit: 'max-channels', value: 5 })
    operatorLimits.set({ scope: 'user', name, limit: 'max-connections', value: -1 })
  }
  for (const vhost of ['/', 'other']) {
    operatorLimits.set({ scope: 'vhost', name: vhost, limit: 'max-queues', value: 0 })
    operatorLimits.set({ scope: 'vhost', name: vhost, limit: 'max-connections', value: 7 })
    parameters.set({ vhost, component: 'shovel', name: 's', value: '{"a":[1]}' })
    parameters.describeVhost({ vhost, description: 'd', tags: ['t'], defaultQueueType: 'quorum' })
    for (const operator of [false, true]) {
      const definition = { 'max-length': 5, overflow: 'drop-head' }
      policies.set({ ...policy, vhost, operator, definition }, 0)
      policies.set({ ...policy, vhost, operator, name: 'q', priority: 7, definition }, 0)
    }
  }
  parameters.set({ vhost: '', component: '', name: 'cluster_name', value: '"mill"' })
}

describe('on record', () => {
  test('everything that was set is there after a restart, from the log and from a snapshot', () => {
    const { engine, state } = create()
    setAll(engine)
    setAll(engine)
    const snapshot = engine.snapshot().definitions
    assert.equal(snapshot.length, 2 + 2 + 4 + 4 + 8 + 3 + 2 + 8)
    assert.deepEqual(restored(state.definitions()).snapshot().definitions, snapshot)
    assert.deepEqual(restored(snapshot).snapshot().definitions, snapshot)
  })

  test('what was taken away is away after a restart', () => {
    const { engine, state } = create()
    setAll(engine)
    engine.access.revoke({ user: 'ada', vhost: 'other' })
    engine.access.revokeTopic({ user: 'ada', vhost: '/', exchange: 'amq.topic' })
    engine.access.deleteUser('bob')
    engine.operatorLimits.clear({ scope: 'vhost', name: '/', limit: 'max-queues' })
    engine.parameters.clear({ vhost: '/', component: 'shovel', name: 's' })
    engine.policies.delete({ vhost: '/', name: 'q', operator: true }, 0)
    const { definitions } = engine.snapshot()
    assert.deepEqual(restored(state.definitions()).snapshot().definitions, definitions)
    engine.deleteVhost('other', 0)
    const after = engine.snapshot().definitions
    assert.deepEqual(restored(state.definitions()).snapshot().definitions, after)
    assert.deepEqual(
      after.map(({ type }) => type),
      [
        'vhost.declared',
        'vhost.described',
        'parameter.set',
        'user.defined',
        'permission.granted',
        'limit.set',
        'limit.set',
        'limit.set',
        'policy.defined',
        'policy.defined',
        'policy.defined',
      ],
    )
  })

  test('a log read from its beginning gives the same', () => {
    const facts: Definition[] = []
    const defined = (fact: Definition): void => void facts.push(fact)
    const engine = new Engine({ journal: { ...silentJournal, defined }, name: () => 'name' })
    engine.declareVhost('/')
    engine.declareVhost('other')
    setAll(engine)
    engine.access.revoke({ user: 'ada', vhost: 'other' })
    engine.access.revokeTopic({ user: 'ada', vhost: '/', exchange: 'amq.topic' })
    engine.access.deleteUser('bob')
    engine.operatorLimits.clear({ scope: 'vhost', name: '/', limit: 'max-queues' })
    engine.parameters.clear({ vhost: '/', component: 'shovel', name: 's' })
    engine.policies.delete({ vhost: '/', name: 'q', operator: true }, 0)
    assert.deepEqual(restored(facts).snapshot().definitions, engine.snapshot().definitions)
  })
})

describe('limits', () => {
  test('a limit that is not set, or below 0, is none', () => {
    const { engine } = create()
    const limits = engine.operatorLimits
    assert.equal(limits.value('vhost', '/', 'max-queues'), Infinity)
    limits.set({ scope: 'vhost', name: '/', limit: 'max-queues', value: 3 })
    assert.equal(limits.value('vhost', '/', 'max-queues'), 3)
    assert.equal(limits.value('vhost', 'other', 'max-queues'), Infinity)
    limits.set({ scope: 'vhost', name: '/', limit: 'max-queues', value: -1 })
    assert.equal(limits.value('vhost', '/', 'max-queues'), Infinity)
    assert.equal(limits.clear({ scope: 'vhost', name: '/', limit: 'max-queues' }), true)
    assert.equal(limits.clear({ scope: 'vhost', name: '/', limit: 'max-queues' }), false)
  })

  test('no more queues are declared than a virtual host may have; those that are there stay', () => {
    const bench = Bench.create()
    const client = bench.client()
    client.queue('a')
    client.queue('b')
    bench.engine.operatorLimits.set({ scope: 'vhost', name: '/', limit: 'max-queues', value: 1 })
    client.queue('a')
    assert.throws(() => client.queue('c'), {
      code: 'PRECONDITION_FAILED',
      message: "cannot declare queue 'c': queue limit in vhost '/' (1) is reached",
    })
    bench.engine.operatorLimits.set({ scope: 'vhost', name: '/', limit: 'max-queues', value: 3 })
    client.queue('c')
  })

  test('what is no limit of a user or virtual host that exists is refused', () => {
    const { engine } = create()
    const set = (facts: Parameters<typeof engine.operatorLimits.set>[0]) =>
      codeOf(() => engine.operatorLimits.set(facts))
    assert.equal(set({ scope: 'vhost', name: 'x', limit: 'max-queues', value: 1 }), 'NOT_FOUND')
    assert.equal(set({ scope: 'user', name: 'x', limit: 'max-channels', value: 1 }), 'NOT_FOUND')
    assert.equal(set({ scope: 'vhost', name: '/', limit: 'max-channels', value: 1 }), 'INVALID_ARGUMENT')
    assert.equal(set({ scope: 'vhost', name: '/', limit: 'max-queues', value: 1.5 }), 'INVALID_ARGUMENT')
  })
})

describe('parameters', () => {
  test('are kept as they are, globally or for a virtual host', () => {
    const { engine } = create()
    const { parameters } = engine
    const whose = { vhost: '/', component: 'c', name: 'n' }
    assert.equal(parameters.get(whose), undefined)
    parameters.set({ ...whose, value: '1' })
    parameters.set({ ...whose, vhost: '', value: '2' })
    assert.equal(parameters.get(whose), '1')
    assert.equal(parameters.clear(whose), true)
    assert.equal(parameters.clear(whose), false)
    assert.deepEqual([...parameters.values()], [{ ...whose, vhost: '', value: '2' }])
    assert.equal(
      codeOf(() => parameters.set({ ...whose, vhost: 'x', value: '1' })),
      'NOT_FOUND',
    )
  })

  test('a virtual host may give a type to queues that are declared without one', () => {
    const bench = Bench.create()
    const client = bench.client()
    const describe = (defaultQueueType: string) =>
      bench.engine.parameters.describeVhost({ vhost: '/', description: '', tags: [], defaultQueueType })
    const typeOf = (name: string) => bench.engine.vhost('/').queue(name).settings.type
    describe('quorum')
    client.queue('q')
    client.queue('q')
    client.queue('own', { 'x-queue-type': 'classic' })
    client.queue('transient', {}, { durable: false })
    client.queue('fleeting', {}, { autoDelete: true })
    const { name } = client.session.declareQueue({ name: '', durable: true }, bench.nowMs)
    client.session.declareQueue({ name: 'mine', durable: true, exclusive: true }, bench.nowMs)
    assert.equal(typeOf('q'), 'quorum')
    for (const other of ['own', 'transient', 'fleeting', 'mine', name]) assert.equal(typeOf(other), 'classic')
    describe('classic')
    client.queue('plain')
    assert.equal(typeOf('plain'), 'classic')
    assert.equal(
      codeOf(() => describe('stream')),
      'INVALID_ARGUMENT',
    )
  })

  test('a virtual host is described once it is there', () => {
    const { engine } = create()
    const facts = { vhost: 'x', description: 'd', tags: [], defaultQueueType: '' }
    assert.equal(
      codeOf(() => engine.parameters.describeVhost(facts)),
      'NOT_FOUND',
    )
    engine.declareVhost('x')
    engine.parameters.describeVhost(facts)
    assert.deepEqual(engine.parameters.vhost('x'), facts)
    assert.equal(engine.parameters.vhost('/'), undefined)
  })
})
