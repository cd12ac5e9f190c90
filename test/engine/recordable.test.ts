/** What cannot be put on record is refused before anything changes: a queue that only memory knows would lose messages. */
import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { silentJournal } from '../../src/engine/engine.ts'
import type { FieldTable } from '../../src/model/field-value.ts'
import { decodeFieldTable } from '../../src/model/field-table.ts'
import { encodeDefinition } from '../../src/store/definition-codec.ts'
import { Bench, codeOf } from './harness.ts'

/** A field whose name is no UTF-8: read, it has three bytes for one. */
function withLongName(): FieldTable {
  const name = Buffer.alloc(200, 0xff)
  const field = Buffer.concat([Buffer.of(name.length), name, Buffer.from('t'), Buffer.of(1)])
  const length = Buffer.alloc(4)
  length.writeUInt32BE(field.length)
  return decodeFieldTable(Buffer.concat([length, field]))
}

function create() {
  const defined = (fact: Parameters<typeof encodeDefinition>[0]) => void encodeDefinition(fact)
  const bench = Bench.create({ journal: { ...silentJournal, defined } })
  const client = bench.client()
  client.queue('there')
  return { bench, session: client.session, vhost: bench.engine.vhost('/') }
}

for (const [why, table] of [
  ['a name that is too long', withLongName()],
  ['an integer of more than 64 bits', { a: 2n ** 70n }],
] as const) {
  describe(`with ${why}`, () => {
    test('a queue is refused, and is not there', () => {
      const { session, vhost } = create()
      const declare = () => session.declareQueue({ name: 'q', durable: true, arguments: table }, 0)
      assert.equal(codeOf(declare), 'INVALID_ARGUMENT')
      assert.deepEqual([...vhost.queues.keys()], ['there'])
    })

    test('an exchange is refused, and is not there', () => {
      const { session, vhost } = create()
      const declare = () =>
        session.declareExchange({ name: 'x', kind: 'fanout', durable: true, arguments: table })
      assert.equal(codeOf(declare), 'INVALID_ARGUMENT')
      assert.equal(vhost.exchanges.has('x'), false)
    })

    test('a binding is refused, and is not there', () => {
      const { session, vhost, bench } = create()
      const bind = () =>
        session.bindQueue({ queue: 'there', exchange: 'amq.direct', routingKey: '', arguments: table })
      assert.equal(codeOf(bind), 'INVALID_ARGUMENT')
      assert.equal(vhost.exchange('amq.direct').router.size, 0)
      bench.engine.invariants()
    })

    test('a policy is refused, and does not apply', () => {
      const { bench, vhost } = create()
      const policy = {
        vhost: '/',
        name: 'p',
        operator: false,
        pattern: '',
        applyTo: 'all',
        priority: 0,
      } as const
      const definition = { 'max-length': 1, 'ha-params': table }
      assert.equal(
        codeOf(() => bench.engine.policies.set({ ...policy, definition }, 0)),
        'INVALID_ARGUMENT',
      )
      assert.equal(vhost.queue('there').maxLength, Infinity)
      assert.deepEqual([...bench.engine.policies.values()], [])
    })
  })
}
