import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { Bench, JournalLog, codeOf } from './harness.ts'

describe('length limits', () => {
  test('drop-head makes room at the head; only what is ready counts', () => {
    const bench = Bench.create()
    const client = bench.client()
    const queue = client.queue('q', { 'x-max-length': 2 })
    client.send('q', 'a')
    client.consume('q', { tag: 't', prefetch: 1 })
    bench.settle()
    for (const body of ['b', 'c', 'd']) client.send('q', body)
    bench.settle()
    assert.equal(queue.unackedMessages, 1)
    client.session.cancel('t', bench.nowMs)
    assert.deepEqual(client.drain('q'), ['c', 'd'])
    assert.equal(queue.counters.dropped, 1)
  })

  test('bytes count as messages do', () => {
    const bench = Bench.create()
    const client = bench.client()
    client.queue('q', { 'x-max-length-bytes': 5 })
    for (const body of ['aa', 'bb', 'cc', 'dddddd']) client.send('q', body)
    assert.deepEqual(client.drain('q'), [])
    for (const body of ['aa', 'bb', 'cc']) client.send('q', body)
    assert.deepEqual(client.drain('q'), ['bb', 'cc'])
    bench.settle()
  })

  test('reject-publish refuses, and what a waiting consumer takes at once does not count', () => {
    const bench = Bench.create()
    const client = bench.client()
    const queue = client.queue('q', { 'x-max-length': 1, 'x-overflow': 'reject-publish' })
    assert.equal(client.send('q', 'a').type, 'routed')
    assert.equal(client.send('q', 'b').type, 'rejected')
    assert.equal(queue.counters.rejected, 1)
    client.consume('q', { prefetch: 2 })
    bench.settle()
    assert.equal(client.send('q', 'c').type, 'routed')
    assert.equal(client.send('q', 'd').type, 'routed')
    assert.equal(client.send('q', 'e').type, 'rejected')
    bench.settle()
    assert.deepEqual(client.takeBodies(), ['a', 'c'])
    assert.equal(queue.readyMessages, 1)
  })

  test('what a consumer without acknowledgements takes at once does not count either, however much', () => {
    const bench = Bench.create()
    const client = bench.client()
    client.queue('q', { 'x-max-length': 1, 'x-overflow': 'reject-publish' })
    client.consume('q', { noAck: true })
    for (const body of ['a', 'b', 'c']) assert.equal(client.send('q', body).type, 'routed')
    bench.settle()
    assert.deepEqual(client.takeBodies(), ['a', 'b', 'c'])
  })

  test('of several consumers with one active that one counts', () => {
    const bench = Bench.create()
    const client = bench.client()
    const overflow = { 'x-max-length': 1, 'x-overflow': 'reject-publish' }
    client.queue('q', { ...overflow, 'x-single-active-consumer': true })
    for (const tag of ['active', 'waiting']) client.consume('q', { tag, prefetch: 1 })
    for (const body of ['a', 'b']) assert.equal(client.send('q', body).type, 'routed')
    assert.equal(client.send('q', 'c').type, 'rejected')
    bench.settle()
    // Nothing is on its way to a consumer now: what is ready counts.
    assert.equal(client.send('q', 'd').type, 'rejected')
  })

  test('what a consumer was to take is dropped when it takes nothing any more', () => {
    const bench = Bench.create()
    const client = bench.client()
    client.queue('q', { 'x-max-length': 1 })
    client.consume('q', { prefetch: 2 })
    for (const body of ['a', 'b', 'c']) client.send('q', body)
    client.session.setFlow(false)
    bench.settle()
    assert.deepEqual(bench.client().drain('q'), ['c'])
  })

  test('what comes back is too much at once for drop-head, and not for a queue that refuses', () => {
    for (const [overflow, left] of [
      ['drop-head', ['b', 'c']],
      ['reject-publish', ['a', 'b', 'c']],
    ] as const) {
      const bench = Bench.create()
      const client = bench.client()
      client.queue('q', { 'x-max-length': 2, 'x-overflow': overflow })
      client.send('q', 'a')
      const { deliveryTag } = client.session.get({ queue: 'q', noAck: false }, 0)!.delivery
      for (const body of ['b', 'c']) client.send('q', body)
      client.session.reject(deliveryTag, { requeue: true }, 0)
      assert.deepEqual(client.drain('q'), left)
    }
  })

  test('reject-publish-dlx dead-letters what it refuses', () => {
    const bench = Bench.create()
    const client = bench.client()
    client.queue('dead')
    client.queue('q', {
      'x-max-length': 1,
      'x-overflow': 'reject-publish-dlx',
      'x-dead-letter-exchange': '',
      'x-dead-letter-routing-key': 'dead',
    })
    client.send('q', 'a')
    assert.equal(client.send('q', 'b').type, 'rejected')
    assert.equal(client.headers('dead')['x-first-death-reason'], 'maxlen')
    bench.settle()
  })

  test('what is refused and has nowhere to go is refused all the same', () => {
    const bench = Bench.create()
    const client = bench.client()
    const overflow = { 'x-max-length': 0, 'x-overflow': 'reject-publish-dlx' }
    const nowhere = client.queue('nowhere', overflow)
    const unbound = client.queue('unbound', { ...overflow, 'x-dead-letter-exchange': 'amq.direct' })
    for (const name of ['nowhere', 'unbound']) assert.equal(client.send(name, 'a').type, 'rejected')
    for (const queue of [nowhere, unbound]) {
      assert.equal(queue.counters.rejected, 1)
      assert.equal(queue.counters.deadLettered, 0)
    }
    bench.settle()
  })

  test('dropping cascades without end neither in depth nor in a cycle', () => {
    const bench = Bench.create()
    const client = bench.client()
    for (let index = 0; index < 50; index += 1) {
      client.queue(`q${index}`, {
        'x-max-length': 1,
        'x-dead-letter-exchange': '',
        'x-dead-letter-routing-key': `q${(index + 1) % 50}`,
      })
    }
    for (let index = 0; index < 200; index += 1) client.send('q0', String(index))
    bench.settle()
    for (const queue of bench.engine.vhost('/').queues.values()) assert.equal(queue.readyMessages, 1)
    assert.deepEqual(client.drain('q49'), ['150'])
  })
})

