/** One delivery that is never settled must not make a session's memory grow with all that pass by. */
import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { Bench, codeOf } from './harness.ts'
import type { Client } from './harness.ts'

/** A session in whose hands are deliveries 1 and 2, and 3000 more that were acknowledged as they came. */
function withTwoOld(): { bench: Bench; client: Client } {
  const bench = Bench.create()
  const client = bench.client()
  client.queue('q')
  for (const body of ['first', 'second']) {
    client.send('q', body)
    client.session.get({ queue: 'q', noAck: false }, 0)
  }
  pass(client, 3000)
  return { bench, client }
}

function pass(client: Client, count: number): void {
  for (let index = 0; index < count; index += 1) {
    client.send('q', 'm')
    const { deliveryTag } = client.session.get({ queue: 'q', noAck: false }, 0)!.delivery
    client.session.ack(deliveryTag, false, 0)
  }
}

describe('old deliveries', () => {
  test('are settled one by one, and then not known any more', () => {
    const { bench, client } = withTwoOld()
    assert.equal(client.session.unacked.oldestTag, 1)
    assert.equal(client.session.settleAck(1), true)
    assert.equal(client.session.settleAck(1), false)
    assert.equal(client.session.unacked.oldestTag, 2)
    client.session.ack(2, false, 0)
    assert.equal(
      codeOf(() => client.session.ack(2, true, 0)),
      'PRECONDITION_FAILED',
    )
    assert.equal(client.session.unacked.oldestTag, 0)
    assert.equal(client.session.unacked.length, 0)
    bench.settle()
  })

  test('are settled by an acknowledgement of all through a later one', () => {
    const { bench, client } = withTwoOld()
    client.session.ack(1, true, 0)
    assert.equal(client.session.unacked.length, 1)
    client.send('q', 'third')
    const { deliveryTag } = client.session.get({ queue: 'q', noAck: false }, 0)!.delivery
    client.session.ack(deliveryTag, true, 0)
    assert.equal(client.session.unacked.length, 0)
    bench.settle()
  })

  test('return in their order when the session closes', () => {
    const { bench, client } = withTwoOld()
    client.send('q', 'third')
    client.session.get({ queue: 'q', noAck: false }, 0)
    client.session.close(0)
    assert.deepEqual(bench.client().drain('q'), ['first', 'second', 'third'])
    bench.settle()
  })

  test('are unacked again after a rollback', () => {
    const { bench, client } = withTwoOld()
    client.session.txSelect()
    client.session.ack(1, false, 0)
    assert.equal(client.session.unacked.oldestTag, 2)
    client.session.txRollback()
    assert.equal(client.session.unacked.oldestTag, 1)
    client.session.ack(0, true, 0)
    client.session.txCommit(0)
    assert.equal(client.session.unacked.length, 0)
    bench.settle()
  })

  test('stay where they are while many others are outstanding too', () => {
    const bench = Bench.create()
    const client = bench.client()
    client.queue('q')
    const tags: number[] = []
    for (let index = 0; index < 3000; index += 1) {
      client.send('q', String(index))
      tags.push(client.session.get({ queue: 'q', noAck: false }, 0)!.delivery.deliveryTag)
    }
    for (const tag of tags) assert.equal(client.session.unacked.get(tag)?.deliveryTag, tag)
    assert.equal(client.session.settleAck(tags.at(-1)! + 1), false)
    client.session.recover({ requeue: true }, 0)
    assert.equal(client.drain('q').length, 3000)
    bench.settle()
  })

  test('leave room for what comes when nothing else is outstanding', () => {
    const { client } = withTwoOld()
    pass(client, 5000)
    client.session.unacked.invariants()
    assert.equal(client.session.unacked.length, 2)
  })
})
