/** What plugins and policies add, as clients see it: delayed and hashed exchanges, counted returns, live policies. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { RawClient } from '../interop/raw-client.ts'
import { newFolder, serve, textOf } from './harness.ts'

async function queue(client: RawClient, name: string, table = {}): Promise<void> {
  await client.call(
    1,
    { type: 'queue.declare', queue: name, durable: true, arguments: table },
    'queue.declare-ok',
  )
}

async function exchange(client: RawClient, type: string, table = {}): Promise<void> {
  await client.call(
    1,
    { type: 'exchange.declare', exchange: 'x', exchangeType: type, durable: true, arguments: table },
    'exchange.declare-ok',
  )
}

async function bind(client: RawClient, name: string, routingKey: string): Promise<void> {
  await client.call(1, { type: 'queue.bind', queue: name, exchange: 'x', routingKey }, 'queue.bind-ok')
}

async function depth(client: RawClient, name: string): Promise<number> {
  const ok = await client.call(1, { type: 'queue.declare', queue: name, passive: true }, 'queue.declare-ok')
  assert.ok(ok.type === 'queue.declare-ok')
  return ok.messageCount
}

test('a delayed message comes when it is due, also after a restart, its delay negated', async (t) => {
  const data = await newFolder()
  const before = await serve(t, { data })
  let client = await before.open()
  await exchange(client, 'x-delayed-message', { 'x-delayed-type': 'topic' })
  await queue(client, 'q')
  await bind(client, 'q', 'a.*')
  await client.call(1, { type: 'confirm.select' }, 'confirm.select-ok')
  const sent = { exchange: 'x', routingKey: 'a.b' }
  const delayed = (delay: number) => ({ headers: { 'x-delay': delay }, deliveryMode: 2 as const })
  const startMs = performance.now()
  client.publish(1, sent, delayed(400), 'second')
  client.publish(1, sent, delayed(200), 'first')
  client.publish(1, sent, delayed(3_600_000), 'in an hour')
  client.publish(1, sent, delayed(0), 'at once')
  for (let confirmed = 0; confirmed < 4;) {
    const ack = await client.next(1, 'basic.ack')
    assert.ok(ack.type === 'basic.ack')
    confirmed = ack.deliveryTag
  }
  await client.close()
  await before.broker.close()

  const after = await serve(t, { data })
  client = await after.open()
  await client.call(1, { type: 'basic.consume', queue: 'q', noAck: true }, 'basic.consume-ok')
  const deliveries = await client.deliveries(1, 3)
  assert.ok(performance.now() - startMs >= 399, 'not early')
  assert.deepEqual(
    deliveries.map((delivery) => [textOf(delivery), delivery.properties?.headers?.['x-delay']]),
    [
      ['at once', 0],
      ['first', -200],
      ['second', -400],
    ],
  )
  const holding = after.broker.broker.engine.vhost('/').exchange('x').holding
  assert.equal(holding?.delayed.length, 1)
})

test('a delayed exchange without a type of its own is refused', async (t) => {
  const client = await (await serve(t)).open()
  client.send(1, { type: 'exchange.declare', exchange: 'x', exchangeType: 'x-delayed-message' })
  const close = await client.expect(1, 'channel.close')
  assert.equal(close.replyCode, 406)
  assert.match(close.replyText, /^PRECONDITION_FAILED - Invalid argument, 'x-delayed-type' must be/)
})

test('a hash exchange gives each key to one queue, by weight', async (t) => {
  const client = await (await serve(t)).open()
  await exchange(client, 'x-consistent-hash')
  for (const [name, weight] of [
    ['a', '1'],
    ['b', '3'],
  ] as const) {
    await queue(client, name)
    await bind(client, name, weight)
  }
  for (let key = 0; key < 400; key += 1) {
    client.publish(1, { exchange: 'x', routingKey: String(key) }, {}, 'm')
  }
  const [a, b] = [await depth(client, 'a'), await depth(client, 'b')]
  assert.equal(a + b, 400)
  assert.ok(a > 50 && a < 150, `${a} of 400`)
  client.send(1, { type: 'queue.bind', queue: 'a', exchange: 'x', routingKey: 'heavy' })
  const close = await client.expect(1, 'channel.close')
  assert.equal(close.replyText, 'PRECONDITION_FAILED - The binding key must be an integer: <<"heavy">>')
})

test('a message that comes back to a quorum queue says how often', async (t) => {
  const client = await (await serve(t)).open()
  await queue(client, 'q', { 'x-queue-type': 'quorum' })
  client.publish(1, { routingKey: 'q' }, {}, 'm')
  const counts: unknown[] = []
  for (let round = 0; round < 3; round += 1) {
    const got = await client.call(1, { type: 'basic.get', queue: 'q' }, 'basic.get-ok')
    assert.ok(got.type === 'basic.get-ok')
    counts.push(got.properties?.headers?.['x-delivery-count'])
    client.send(1, { type: 'basic.nack', deliveryTag: got.deliveryTag, requeue: true })
  }
  // A consumer is not told where it is the first time; who gets one is.
  assert.deepEqual(counts, [0, 1, 2])
})

test('a policy is in force from the moment it is set', async (t) => {
  const server = await serve(t)
  const client = await server.open()
  await queue(client, 'q')
  for (const body of ['a', 'b', 'c']) client.publish(1, { routingKey: 'q' }, {}, body)
  assert.equal(await depth(client, 'q'), 3)
  const { broker } = server.broker
  const policy = {
    vhost: '/',
    name: 'short',
    operator: false,
    pattern: '^q$',
    applyTo: 'queues',
    priority: 0,
  }
  broker.engine.policies.set(
    { ...policy, applyTo: 'queues', definition: { 'max-length': 1 } },
    broker.nowMs(),
  )
  broker.wake()
  const got = await client.call(1, { type: 'basic.get', queue: 'q', noAck: true }, 'basic.get-ok')
  assert.equal(textOf(got), 'c')
})

test('one queue more than a virtual host may have is refused', async (t) => {
  const server = await serve(t)
  const client = await server.open()
  server.broker.broker.engine.operatorLimits.set({ scope: 'vhost', name: '/', limit: 'max-queues', value: 1 })
  await queue(client, 'a')
  client.send(1, { type: 'queue.declare', queue: 'b' })
  const close = await client.expect(1, 'channel.close')
  assert.deepEqual(
    [close.replyCode, close.replyText],
    [406, "PRECONDITION_FAILED - cannot declare queue 'b': queue limit in vhost '/' (1) is reached"],
  )
})
