/** What was in a consumer's hands when its queue went is nobody's any more, however it is settled. */
import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { entryOverheadBytes } from '../../src/model/entry.ts'
import { Bench, JournalLog } from './harness.ts'
import type { Client } from './harness.ts'

function withDeliveryOfDeletedQueue() {
  const journal = new JournalLog()
  const bench = Bench.create({ journal })
  const client = bench.client()
  client.queue('dead')
  client.queue('q', { 'x-dead-letter-exchange': '', 'x-dead-letter-routing-key': 'dead' })
  client.send('q', 'm')
  const { delivery } = client.session.get({ queue: 'q', noAck: false }, bench.nowMs)!
  assert.equal(delivery.consumerTag, '')
  client.session.deleteQueue('q')
  assert.equal(bench.engine.residentBytes, 1 + entryOverheadBytes)
  journal.take()
  return { bench, client, journal, tag: delivery.deliveryTag, nowMs: bench.nowMs }
}

describe('after its queue was deleted a delivery', () => {
  const ways: Readonly<Record<string, (client: Client, tag: number, nowMs: number) => void>> = {
    acknowledged: ({ session }, tag) => session.ack(tag, false, 0),
    requeued: ({ session }, tag, nowMs) => session.reject(tag, { requeue: true }, nowMs),
    rejected: ({ session }, tag, nowMs) => session.reject(tag, { requeue: false }, nowMs),
    'tried again later': ({ session }, tag, nowMs) => void session.settleRetry(tag, 1000, nowMs),
    'given up': ({ session }, tag, nowMs) => void session.settleDead(tag, { reason: 'attempts' }, nowMs),
    'held when its session closes': ({ session }, _tag, nowMs) => session.close(nowMs),
  }
  for (const [how, settle] of Object.entries(ways)) {
    test(`${how} is gone, and nothing is put on record`, () => {
      const { bench, client, journal, tag, nowMs } = withDeliveryOfDeletedQueue()
      settle(client, tag, nowMs)
      assert.equal(bench.engine.residentBytes, 0)
      bench.pass(1000)
      assert.deepEqual(journal.take(), [])
      assert.deepEqual(bench.client().drain('dead'), [])
    })
  }
})

test('an operator cannot pause a queue that is gone, nor call off what it held back', () => {
  const journal = new JournalLog()
  const bench = Bench.create({ journal })
  const client = bench.client()
  const queue = client.queue('q')
  client.send('q', 'm', { delayMs: 10 })
  const [entry] = bench.engine.browseDelayed(queue, 0, 1)
  client.session.deleteQueue('q')
  journal.take()
  bench.engine.pause(queue, true)
  assert.equal(queue.paused, false)
  assert.equal(bench.engine.cancelDelayedEntry(queue, entry!), false)
  assert.deepEqual(journal.take(), [])
})
