/** Restoring: a log read from its beginning gives the state it was written from; facts about what is gone change nothing. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { Engine, silentJournal } from '../../src/engine/engine.ts'
import type { Definition } from '../../src/model/record.ts'
import { Bench } from './harness.ts'

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