describe('consumers', () => {
  test('take turns, the highest priority with credit first', () => {
    const bench = Bench.create()
    const client = bench.client()
    client.queue('q')
    client.consume('q', { tag: 'low', prefetch: 5 })
    client.consume('q', { tag: 'a', prefetch: 2, arguments: { 'x-priority': 1 } })
    client.consume('q', { tag: 'b', prefetch: 2, arguments: { 'x-priority': 1 } })
    for (let index = 0; index < 6; index += 1) client.send('q', String(index))
    bench.settle()
    assert.deepEqual(
      client.deliveries.map(({ consumerTag }) => consumerTag),
      ['a', 'b', 'a', 'b', 'low', 'low'],
    )
  })

  test('with a single active consumer the others stand by', () => {
    const bench = Bench.create()
    const client = bench.client()
    client.queue('q', { 'x-single-active-consumer': true })
    client.consume('q', { tag: 'a', prefetch: 1 })
    client.consume('q', { tag: 'b' })
    client.send('q', 'x')
    client.send('q', 'y')
    bench.settle()
    assert.deepEqual(
      client.deliveries.map(({ consumerTag }) => consumerTag),
      ['a'],
    )
    client.session.cancel('a', bench.nowMs)
    bench.settle()
    assert.deepEqual(
      client.deliveries.map(({ consumerTag }) => consumerTag),
      ['a', 'b'],
    )
    const exclusive = { queue: 'q', tag: 'c', exclusive: true }
    assert.equal(
      codeOf(() => client.session.consume(exclusive, 0)),
      'ACCESS_REFUSED',
    )
  })

  test('when the active one goes, the one of the highest priority is served', () => {
    const bench = Bench.create()
    const client = bench.client()
    client.queue('q', { 'x-single-active-consumer': true })
    const priorities = { first: 5, low: 1, high: 3, middle: 2 }
    for (const [tag, priority] of Object.entries(priorities)) {
      client.consume('q', { tag, noAck: true, arguments: { 'x-priority': priority } })
    }
    client.session.cancel('first', bench.nowMs)
    client.send('q', 'm')
    bench.settle()
    assert.deepEqual(
      client.deliveries.map(({ consumerTag }) => consumerTag),
      ['high'],
    )
  })

  test('an exclusive one stays alone', () => {
    const bench = Bench.create()
    const client = bench.client()
    client.queue('q')
    client.session.consume({ queue: 'q', tag: 'a', exclusive: true }, 0)
    assert.equal(
      codeOf(() => client.consume('q')),
      'ACCESS_REFUSED',
    )
    assert.equal(
      codeOf(() => client.session.consume({ queue: 'q', tag: 'a' }, 0)),
      'NOT_ALLOWED',
    )
    client.session.cancel('a', 0)
    client.consume('q')
    assert.equal(
      codeOf(() => client.session.consume({ queue: 'q', tag: 'b', exclusive: true }, 0)),
      'ACCESS_REFUSED',
    )
    bench.settle()
  })

  test('cancelling does not requeue', () => {
    const bench = Bench.create()
    const client = bench.client()
    const queue = client.queue('q')
    client.send('q', 'a')
    client.consume('q', { tag: 't' })
    bench.settle()
    client.session.cancel('t', 0)
    bench.settle()
    assert.equal(queue.unackedMessages, 1)
    client.session.ack(1, false, 0)
    assert.equal(queue.depth, 0)
  })

  test('a paused queue delivers nothing and takes what is published', () => {
    const bench = Bench.create()
    const client = bench.client()
    const queue = client.queue('q')
    client.consume('q')
    bench.engine.pause(queue, true)
    client.send('q', 'a')
    bench.settle()
    assert.equal(client.deliveries.length, 0)
    assert.equal(client.session.get({ queue: 'q', noAck: true }, 0), undefined)
    bench.engine.pause(queue, false)
    bench.settle()
    assert.equal(client.deliveries.length, 1)
  })
})

