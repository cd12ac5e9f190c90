/** What Millrace understands beyond RabbitMQ: headers of published messages, and settling by a message. */
import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import type { TestContext } from 'node:test'
import type { FieldTable } from '../../src/model/field-value.ts'
import type { RawClient } from '../interop/raw-client.ts'
import { serve, textOf } from './harness.ts'

async function open(t: TestContext): Promise<RawClient> {
  const client = await (await serve(t)).open()
  await client.call(1, { type: 'queue.declare', queue: 'q' }, 'queue.declare-ok')
  return client
}

function consume(client: RawClient, table: FieldTable = {}) {
  return client.call(1, { type: 'basic.consume', queue: 'q', arguments: table }, 'basic.consume-ok')
}

function send(client: RawClient, body: string, headers: FieldTable = {}, mandatory = false): void {
  client.publish(1, { routingKey: 'q', mandatory }, { headers }, body)
}

function settle(client: RawClient, headers: FieldTable): void {
  client.publish(1, { routingKey: 'amq.millrace.settle' }, { headers }, '')
}

async function refusal(client: RawClient): Promise<string> {
  const closed = await client.expect(1, 'channel.close')
  assert.equal(closed.replyCode, 406)
  return closed.replyText
}

describe('headers of a published message', () => {
  test('x-millrace-delay holds it back by its queue', async (t) => {
    const client = await open(t)
    send(client, 'late', { 'x-millrace-delay': 300 })
    const sentAtMs = performance.now()
    send(client, 'now')
    await consume(client)
    const [now, late] = await client.deliveries(1, 2)
    assert.deepEqual([textOf(now), textOf(late)], ['now', 'late'])
    assert.ok(performance.now() - sentAtMs >= 295)
  })

  test('x-millrace-key: one of a key at a time, in order, and another key is not held up', async (t) => {
    const client = await open(t)
    for (const [body, key] of ['a1 a', 'a2 a', 'b1 b'].map((each) => each.split(' ')))
      send(client, body!, { 'x-millrace-key': key! })
    await consume(client)
    const first = await client.deliveries(1, 2)
    assert.deepEqual(first.map(textOf), ['a1', 'b1'])
    client.send(1, { type: 'basic.ack', deliveryTag: 1 })
    assert.equal(textOf((await client.deliveries(1, 1))[0]), 'a2')
  })

  test('x-millrace-dedupe: a duplicate is not stored; its publisher is told the id of what is', async (t) => {
    const client = await open(t)
    await client.call(1, { type: 'confirm.select' }, 'confirm.select-ok')
    const headers = { 'x-millrace-dedupe': 'order 7', 'x-millrace-dedupe-window': 60_000 }
    client.publish(1, { routingKey: 'q', mandatory: true }, { headers, messageId: 'first' }, 'a')
    await client.expect(1, 'basic.ack')
    client.publish(1, { routingKey: 'q', mandatory: true }, { headers, messageId: 'second' }, 'b')
    const returned = await client.expect(1, 'basic.return')
    assert.deepEqual([returned.replyCode, returned.replyText], [314, 'first'])
    await client.expect(1, 'basic.ack')
    // Not mandatory: it is dropped without a word.
    send(client, 'c', headers)
    await client.expect(1, 'basic.ack')
    const { messageCount } = await client.call(
      1,
      { type: 'queue.declare', queue: 'q', passive: true },
      'queue.declare-ok',
    )
    assert.equal(messageCount, 1)
  })

  for (const [name, value, words] of [
    ['x-millrace-delay', 'soon', 'it must be a whole number from 0'],
    ['x-millrace-delay', -1, 'it must be a whole number from 0'],
    ['x-millrace-delay', 2 ** 52, 'the delay must be from 0'],
    ['x-millrace-key', 1, 'it must be a text'],
    ['x-millrace-key', 'k'.repeat(256), 'it must be 255 bytes at most'],
    ['x-millrace-dedupe', 'ü'.repeat(128), 'it must be 255 bytes at most'],
    ['x-millrace-dedupe', true, 'it must be a text'],
    ['x-millrace-dedupe', 'k', 'it is missing'],
  ] as const) {
    test(`${name} of ${String(value).slice(0, 8)} is refused: ${words}`, async (t) => {
      const client = await open(t)
      send(client, 'm', { [name]: typeof value === 'number' && value > 2 ** 31 ? BigInt(value) : value })
      assert.match(await refusal(client), new RegExp(words))
    })
  }

  test('names that only begin alike say nothing', async (t) => {
    const client = await open(t)
    send(client, 'm', { 'x-millrace-delays': 'soon', 'x-millrace-': 1 })
    await consume(client)
    assert.equal(textOf((await client.deliveries(1, 1))[0]), 'm')
  })
})

