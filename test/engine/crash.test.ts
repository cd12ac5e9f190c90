/** The engine across crashes: the owner of a key is still its owner in the next life, and caution stays with its message. */
import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { FakeStore } from './fake-store.ts'
import { Bench } from './harness.ts'
import type { Client } from './harness.ts'

/** A broker that can crash: the next life has what the store was told. */
class Life {
  readonly store: FakeStore
  bench: Bench
  client: Client

  constructor(window = { messages: 4, bytes: 1000, delayed: 2 }) {
    this.store = new FakeStore(window)
    this.bench = Bench.create({ journal: this.store, pager: this.store })
    this.client = this.bench.client()
    this.client.queue('q')
  }

  /** What is delivered until nothing moves. */
  settle(): string[] {
    do this.bench.settle()
    while (this.store.answer(this.bench.engine))
    return this.client.takeBodies()
  }

  crash(): void {
    const { nowMs, engine } = this.bench
    const recovered = this.store.recover([...this.store.definitions], engine.snapshot().nextSeq)
    this.bench = new Bench({ journal: this.store, pager: this.store })
    this.bench.nowMs = nowMs
    this.bench.engine.restore(recovered)
    this.client = this.bench.client()
  }

  send(...bodies: string[]): void {
    for (const body of bodies) this.client.send('q', body, { key: body.slice(0, 1) })
  }

  get queue() {
    return this.bench.engine.vhost('/').queue('q')
  }

  /** Takes everything one by one, acknowledging. */
  rest(): string[] {
    this.client.consume('q', { prefetch: 100 })
    const bodies: string[] = []
    for (;;) {
      this.bench.nowMs += 10_000
      const more = this.settle()
      if (more.length === 0) return bodies
      bodies.push(...more)
      this.client.session.ack(0, true, this.bench.nowMs)
    }
  }
}

describe('time to live across a crash', () => {
  test('a message expires in its time though nobody looks at its queue', () => {
    const life = new Life()
    life.client.queue('dead')
    life.client.queue('waiting', { 'x-dead-letter-exchange': '', 'x-dead-letter-routing-key': 'dead' })
    for (let body = 0; body < 30; body += 1) life.client.send('waiting', String(body), { ttlMs: 100 + body })
    life.crash()
    life.settle()
    life.bench.nowMs += 110
    life.settle()
    assert.equal(life.bench.engine.vhost('/').queue('dead').readyMessages, 11)
    life.bench.nowMs += 19
    life.settle()
    assert.equal(life.bench.engine.vhost('/').queue('dead').readyMessages, 30)
    assert.equal(life.bench.engine.vhost('/').queue('waiting').depth, 0)
  })
})

