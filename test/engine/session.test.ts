import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { Bench, codeOf, JournalLog } from './harness.ts'

describe('acknowledging', () => {
  test('a delivered message leaves when it is acknowledged', () => {
    const bench = Bench.create()
    const client = bench.client()
    const queue = client.queue('q')
    client.send('q', 'a')
    client.consume('q')
    bench.settle()
    assert.equal(queue.readyMessages, 0)
    assert.equal(queue.unackedMessages, 1)
    client.session.ack(1, false, bench.nowMs)
    bench.settle()
    assert.equal(queue.depth, 0)
    assert.equal(bench.engine.residentBytes, 0)
  })

  test('an unknown or repeated tag is PRECONDITION_FAILED', () => {
    const bench = Bench.create()
    const client = bench.client()
    client.queue('q')
    client.send('q', 'a')
    client.send('q', 'b')
    client.consume('q')
    bench.settle()
    client.session.ack(2, false, bench.nowMs)
    assert.equal(
      codeOf(() => client.session.ack(2, false, bench.nowMs)),
      'PRECONDITION_FAILED',
    )
    assert.equal(
      codeOf(() => client.session.ack(3, true, bench.nowMs)),
      'PRECONDITION_FAILED',
    )
    assert.equal(
      codeOf(() => client.session.ack(0, false, bench.nowMs)),
      'PRECONDITION_FAILED',
    )
    assert.equal(client.session.settleAck(2), false)
    client.session.ack(0, true, bench.nowMs)
    client.session.ack(0, true, bench.nowMs)
    bench.settle()
  })

  test('multiple settles everything up to and with the tag', () => {
    const bench = Bench.create()
    const client = bench.client()
    const queue = client.queue('q')
    for (const body of ['a', 'b', 'c', 'd']) client.send('q', body)
    client.consume('q')
    bench.settle()
    client.session.ack(3, true, bench.nowMs)
    bench.settle()
    assert.equal(queue.unackedMessages, 1)
  })

  test('what is requeued returns to its original position, marked as redelivered', () => {
    const bench = Bench.create()
    const client = bench.client()
    client.queue('q')
    for (const body of ['a', 'b', 'c', 'd']) client.send('q', body)
    client.consume('q', { prefetch: 3 })
    bench.settle()
    assert.deepEqual(client.takeBodies(), ['a', 'b', 'c'])
    client.session.nack(2, { multiple: false, requeue: true }, bench.nowMs)
    bench.settle()
    assert.equal(client.deliveries[0]?.redelivered, true)
    assert.equal(client.deliveries[0]?.attempt, 2)
    assert.deepEqual(client.takeBodies(), ['b'])
    client.session.ack(1, false, bench.nowMs)
    bench.settle()
    assert.equal(client.deliveries[0]?.redelivered, false)
    assert.deepEqual(client.takeBodies(), ['d'])
  })

  test('closing a session returns what it held, before other deliveries', () => {
    const bench = Bench.create()
    const first = bench.client()
    const second = bench.client()
    first.queue('q')
    for (const body of ['a', 'b', 'c']) first.send('q', body)
    first.consume('q', { prefetch: 2 })
    bench.settle()
    first.session.close(bench.nowMs)
    first.session.close(bench.nowMs)
    second.consume('q')
    bench.settle()
    assert.deepEqual(
      second.deliveries.map(({ redelivered }) => redelivered),
      [true, true, false],
    )
    assert.deepEqual(second.takeBodies(), ['a', 'b', 'c'])
  })

  test('recover requeues everything, and without requeue is UNSUPPORTED', () => {
    const bench = Bench.create()
    const client = bench.client()
    client.queue('q')
    client.send('q', 'a')
    client.send('q', 'b')
    client.consume('q')
    bench.settle()
    client.takeBodies()
    assert.equal(
      codeOf(() => client.session.recover({ requeue: false }, bench.nowMs)),
      'UNSUPPORTED',
    )
    client.session.recover({ requeue: true }, bench.nowMs)
    bench.settle()
    assert.deepEqual(client.takeBodies(), ['a', 'b'])
  })

  test('without acknowledgement a message leaves when it is delivered, whatever the prefetch', () => {
    const bench = Bench.create()
    const client = bench.client()
    const queue = client.queue('q')
    for (const body of ['a', 'b', 'c']) client.send('q', body)
    client.consume('q', { noAck: true, prefetch: 1 })
    bench.settle()
    assert.deepEqual(client.takeBodies(), ['a', 'b', 'c'])
    assert.equal(queue.depth, 0)
  })
})