describe('priorities', () => {
  test('higher goes first, first come first served within one; above the maximum is the maximum', () => {
    const bench = Bench.create()
    const client = bench.client()
    client.queue('q', { 'x-max-priority': 3 })
    for (const [body, priority] of [
      ['a', 0],
      ['b', 3],
      ['c', 1],
      ['d', 9],
      ['e', 1],
    ] as const) {
      client.send('q', body, { priority })
    }
    assert.deepEqual(client.drain('q'), ['b', 'd', 'c', 'e', 'a'])
    bench.settle()
  })
})

describe('operators', () => {
  test('purging drops what is ready and leaves what is in hands', () => {
    const bench = Bench.create()
    const client = bench.client()
    const queue = client.queue('q')
    client.consume('q', { prefetch: 1 })
    for (const body of ['a', 'b', 'c']) client.send('q', body)
    client.send('q', 'd', { delayMs: 1000 })
    bench.settle()
    assert.equal(client.session.purgeQueue('q'), 2)
    bench.settle()
    assert.equal(queue.depth, 2)
    assert.equal(bench.engine.purge(queue, 'all'), 1)
    bench.settle()
    assert.equal(queue.depth, 1)
  })

  test('a purge is on record where there was something to drop that is', () => {
    const journal = new JournalLog()
    const bench = Bench.create({ journal })
    const client = bench.client()
    const durable = client.queue('durable')
    const transient = client.queue('transient', {}, { durable: false })
    for (const queue of [durable, transient]) {
      assert.equal(bench.engine.purge(queue, 'all'), 0)
      client.send(queue.name, 'm')
      journal.take()
      assert.equal(bench.engine.purge(queue, 'all'), 1)
      assert.equal(journal.take().length, queue === durable ? 1 : 0)
    }
  })

  test('moving puts messages at the tail of another queue, their attempts at none', () => {
    const bench = Bench.create({ limits: { entriesPerMove: 2 } })
    const client = bench.client()
    const from = client.queue('from')
    const to = client.queue('to', { 'x-max-length': 4, 'x-overflow': 'reject-publish' })
    for (const body of ['a', 'b', 'c', 'd']) client.send('from', body)
    client.send('to', 'first')
    const { deliveryTag } = client.session.get({ queue: 'from', noAck: false }, 0)!.delivery
    client.session.reject(deliveryTag, { requeue: true }, 0)
    assert.deepEqual(bench.engine.move({ from, to }, 10, 0), { messages: 2, more: true })
    assert.deepEqual(bench.engine.move({ from, to }, 8, 0), { messages: 1, more: false })
    bench.settle()
    assert.equal(from.readyMessages, 1)
    client.session.get({ queue: 'to', noAck: true }, 0)
    assert.equal(client.session.get({ queue: 'to', noAck: false }, 0)!.delivery.attempt, 1)
    bench.settle()
  })

  test('moving a queue to itself moves nothing; a time to live goes along', () => {
    const bench = Bench.create()
    const client = bench.client()
    const from = client.queue('from')
    const to = client.queue('to')
    client.send('from', 'm', { ttlMs: 100 })
    assert.deepEqual(bench.engine.move({ from, to: from }, 10, bench.nowMs), { messages: 0, more: false })
    bench.pass(60)
    assert.deepEqual(bench.engine.move({ from, to }, 10, bench.nowMs), { messages: 1, more: false })
    bench.pass(39)
    assert.equal(to.readyMessages, 1)
    bench.pass(1)
    assert.equal(to.readyMessages, 0)
  })

  test('browsing shows the order of delivery page by page and changes nothing', () => {
    const bench = Bench.create()
    const client = bench.client()
    const queue = client.queue('q', { 'x-max-priority': 1 })
    for (const [body, priority] of [
      ['a', 0],
      ['b', 1],
      ['c', 0],
      ['d', 1],
      ['e', 0],
    ] as const) {
      client.send('q', body, { priority })
    }
    client.send('q', 'later', { delayMs: 1000 })
    const seen: unknown[] = []
    let page = bench.engine.browseReady(queue, undefined, 2)
    seen.push(...page.entries.map(({ message }) => message.body))
    while (page.next !== undefined) {
      page = bench.engine.browseReady(queue, page.next, 2)
      seen.push(...page.entries.map(({ message }) => message.body))
    }
    assert.deepEqual(seen, ['b', 'd', 'a', 'c', 'e'])
    assert.equal(bench.engine.browseDelayed(queue, 0, 10).length, 1)
    client.consume('q', { prefetch: 2 })
    bench.settle()
    assert.deepEqual(
      bench.engine.browseUnacked(queue, 0, 10).map(({ message }) => message.body),
      ['b', 'd'],
    )
    assert.equal(queue.readyMessages, 3)
  })

  test('statistics add up', () => {
    const bench = Bench.create()
    const client = bench.client()
    const queue = client.queue('q')
    client.consume('q', { prefetch: 2 })
    for (const body of ['a', 'b', 'c']) client.send('q', body)
    bench.nowMs += 500
    bench.settle()
    client.session.settleAck(1)
    client.session.nack(2, { multiple: false, requeue: true }, bench.nowMs)
    bench.settle()
    const { published, delivered, redelivered, acked } = queue.counters
    assert.deepEqual(
      { published, delivered, redelivered, acked },
      { published: 3, delivered: 4, redelivered: 1, acked: 1 },
    )
    assert.equal(queue.oldestMs(bench.nowMs), 0)
    client.session.close(bench.nowMs)
    assert.equal(queue.oldestMs(bench.nowMs), 500)
  })
})
