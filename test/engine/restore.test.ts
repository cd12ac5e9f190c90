/** Restoring: a log read from its beginning gives the state it was written from; facts about what is gone change nothing. */
import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { Engine, silentJournal } from '../../src/engine/engine.ts'
import type { Definition, RecoveredQueue } from '../../src/model/record.ts'
import { Bench, JournalLog } from './harness.ts'

function restored(definitions: readonly Definition[]): Engine {
  const engine = new Engine({ journal: silentJournal, name: () => 'name' })
  engine.restore({ definitions, queues: [], nextSeq: 1, nextQueueId: 1, unclean: false })
  engine.invariants()
  return engine
}

function write(): { facts: Definition[]; bench: Bench } {
  const facts: Definition[] = []
  const defined = (fact: Definition): void => void facts.push(fact)
  const bench = Bench.create({ journal: { ...silentJournal, defined } })
  const client = bench.client()
  const { session } = client
  for (const name of ['kept', 'gone']) {
    session.declareExchange({ name, kind: 'topic', durable: true })
    session.declareExchange({
      name: `${name}.delayed`,
      kind: 'x-delayed-message',
      durable: true,
      arguments: { 'x-delayed-type': 'topic' },
    })
    client.queue(`q.${name}`, { 'x-expires': 1000 })
    session.bindQueue({ queue: 'q.kept', exchange: name, routingKey: 'k' })
    session.bindQueue({ queue: `q.${name}`, exchange: 'amq.topic', routingKey: 'k' })
    session.bindExchange({ source: 'kept', destination: name, routingKey: '' })
    bench.engine.pause(session.queue(`q.${name}`), true)
  }
  client.send('q.kept', 'm', { dedupe: { key: 'k', windowMs: 1000 } })
  session.unbindQueue({ queue: 'q.kept', exchange: 'amq.topic', routingKey: 'k' })
  session.deleteQueue('q.gone')
  session.deleteExchange('gone')
  session.deleteExchange('gone.delayed')
  bench.engine.declareVhost('gone')
  bench.engine.deleteVhost('gone', bench.nowMs)
  return { facts, bench }
}

test('a log read from its beginning gives the state it was written from', () => {
  const { facts, bench } = write()
  const { definitions } = bench.engine.snapshot()
  assert.deepEqual(restored(facts).snapshot().definitions, definitions)
  assert.deepEqual(restored(definitions).snapshot().definitions, definitions)
  assert.ok(definitions.some(({ type }) => type === 'deduplicated'))
})

test('what is on record twice is there once', () => {
  const { facts, bench } = write()
  const { definitions } = bench.engine.snapshot()
  assert.deepEqual(restored([...definitions, ...definitions]).snapshot().definitions, definitions)
  assert.equal(restored([...facts, ...facts.filter(({ type }) => type === 'queue.deleted')]).queueCount, 2)
})

test('facts about what is not there change nothing', () => {
  const { facts } = write()
  const homeless = facts.filter(({ type }) => type !== 'vhost.declared')
  assert.deepEqual(restored(homeless).snapshot().definitions, [])
  const unknown = facts.filter(({ type }) => type !== 'queue.declared' && type !== 'exchange.declared')
  const { definitions } = restored(unknown).snapshot()
  assert.deepEqual(
    definitions.map(({ type }) => type),
    ['vhost.declared'],
  )
})

test('a policy of a virtual host that is not there changes nothing', () => {
  const facts = {
    vhost: 'gone',
    name: 'p',
    operator: false,
    pattern: '',
    applyTo: 'all',
    priority: 0,
  } as const
  const engine = restored([{ type: 'policy.defined', ...facts, definition: { 'max-length': 1 } }])
  assert.equal(engine.vhosts.size, 0)
})

describe('where a damaged log lost a record', () => {
  const found = (queueId: number): RecoveredQueue => ({
    queueId,
    lanes: [{ lane: 0, count: 2, bodyBytes: 10 }],
    delayed: { seqs: Float64Array.of(7), dueAtMs: Float64Array.of(1), bodyBytes: 5 },
    heldKeys: [],
  })

  function restore(definitions: readonly Definition[], queueIds: readonly number[]) {
    const journal = new JournalLog()
    const pager = {
      windowMessages: 10,
      windowBytes: 1000,
      delayedWindow: 10,
      loadLane() {},
      loadEntries() {},
    }
    const engine = new Engine({ journal, pager, name: () => 'name' })
    engine.restore({ definitions, queues: queueIds.map(found), nextSeq: 9, nextQueueId: 1, unclean: true })
    engine.invariants()
    return { engine, journal }
  }

  const vhost: Definition = { type: 'vhost.declared', vhost: '/' }
  const queue = (id: number, name: string): Definition => {
    return { type: 'queue.declared', id, vhost: '/', name, autoDelete: false, arguments: {} }
  }
  const holding = (id: number): Definition => {
    return { ...queue(id, ''), holdsFor: 'x' } as Definition
  }
  const exchange: Definition = {
    type: 'exchange.declared',
    vhost: '/',
    name: 'x',
    kind: 'x-delayed-message',
    autoDelete: false,
    internal: false,
    arguments: { 'x-delayed-type': 'fanout' },
  }

  test('the entries of a queue that nobody declared go off the record', () => {
    const { engine, journal } = restore([vhost, queue(1, 'q'), holding(3)], [1, 2, 3])
    assert.equal(engine.queueById(1)?.readyMessages, 2)
    assert.equal(engine.counters.lostEntries, 6)
    assert.deepEqual(
      journal.lines,
      [2, 3].map((queueId) => {
        return `purged ${JSON.stringify({ queueId, throughSeq: 8, state: 'all', survivors: [] })}`
      }),
    )
  })

  test('of two queues of one name the one declared last is there', () => {
    const { engine } = restore([vhost, queue(1, 'q'), queue(2, 'q')], [1, 2])
    assert.equal(engine.vhost('/').queue('q').id, 2)
    assert.equal(engine.queueById(2)?.readyMessages, 2)
    assert.equal(engine.counters.lostEntries, 3)
    assert.equal(engine.queueCount, 1)
  })

  test('of two places for what an exchange holds back the last one is there', () => {
    const { engine } = restore([vhost, exchange, holding(1), holding(2)], [])
    assert.equal(engine.vhost('/').exchange('x').holding?.id, 2)
    assert.equal(engine.queueCount, 1)
  })

  test('an exchange without a place for what it holds back gets one', () => {
    const { engine, journal } = restore([vhost, queue(4, 'q'), exchange], [])
    assert.equal(engine.vhost('/').exchange('x').holding?.id, 5)
    assert.deepEqual(journal.lines, ['queue.declared'])
  })
})
