/** Declaring, binding, deleting, consuming and acknowledging over the wire: what RabbitMQ lets pass (amqp.md, "Semantics"). */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { RawClient } from '../interop/raw-client.ts'
import { serve, textOf } from './harness.ts'

async function declare(
  client: RawClient,
  queue: string,
  passive = false,
): Promise<{ queue: string; messageCount: number }> {
  return client.call(1, { type: 'queue.declare', queue, passive }, 'queue.declare-ok')
}

test('line breaks are stripped from the names that are declared', async (t) => {
  const client = await (await serve(t)).open()
  assert.equal((await declare(client, 'a\r\nb')).queue, 'ab')
  await client.call(
    1,
    { type: 'exchange.declare', exchange: 'e\n', exchangeType: 'direct' },
    'exchange.declare-ok',
  )
  await client.call(1, { type: 'queue.bind', queue: 'ab', exchange: 'e', routingKey: 'k' }, 'queue.bind-ok')
  client.publish(1, { exchange: 'e', routingKey: 'k' }, {}, 'x')
  const got = await client.call(1, { type: 'basic.get', queue: 'ab', noAck: true }, 'basic.get-ok')
  assert.equal(textOf(got), 'x')
})

test('an empty name is the last queue declared; in a bind an empty key is its name then', async (t) => {
  const client = await (await serve(t)).open()
  await declare(client, 'first')
  await declare(client, 'last')
  await client.call(
    1,
    { type: 'queue.bind', queue: '', exchange: 'amq.direct', routingKey: '' },
    'queue.bind-ok',
  )
  client.publish(1, { exchange: 'amq.direct', routingKey: 'last' }, {}, 'x')
  const got = await client.call(1, { type: 'basic.get', queue: '', noAck: true }, 'basic.get-ok')
  assert.equal(textOf(got), 'x')
  await client.call(
    1,
    { type: 'queue.unbind', queue: '', exchange: 'amq.direct', routingKey: '' },
    'queue.unbind-ok',
  )
  client.publish(1, { exchange: 'amq.direct', routingKey: 'last', mandatory: true })
  await client.expect(1, 'basic.return')
  assert.equal((await client.call(1, { type: 'queue.purge', queue: '' }, 'queue.purge-ok')).messageCount, 0)
  await client.call(1, { type: 'queue.delete', queue: '' }, 'queue.delete-ok')
})

test('a passive declare of what is reserved is fine, and says how it is', async (t) => {
  const client = await (await serve(t)).open()
  for (const exchange of ['amq.direct', 'amq.fanout', 'amq.topic', 'amq.headers', 'amq.match']) {
    await client.call(1, { type: 'exchange.declare', exchange, passive: true }, 'exchange.declare-ok')
  }
  const { queue } = await declare(client, '')
  client.publish(1, { routingKey: queue })
  assert.equal((await declare(client, queue, true)).messageCount, 1)
})

test('deleting and unbinding what is not there is ok', async (t) => {
  const client = await (await serve(t)).open()
  const deleted = await client.call(1, { type: 'queue.delete', queue: 'none' }, 'queue.delete-ok')
  assert.equal(deleted.messageCount, 0)
  await client.call(1, { type: 'exchange.delete', exchange: 'none' }, 'exchange.delete-ok')
  await declare(client, 'q')
  await client.call(1, { type: 'queue.unbind', queue: 'q', exchange: 'none' }, 'queue.unbind-ok')
  await client.call(1, { type: 'queue.unbind', queue: 'q', exchange: 'amq.direct' }, 'queue.unbind-ok')
})

test('nowait is not answered', async (t) => {
  const client = await (await serve(t)).open()
  client.send(1, { type: 'queue.declare', queue: 'q', nowait: true })
  client.send(1, { type: 'exchange.declare', exchange: 'e', exchangeType: 'fanout', nowait: true })
  client.send(1, { type: 'queue.bind', queue: 'q', exchange: 'e', nowait: true })
  client.send(1, { type: 'confirm.select', nowait: true })
  client.send(1, { type: 'basic.consume', queue: 'q', consumerTag: 't', noAck: true, nowait: true })
  client.publish(1, { exchange: 'e' }, {}, 'x')
  const types = [(await client.next(1)).type, (await client.next(1)).type].sort()
  assert.deepEqual(types, ['basic.ack', 'basic.deliver'])
  client.send(1, { type: 'basic.cancel', consumerTag: 't', nowait: true })
  client.send(1, { type: 'queue.purge', queue: 'q', nowait: true })
  client.send(1, { type: 'queue.delete', queue: 'q', nowait: true })
  client.send(1, { type: 'exchange.delete', exchange: 'e', nowait: true })
  assert.equal((await client.call(1, { type: 'basic.qos' })).type, 'basic.qos-ok')
})

test('multiple acknowledges all before it; tag 0 all there are, were it none', async (t) => {
  const client = await (await serve(t)).open()
  await declare(client, 'q')
  client.send(1, { type: 'basic.ack', deliveryTag: 0, multiple: true })
  for (const body of ['a', 'b', 'c', 'd', 'e']) client.publish(1, { routingKey: 'q' }, {}, body)
  await client.call(1, { type: 'basic.consume', queue: 'q', consumerTag: 't' }, 'basic.consume-ok')
  await client.deliveries(1, 5)
  client.send(1, { type: 'basic.ack', deliveryTag: 2, multiple: true })
  client.send(1, { type: 'basic.nack', deliveryTag: 3, multiple: false, requeue: false })
  await client.call(1, { type: 'basic.cancel', consumerTag: 't' }, 'basic.cancel-ok')
  client.send(1, { type: 'basic.nack', deliveryTag: 0, multiple: true, requeue: true })
  const left: string[] = []
  for (let count = 0; count < 2; count += 1) {
    left.push(textOf(await client.call(1, { type: 'basic.get', queue: 'q', noAck: true }, 'basic.get-ok')))
  }
  assert.deepEqual(left, ['d', 'e'])
  await client.call(1, { type: 'basic.get', queue: 'q' }, 'basic.get-empty')
})

test('prefetch holds for later consumers each, and with global for the channel', async (t) => {
  const client = await (await serve(t)).open()
  await declare(client, 'q')
  for (let count = 0; count < 20; count += 1) client.publish(1, { routingKey: 'q' })
  await client.call(1, { type: 'basic.qos', prefetchCount: 2 }, 'basic.qos-ok')
  for (const consumerTag of ['a', 'b']) {
    await client.call(1, { type: 'basic.consume', queue: 'q', consumerTag }, 'basic.consume-ok')
  }
  await client.deliveries(1, 4)
  await client.quiet(20)
  assert.equal(client.drain(1, 'basic.deliver').length, 0)
  await client.call(1, { type: 'basic.qos', prefetchCount: 3, global: true }, 'basic.qos-ok')
  client.send(1, { type: 'basic.ack', deliveryTag: 2, multiple: true })
  await client.deliveries(1, 1)
  await client.quiet(20)
  assert.equal(client.drain(1, 'basic.deliver').length, 0)
})