describe('amq.millrace.settle', () => {
  const counted = { 'x-millrace-delivery-count': true }

  test('retry: to the tail after its delay, and the attempt is counted and shown', async (t) => {
    const client = await open(t)
    for (const body of ['a', 'b']) send(client, body)
    await consume(client, counted)
    await client.deliveries(1, 2)
    const fromMs = performance.now()
    settle(client, {
      'x-millrace-delivery-tag': 1,
      'x-millrace-outcome': 'retry',
      'x-millrace-delay': 200,
    })
    settle(client, { 'x-millrace-delivery-tag': 2n, 'x-millrace-outcome': 'retry' })
    const [b, a] = await client.deliveries(1, 2)
    assert.deepEqual([textOf(b), textOf(a)], ['b', 'a'])
    assert.ok(performance.now() - fromMs >= 195)
    for (const each of [a, b]) assert.equal(Number(each!.properties?.headers?.['x-delivery-count']), 1)
  })

  test('release: back to its place, and not counted', async (t) => {
    const client = await open(t)
    for (const body of ['a', 'b']) send(client, body)
    await client.call(1, { type: 'basic.qos', prefetchCount: 1 }, 'basic.qos-ok')
    await consume(client, counted)
    await client.deliveries(1, 1)
    settle(client, { 'x-millrace-delivery-tag': 1, 'x-millrace-outcome': 'release' })
    const [again] = await client.deliveries(1, 1)
    assert.equal(textOf(again), 'a')
    assert.equal(again!.properties?.headers?.['x-delivery-count'], undefined)
  })

  test('dead: to the dead-letter exchange, with the reason and the error', async (t) => {
    const client = await open(t)
    const table = { 'x-dead-letter-exchange': '', 'x-dead-letter-routing-key': 'q' }
    await client.call(1, { type: 'queue.declare', queue: 'work', arguments: table }, 'queue.declare-ok')
    client.publish(1, { routingKey: 'work' }, {}, 'm')
    await client.call(1, { type: 'basic.consume', queue: 'work' }, 'basic.consume-ok')
    await client.deliveries(1, 1)
    settle(client, {
      'x-millrace-delivery-tag': 1,
      'x-millrace-outcome': 'dead',
      'x-millrace-reason': 'attempts used up',
      'x-millrace-error': 'no such address',
    })
    await consume(client)
    const [dead] = await client.deliveries(1, 1)
    const headers = dead!.properties!.headers!
    assert.equal(headers['x-millrace-reason'], 'attempts used up')
    assert.equal(headers['x-millrace-error'], 'no such address')
    assert.equal(headers['x-last-death-queue'], 'work')
  })

  test('in confirm mode it is confirmed, once what it did is durable', async (t) => {
    const client = await open(t)
    send(client, 'm')
    await consume(client)
    await client.deliveries(1, 1)
    await client.call(1, { type: 'confirm.select' }, 'confirm.select-ok')
    settle(client, { 'x-millrace-delivery-tag': 1, 'x-millrace-outcome': 'dead' })
    assert.equal((await client.expect(1, 'basic.ack')).deliveryTag, 1)
  })

  for (const [headers, words] of [
    [{}, "the header 'x-millrace-delivery-tag' is missing"],
    [{ 'x-millrace-delivery-tag': 1 }, "must be one of retry, release, dead, not ''"],
    [{ 'x-millrace-delivery-tag': 1, 'x-millrace-outcome': 'ack' }, "must be one of .* not 'ack'"],
    [{ 'x-millrace-delivery-tag': 9, 'x-millrace-outcome': 'retry' }, 'unknown delivery tag 9'],
    [
      { 'x-millrace-delivery-tag': 1, 'x-millrace-outcome': 'retry', 'x-millrace-delay': 'x' },
      'whole number',
    ],
  ] as const) {
    test(`what it cannot do is refused, and the delivery goes back: ${words}`, async (t) => {
      const client = await open(t)
      send(client, 'm')
      await consume(client)
      await client.deliveries(1, 1)
      settle(client, headers)
      assert.match(await refusal(client), new RegExp(words))
      await client.call(2, { type: 'channel.open' }, 'channel.open-ok')
      await client.call(2, { type: 'basic.get', queue: 'q' }, 'basic.get-ok')
    })
  }

  test('not in a transaction', async (t) => {
    const client = await open(t)
    await client.call(1, { type: 'tx.select' }, 'tx.select-ok')
    settle(client, { 'x-millrace-delivery-tag': 1, 'x-millrace-outcome': 'retry' })
    assert.match(await refusal(client), /a transaction cannot settle/)
  })

  test('only by the default exchange: elsewhere it is a routing key like any other', async (t) => {
    const client = await open(t)
    await client.call(
      1,
      { type: 'queue.bind', queue: 'q', exchange: 'amq.direct', routingKey: 'amq.millrace.settle' },
      'queue.bind-ok',
    )
    client.publish(1, { exchange: 'amq.direct', routingKey: 'amq.millrace.settle' }, {}, 'm')
    await consume(client)
    assert.equal(textOf((await client.deliveries(1, 1))[0]), 'm')
  })
})