describe('order by key across a crash', () => {
  test('a retry that has become due goes before the later messages of its key', () => {
    const life = new Life()
    life.send('a1', 'a2', 'b1')
    life.client.consume('q', { prefetch: 1 })
    assert.deepEqual(life.settle(), ['a1'])
    life.client.session.setFlow(false)
    life.client.session.settleRetry(1, 1000, life.bench.nowMs)
    life.bench.nowMs += 1000
    assert.deepEqual(life.settle(), [])
    assert.equal(life.queue.readyMessages, 3)
    life.crash()
    assert.equal(
      life
        .rest()
        .filter((body) => body.startsWith('a'))
        .join(),
      'a1,a2',
    )
  })

  test('a retry without delay goes before the later messages of its key', () => {
    const life = new Life()
    life.send('a1', 'a2', 'b1')
    life.client.consume('q', { prefetch: 1 })
    assert.deepEqual(life.settle(), ['a1'])
    life.client.session.settleRetry(1, 0, life.bench.nowMs)
    life.crash()
    assert.equal(
      life
        .rest()
        .filter((body) => body.startsWith('a'))
        .join(),
      'a1,a2',
    )
  })

  test('a release with a delay holds back the later messages of its key', () => {
    const life = new Life()
    life.send('a1', 'a2')
    life.client.consume('q', { prefetch: 1 })
    assert.deepEqual(life.settle(), ['a1'])
    life.client.session.settleRelease(1, 1000, life.bench.nowMs)
    life.crash()
    life.client.consume('q')
    assert.deepEqual(life.settle(), [])
    life.bench.nowMs += 1000
    assert.deepEqual(life.settle(), ['a1'])
    assert.equal(life.client.session.unacked.length, 1)
    life.client.session.ack(0, true, life.bench.nowMs)
    assert.deepEqual(life.settle(), ['a2'])
  })

  test('a retry in the hands of a consumer that dies is tried again before the later ones, its attempts counted', () => {
    const life = new Life()
    life.send('a1', 'a2')
    life.client.consume('q', { prefetch: 1 })
    for (let attempt = 1; attempt <= 3; attempt += 1) {
      assert.deepEqual(life.settle(), ['a1'])
      life.client.session.settleRetry(attempt, 0, life.bench.nowMs)
    }
    assert.deepEqual(life.settle(), ['a1'])
    for (let crash = 0; crash < 3; crash += 1) {
      life.crash()
      life.client.consume('q', { prefetch: 1 })
      do life.bench.settle()
      while (life.store.answer(life.bench.engine))
      assert.equal(life.client.deliveries.at(0)?.attempt, 5 + crash)
      assert.deepEqual(life.client.takeBodies(), ['a1'])
    }
  })

  test('a message held back from the start owns nothing', () => {
    const life = new Life()
    life.client.send('q', 'a1', { key: 'a', delayMs: 5000 })
    life.send('a2')
    life.crash()
    life.client.consume('q')
    assert.deepEqual(life.settle(), ['a2'])
  })

  for (const paged of [false, true]) {
    test(`a due owner is ready, not delayed, for a purge: ${paged ? 'the rest paged' : 'all in memory'}`, () => {
      const life = new Life()
      life.send('a1', 'a2')
      if (paged) life.send('b1', 'b2', 'b3', 'b4', 'b5')
      life.client.consume('q', { tag: 't', prefetch: 1 })
      assert.deepEqual(life.settle(), ['a1'])
      life.client.session.cancel('t', life.bench.nowMs)
      life.client.session.settleRetry(1, 1000, life.bench.nowMs)
      life.bench.nowMs += 1000
      life.settle()
      assert.equal(life.bench.engine.purge(life.queue, 'delayed'), 0)
      assert.equal(life.store.kept.size, paged ? 7 : 2)
      life.crash()
      life.settle()
      assert.equal(life.queue.delayed.length, 0)
      assert.equal(life.bench.engine.purge(life.queue, 'ready'), paged ? 7 : 2)
      assert.equal(life.store.kept.size, 0)
      life.send('a3')
      assert.deepEqual(life.rest(), ['a3'])
    })
  }

  test('in hands, it survives the purge of what is delayed', () => {
    const life = new Life()
    life.send('a1')
    life.client.consume('q')
    life.settle()
    life.client.session.settleRetry(1, 0, life.bench.nowMs)
    assert.deepEqual(life.settle(), ['a1'])
    life.client.send('q', 'later', { delayMs: 1000 })
    assert.equal(life.bench.engine.purge(life.queue, 'delayed'), 1)
    assert.equal(life.store.kept.size, 1)
  })

  test('an owner that the store has lost blocks nobody', () => {
    const life = new Life()
    life.send('a1', 'a2')
    life.client.consume('q', { prefetch: 1 })
    life.settle()
    life.client.session.settleRetry(1, 1000, life.bench.nowMs)
    life.crash()
    life.store.kept.delete(3)
    assert.deepEqual(life.rest(), ['a2'])
    assert.equal(life.bench.engine.counters.lostEntries, 1)
  })

  test('moving puts a due owner before what waits for its key', () => {
    const life = new Life()
    life.send('a1', 'a2', 'a3')
    life.client.queue('to')
    life.client.consume('q', { tag: 't', prefetch: 1 })
    life.settle()
    life.client.session.settleRetry(1, 0, life.bench.nowMs)
    life.settle()
    life.client.session.nack(2, { multiple: false, requeue: true }, life.bench.nowMs)
    life.client.session.cancel('t', life.bench.nowMs)
    const to = life.bench.engine.vhost('/').queue('to')
    life.bench.engine.move({ from: life.queue, to }, 10, life.bench.nowMs)
    assert.deepEqual(life.client.drain('to'), ['a1', 'a2', 'a3'])
    assert.equal(life.store.kept.size, 0)
  })
})

describe('what a crash left', () => {
  test('is handled with care wherever it goes, so that its attempts are counted however often it kills', () => {
    const life = new Life()
    life.client.queue('wait', { 'x-dead-letter-exchange': '', 'x-dead-letter-routing-key': 'q' })
    life.client.send('q', 'held back', { delayMs: 1000 })
    life.client.send('wait', 'expires', { ttlMs: 1000 })
    life.crash()
    life.send('fresh')
    life.client.consume('wait')
    life.client.session.setFlow(false)
    life.settle()
    life.bench.nowMs += 1000
    life.settle()
    life.client.session.setFlow(true)
    life.client.consume('q')
    do life.bench.settle()
    while (life.store.answer(life.bench.engine))
    const found = life.client.deliveries.map(({ entry }) => [String(entry.message.body), entry.recovered])
    assert.deepEqual(Object.fromEntries(found), { fresh: false, 'held back': true, expires: true })
  })
})