describe('prefetch', () => {
  test('global=false holds for each later consumer, global=true for the session', () => {
    const bench = Bench.create()
    const client = bench.client()
    client.queue('q')
    client.queue('r')
    for (let index = 0; index < 10; index += 1) {
      client.send('q', `q${index}`)
      client.send('r', `r${index}`)
    }
    client.session.qos({ prefetchCount: 2, global: false })
    client.consume('q', { tag: 'q' })
    client.session.qos({ prefetchCount: 5, global: false })
    client.consume('r', { tag: 'r' })
    client.session.qos({ prefetchCount: 4, global: true })
    bench.settle()
    assert.equal(client.deliveries.length, 4)
    client.session.qos({ prefetchCount: 0, global: true })
    bench.settle()
    assert.equal(client.deliveries.filter(({ consumerTag }) => consumerTag === 'q').length, 2)
    assert.equal(client.deliveries.filter(({ consumerTag }) => consumerTag === 'r').length, 5)
  })

  test('an acknowledgement under the limit of the session wakes its other consumers', () => {
    const bench = Bench.create()
    const client = bench.client()
    client.queue('q')
    client.queue('r')
    client.consume('q')
    client.consume('r')
    client.session.qos({ prefetchCount: 1, global: true })
    client.send('q', 'a')
    bench.settle()
    client.send('r', 'b')
    bench.settle()
    assert.deepEqual(client.takeBodies(), ['a'])
    client.session.ack(1, false, bench.nowMs)
    bench.settle()
    assert.deepEqual(client.takeBodies(), ['b'])
  })

  test('the prefetch of a running consumer can be changed', () => {
    const bench = Bench.create()
    const client = bench.client()
    client.queue('q')
    for (let index = 0; index < 5; index += 1) client.send('q', String(index))
    client.consume('q', { tag: 't', prefetch: 1 })
    bench.settle()
    assert.equal(client.session.setPrefetch('t', 3), true)
    bench.settle()
    assert.equal(client.deliveries.length, 3)
    assert.equal(client.session.setPrefetch('u', 3), false)
  })

  test('get is not limited', () => {
    const bench = Bench.create()
    const client = bench.client()
    client.queue('q')
    client.send('q', 'a')
    client.send('q', 'b')
    client.session.qos({ prefetchCount: 1, global: true })
    assert.equal(client.session.get({ queue: 'q', noAck: false }, bench.nowMs)?.messageCount, 1)
    assert.equal(client.session.get({ queue: 'q', noAck: false }, bench.nowMs)?.messageCount, 0)
    assert.equal(client.session.get({ queue: 'q', noAck: false }, bench.nowMs), undefined)
    bench.settle()
  })

  test('deliveries stop while the flow is off', () => {
    const bench = Bench.create()
    const client = bench.client()
    client.queue('q')
    client.consume('q')
    client.session.setFlow(false)
    client.send('q', 'a')
    bench.settle()
    assert.equal(client.deliveries.length, 0)
    client.session.setFlow(true)
    bench.settle()
    assert.equal(client.deliveries.length, 1)
  })
})

