/** What is held back and comes due at the same time is read back piece by piece, by what it takes in memory. */
import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { persistentPublish } from '../../src/engine/publish.ts'
import { entryOverheadBytes } from '../../src/model/entry.ts'
import { Message } from '../../src/model/message.ts'
import { encodeProperties } from '../../src/model/properties.ts'
import { FakeStore } from './fake-store.ts'
import { Bench } from './harness.ts'

const windowBytes = 1000
const dueMs = 10_000

function setUp(window: { messages?: number; delayed?: number } = {}) {
  const store = new FakeStore({ messages: 4, bytes: windowBytes, delayed: 2, ...window })
  const bench = Bench.create({ journal: store, pager: store })
  const client = bench.client()
  const queue = client.queue('q')
  const startMs = bench.nowMs
  let most = 0
  /** Dispatches, answers and looks again until nothing moves; remembers the most that was in memory. */
  const settle = (): void => {
    do {
      most = Math.max(most, bench.engine.residentBytes)
      bench.settle()
      bench.engine.invariants()
    } while (store.answer(bench.engine))
  }
  const send = (headerBytes: number, body: string, delayMs = dueMs): void => {
    const propertyBytes = encodeProperties({ headers: { note: 'x'.repeat(headerBytes) } })
    const message = Message.ofBytes('', 'q', propertyBytes, body)
    client.session.publish(message, { ...persistentPublish, delayMs }, bench.nowMs)
  }
  return {
    bench,
    client,
    queue,
    settle,
    send,
    at: (ms: number) => (bench.nowMs = startMs + ms),
    most: () => most,
  }
}

describe('delayed entries that come due together', () => {
  test('with large headers are not all in memory at once, before nor after', () => {
    const { bench, client, queue, settle, send, at, most } = setUp()
    for (let index = 0; index < 40; index += 1) send(300, String(index))
    at(dueMs - 500)
    settle()
    at(dueMs)
    for (let turn = 0; turn < 100; turn += 1) {
      settle()
      bench.nowMs += 1
    }
    assert.equal(queue.readyMessages, 40)
    // A window of the lane, one of what is held back, one that was read, and an entry beyond each.
    assert.ok(most() <= 3 * windowBytes + 3 * 330 + 12 * entryOverheadBytes, `${most()} bytes`)
    client.consume('q', { noAck: true })
    settle()
    assert.equal(client.takeBodies().length, 40)
    assert.equal(bench.engine.residentBytes, 0)
  })

  test('are read by what each takes: an average hides the large ones', () => {
    const { client, queue, settle, send, at, most, bench } = setUp()
    for (let index = 0; index < 400; index += 1) send(0, '', dueMs + 1_000_000)
    for (let index = 0; index < 40; index += 1) send(0, 'x'.repeat(300))
    at(dueMs)
    for (let turn = 0; turn < 100; turn += 1) {
      settle()
      bench.nowMs += 1
    }
    assert.equal(queue.readyMessages, 40)
    assert.ok(most() <= 3 * windowBytes + 3 * 330 + 12 * entryOverheadBytes, `${most()} bytes`)
    client.consume('q', { noAck: true })
    settle()
    assert.equal(client.takeBodies().length, 40)
  })

  test('that do not fit wait their turn, those due first come first, and none counts as lost', () => {
    const { bench, client, settle, send, at } = setUp({ messages: 100 })
    for (let index = 0; index < 30; index += 1) send(300, String(index), dueMs - index)
    client.consume('q', { noAck: true })
    at(dueMs - 40)
    for (let turn = 0; turn < 100; turn += 1) {
      settle()
      bench.nowMs += 1
    }
    const expected = Array.from({ length: 30 }, (_item, index) => String(29 - index))
    assert.deepEqual(client.takeBodies(), expected)
    assert.equal(bench.engine.counters.lostEntries, 0)
  })

  test('larger than all that may be read at once come one by one', () => {
    const { bench, client, settle, send, at } = setUp()
    for (let index = 0; index < 10; index += 1) send(2 * windowBytes, String(index))
    client.consume('q', { noAck: true })
    at(dueMs)
    for (let turn = 0; turn < 40; turn += 1) {
      settle()
      bench.nowMs += 1
    }
    assert.equal(client.takeBodies().length, 10)
    assert.equal(bench.engine.nextDueMs(), Infinity)
  })
})

test('a queue whose window is full of what is due later is not looked at every millisecond', () => {
  const { bench, settle, send, at } = setUp()
  for (let index = 0; index < 10; index += 1) send(0, String(index))
  at(dueMs - 900)
  settle()
  assert.equal(bench.engine.nextDueMs(), bench.nowMs + 900)
})
