import assert from 'node:assert/strict'
import { test } from 'node:test'
import { Bench } from './harness.ts'

test('one of a key at a time, in order, while others pass', () => {
  const bench = Bench.create()
  const client = bench.client()
  const queue = client.queue('q')
  client.consume('q')
  for (const body of ['a1', 'a2', 'b1', 'a3', 'b2', 'free']) {
    client.send('q', body, { key: body === 'free' ? '' : body.slice(0, 1) })
  }
  bench.settle()
  assert.equal(queue.readyMessages, 3)
  assert.deepEqual(client.takeBodies(), ['a1', 'b1', 'free'])
  client.session.settleRetry(1, 1000, bench.nowMs)
  bench.settle()
  assert.deepEqual(client.takeBodies(), [])
  bench.pass(1000)
  assert.deepEqual(client.takeBodies(), ['a1'])
  client.session.settleAck(4)
  client.session.settleAck(2)
  bench.settle()
  assert.deepEqual(client.takeBodies(), ['a2', 'b2'])
})

test('moving keeps the order of a key, what is set aside included', () => {
  const bench = Bench.create()
  const client = bench.client()
  const from = client.queue('from')
  const to = client.queue('to')
  for (const body of ['a1', 'a2', 'b1', 'a3', 'b2']) client.send('from', body, { key: body.slice(0, 1) })
  client.consume('from', { tag: 't', prefetch: 2 })
  bench.settle()
  client.session.cancel('t', bench.nowMs)
  client.session.nack(0, { multiple: true, requeue: true }, bench.nowMs)
  assert.equal(bench.engine.move({ from, to }, 10, bench.nowMs).messages, 5)
  bench.settle()
  assert.deepEqual(client.drain('to'), ['a1', 'a2', 'b1', 'a3', 'b2'])
})

test('a key that becomes free lets the head go, however much is set aside', () => {
  const bench = Bench.create({ limits: { parkedPerQueue: 1 } })
  const client = bench.client()
  const queue = client.queue('q')
  client.consume('q')
  for (const body of ['a1', 'b1', 'b2', 'a2']) {
    client.send('q', body, { key: body.slice(0, 1) }, { messageId: body })
  }
  bench.settle()
  assert.deepEqual(client.takeBodies(), ['a1', 'b1'])
  client.session.settleRetry(1, 1000, bench.nowMs)
  bench.settle()
  assert.equal(bench.engine.cancelDelayed(queue, 'a1'), 1)
  bench.settle()
  assert.deepEqual(client.takeBodies(), ['a2'])
})

test('what a move has left behind waits for its key as before', () => {
  const bench = Bench.create()
  const client = bench.client()
  const from = client.queue('from')
  const to = client.queue('to', { 'x-max-length': 0, 'x-overflow': 'reject-publish' })
  for (const body of ['a1', 'a2', 'a3']) client.send('from', body, { key: 'a' })
  client.consume('from')
  bench.settle()
  assert.equal(bench.engine.move({ from, to }, 10, bench.nowMs).messages, 0)
  bench.settle()
  assert.equal(bench.engine.move({ from, to: client.queue('other') }, 1, bench.nowMs).messages, 1)
  bench.settle()
  assert.deepEqual(client.takeBodies(), ['a1'])
  client.session.settleAck(1)
  bench.settle()
  assert.deepEqual(client.takeBodies(), ['a3'])
  assert.deepEqual(client.drain('other'), ['a2'])
})

test('a key is free again when its owner is purged while it is held back', () => {
  const bench = Bench.create()
  const client = bench.client()
  const queue = client.queue('q')
  client.consume('q')
  client.send('q', 'a1', { key: 'a' })
  client.send('q', 'a2', { key: 'a' })
  bench.settle()
  client.session.settleRetry(1, 1000, bench.nowMs)
  bench.settle()
  assert.equal(bench.engine.purge(queue, 'delayed'), 1)
  bench.settle()
  assert.deepEqual(client.takeBodies(), ['a1', 'a2'])
})

test('browsing shows what is set aside in its place, and what is in hands apart', () => {
  const bench = Bench.create()
  const client = bench.client()
  const queue = client.queue('q')
  const bodies = (entries: readonly { message: { body: unknown } }[]) =>
    entries.map(({ message }) => message.body)
  assert.deepEqual(bench.engine.browseUnacked(queue, 0, 10), [])
  client.consume('q', { prefetch: 2 })
  for (const body of ['a1', 'a2', 'b1', 'a3', 'c1']) client.send('q', body, { key: body.slice(0, 1) })
  bench.settle()
  assert.deepEqual(bodies(bench.engine.browseUnacked(queue, 0, 10)), ['a1', 'b1'])
  const { entries, next } = bench.engine.browseReady(queue, undefined, 2)
  assert.deepEqual(bodies(entries), ['a2', 'a3'])
  assert.deepEqual(bodies(bench.engine.browseReady(queue, next, 2).entries), ['c1'])
})

test('where too much is set aside, the head waits for its key and nothing passes it', () => {
  const bench = Bench.create({ limits: { parkedPerQueue: 1 } })
  const client = bench.client()
  client.queue('q')
  client.consume('q')
  for (const body of ['a1', 'a2', 'a3', 'free']) {
    client.send('q', body, { key: body === 'free' ? '' : 'a' })
  }
  bench.settle()
  assert.deepEqual(client.takeBodies(), ['a1'])
  client.session.settleAck(1)
  bench.settle()
  assert.deepEqual(client.takeBodies(), ['a2', 'free'])
})

test('where all that is ready is set aside, the oldest of that is dropped', () => {
  const bench = Bench.create()
  const client = bench.client()
  const queue = client.queue('q', { 'x-max-length': 2 })
  client.consume('q')
  client.send('q', 'a1', { key: 'a' })
  bench.settle()
  for (const body of ['a2', 'a3']) {
    client.send('q', body, { key: 'a' })
    bench.settle()
  }
  assert.equal(queue.isReading, false)
  client.session.reject(1, { requeue: true }, bench.nowMs)
  assert.equal(queue.readyMessages, 2)
  bench.settle()
  assert.equal(queue.depth, 2)
  const policy = { vhost: '/', name: 'p', operator: false, pattern: '', priority: 0 } as const
  bench.engine.policies.set({ ...policy, applyTo: 'queues', definition: { 'max-length': 0 } }, bench.nowMs)
  bench.settle()
  assert.equal(queue.readyMessages, 0)
})

test('what the store shows as held back is so until it is due', () => {
  const bench = Bench.create()
  const client = bench.client()
  const queue = client.queue('q')
  client.send('q', 'later', { delayMs: 2000 })
  client.send('q', 'a', { key: 'a' })
  client.consume('q', { tag: 't', prefetch: 1 })
  bench.settle()
  client.session.settleRetry(1, 1000, bench.nowMs)
  const held = bench.engine.browseDelayed(queue, 0, 10)
  assert.deepEqual(
    held.map((entry) => queue.holdsBack(entry)),
    [true, true],
  )
  client.session.cancel('t', bench.nowMs)
  bench.pass(1000)
  assert.deepEqual(
    held.map((entry) => queue.holdsBack(entry)),
    [true, false],
  )
})