describe('transactions', () => {
  test('nothing happens before the commit, everything in it', () => {
    const bench = Bench.create()
    const client = bench.client()
    const queue = client.queue('q')
    client.send('q', 'a')
    client.consume('q')
    bench.settle()
    client.session.txSelect()
    client.session.ack(1, false, bench.nowMs)
    client.send('q', 'b')
    bench.settle()
    assert.equal(queue.unackedMessages, 1)
    assert.equal(queue.readyMessages, 0)
    client.session.txCommit(bench.nowMs)
    bench.settle()
    assert.deepEqual(client.takeBodies(), ['a', 'b'])
    assert.equal(queue.unackedMessages, 1)
  })

  test('what cannot be published is refused at once, not at the commit', () => {
    const bench = Bench.create()
    const client = bench.client()
    const queue = client.queue('q')
    client.send('q', 'a')
    client.consume('q')
    bench.settle()
    client.session.txSelect()
    client.session.ack(1, false, bench.nowMs)
    assert.equal(
      codeOf(() => client.send('q', 'b', {}, { headers: { CC: 'no array' } })),
      'PRECONDITION_FAILED',
    )
    client.send('q', 'c')
    client.session.txCommit(bench.nowMs)
    bench.settle()
    assert.deepEqual(client.takeBodies(), ['a', 'c'])
    assert.equal(queue.depth, 1)
  })

  test('a rollback forgets publishes and makes settled deliveries unacked again', () => {
    const bench = Bench.create()
    const client = bench.client()
    const queue = client.queue('q')
    for (const body of ['a', 'b', 'c']) client.send('q', body)
    client.consume('q')
    bench.settle()
    client.session.txSelect()
    client.session.ack(2, true, bench.nowMs)
    client.send('q', 'd')
    client.session.txRollback()
    bench.settle()
    assert.equal(queue.depth, 3)
    client.session.ack(3, true, bench.nowMs)
    client.session.txCommit(bench.nowMs)
    bench.settle()
    assert.equal(queue.depth, 0)
  })

  test('closing a session in a transaction returns what it settled', () => {
    const bench = Bench.create()
    const client = bench.client()
    const queue = client.queue('q')
    client.send('q', 'a')
    client.consume('q')
    bench.settle()
    client.session.txSelect()
    client.session.ack(1, false, bench.nowMs)
    client.session.close(bench.nowMs)
    bench.settle()
    assert.equal(queue.readyMessages, 1)
  })

  test('confirm and tx exclude each other', () => {
    const bench = Bench.create()
    const client = bench.client()
    client.session.confirmSelect()
    client.session.confirmSelect()
    assert.equal(
      codeOf(() => client.session.txSelect()),
      'PRECONDITION_FAILED',
    )
    const other = bench.client()
    assert.equal(
      codeOf(() => other.session.txCommit(bench.nowMs)),
      'PRECONDITION_FAILED',
    )
    other.session.txSelect()
    assert.equal(
      codeOf(() => other.session.confirmSelect()),
      'PRECONDITION_FAILED',
    )
  })
})

describe('the journal', () => {
  test('is told of durable facts, and of transient ones only when they leave memory', () => {
    const journal = new JournalLog()
    const bench = Bench.create({ journal })
    const client = bench.client()
    client.queue('q')
    client.queue('t', {}, { durable: false })
    assert.deepEqual(journal.take(), ['vhost.declared', 'queue.declared'])
    client.send('q', 'a')
    client.send('q', 'b', { persistent: false })
    client.send('t', 'c')
    assert.deepEqual(journal.take(), ['published 1'])
    client.consume('q')
    client.consume('t')
    bench.settle()
    assert.deepEqual(journal.take(), ['delivered 1'])
    client.session.nack(1, { multiple: false, requeue: true }, bench.nowMs)
    bench.settle()
    assert.deepEqual(journal.take(), ['delivered 1'])
    client.session.settleRelease(4, 0, bench.nowMs)
    bench.settle()
    client.session.ack(0, true, bench.nowMs)
    assert.deepEqual(journal.take(), ['released 1', 'delivered 1', 'settled 1'])
    bench.settle()
  })

  test('one record for a message in several durable queues, with consecutive numbers', () => {
    const journal = new JournalLog()
    const bench = Bench.create({ journal })
    const client = bench.client()
    for (const name of ['a', 'b', 'c']) {
      client.queue(name, {}, { durable: name !== 'b' })
      client.session.bindQueue({ queue: name, exchange: 'amq.fanout', routingKey: '' })
    }
    journal.take()
    assert.equal(client.publish('amq.fanout', '', 'x').queues, 3)
    assert.deepEqual(journal.take(), ['published 1,2'])
    bench.settle()
  })

  test('delivery counts of entries in memory and in hands are in the snapshot', () => {
    const bench = Bench.create({ journal: new JournalLog() })
    const client = bench.client()
    client.queue('q')
    client.send('q', 'a')
    client.send('q', 'b')
    client.consume('q', { prefetch: 2 })
    bench.settle()
    client.session.setFlow(false)
    client.session.nack(1, { multiple: false, requeue: true }, bench.nowMs)
    bench.settle()
    assert.deepEqual(
      bench.engine.snapshot().deliveryCounts.toSorted((a, b) => a[0] - b[0]),
      [
        [1, 1],
        [2, 1],
      ],
    )
  })
})

describe('a sink', () => {
  test('must not call the engine', () => {
    const bench = Bench.create()
    const client = bench.client()
    client.queue('q')
    client.send('q', 'a')
    client.deliveries.push = () => client.session.ack(1, false, bench.nowMs) as never
    client.consume('q')
    assert.throws(() => bench.engine.dispatch(bench.nowMs), /must not call the engine/)
  })
})
