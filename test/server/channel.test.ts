/** Channels: order of what is asked and answered, what ends with them, and the graceful stop. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { startBroker } from '../../src/server/index.ts'
import { RawClient } from '../interop/raw-client.ts'
import { newFolder, serve, textOf, until } from './harness.ts'

test('what is sent at once is done in order, though declares wait for the disk', async (t) => {
  const server = await serve(t, { data: await newFolder() })
  const client = await server.open()
  const { writer } = client
  for (let index = 0; index < 50; index += 1) {
    const queue = `q${index}`
    writer.method(1, {
      type: 'queue.declare',
      queue,
      passive: false,
      durable: true,
      exclusive: false,
      autoDelete: false,
      nowait: index % 3 === 0,
      arguments: {},
    })
    const publish = {
      type: 'basic.publish',
      exchange: '',
      routingKey: queue,
      mandatory: true,
      immediate: false,
    } as const
    writer.content(1, publish, Buffer.from([0, 0]), `m${index}`)
    writer.method(1, { type: 'basic.get', queue: '', noAck: true })
  }
  client.flush()
  const got: string[] = []
  while (got.length < 50) {
    const arrival = await client.next(1)
    if (arrival.type === 'queue.declare-ok') assert.equal(arrival.queue, `q${got.length}`)
    else if (arrival.type === 'basic.get-ok') got.push(textOf(arrival))
    else assert.fail(`unexpected ${arrival.type}`)
  }
  assert.deepEqual(
    got,
    Array.from({ length: 50 }, (_, index) => `m${index}`),
  )
})

test('while one channel waits for the disk another one does not', async (t) => {
  const server = await serve(t, { data: await newFolder() })
  const client = await server.open()
  await client.call(2, { type: 'channel.open' }, 'channel.open-ok')
  client.writer.method(1, {
    type: 'queue.declare',
    queue: 'q',
    passive: false,
    durable: true,
    exclusive: false,
    autoDelete: false,
    nowait: false,
    arguments: {},
  })
  client.writer.method(2, { type: 'basic.qos', prefetchSize: 0, prefetchCount: 1, global: false })
  client.flush()
  await client.expect(1, 'queue.declare-ok')
  const order = client.received.slice(-2).map(({ type }) => type)
  assert.deepEqual(order, ['basic.qos-ok', 'queue.declare-ok'])
})

test('a refusal among what is set aside comes in its turn, and what follows is ignored', async (t) => {
  const server = await serve(t, { data: await newFolder() })
  const client = await server.open({ answersClose: false })
  client.send(1, { type: 'queue.declare', queue: 'a', durable: true })
  client.send(1, { type: 'queue.declare', queue: 'a', durable: false })
  client.send(1, { type: 'queue.declare', queue: 'b', durable: true })
  await client.expect(1, 'queue.declare-ok')
  const closed = await client.expect(1, 'channel.close')
  assert.deepEqual([closed.replyCode, closed.classId, closed.methodId], [406, 50, 10])
  client.send(1, { type: 'channel.close-ok' })
  await client.call(1, { type: 'channel.open' }, 'channel.open-ok')
  client.send(1, { type: 'queue.declare', queue: 'b', passive: true })
  assert.equal((await client.expect(1, 'channel.close')).replyCode, 404)
})

test('a get waits for what has to be read from the disk first', async (t) => {
  const limits = { windowMessages: 4, windowBytes: 4096 }
  const server = await serve(t, { data: await newFolder(), engine: { limits } })
  const client = await server.open()
  await client.call(1, { type: 'queue.declare', queue: 'q', durable: true }, 'queue.declare-ok')
  const total = 100
  for (let index = 0; index < total; index += 1)
    client.publish(1, { routingKey: 'q' }, { deliveryMode: 2 }, `${index}`)
  for (let index = 0; index < total; index += 1)
    client.send(1, { type: 'basic.get', queue: 'q', noAck: true })
  for (let index = 0; index < total; index += 1) {
    const got = await client.expect(1, 'basic.get-ok')
    assert.equal(textOf(got), `${index}`)
    assert.equal(got.messageCount, total - 1 - index)
  }
  await client.call(1, { type: 'basic.get', queue: 'q' }, 'basic.get-empty')
})

test('a consumer whose queue is deleted is told', async (t) => {
  const server = await serve(t)
  const [consumer, other] = [await server.open(), await server.open()]
  await consumer.call(1, { type: 'queue.declare', queue: 'q' }, 'queue.declare-ok')
  await consumer.call(1, { type: 'basic.consume', queue: 'q', consumerTag: 'mine' }, 'basic.consume-ok')
  await other.call(1, { type: 'queue.delete', queue: 'q' }, 'queue.delete-ok')
  const { consumerTag, nowait } = await consumer.expect(1, 'basic.cancel')
  assert.deepEqual({ consumerTag, nowait }, { consumerTag: 'mine', nowait: true })
})

test('a client that cannot be told of a cancel is not', async (t) => {
  const server = await serve(t)
  const client = await server.open({ clientProperties: { capabilities: {} } })
  await client.call(1, { type: 'queue.declare', queue: 'q' }, 'queue.declare-ok')
  await client.call(1, { type: 'basic.consume', queue: 'q' }, 'basic.consume-ok')
  await client.call(1, { type: 'queue.delete', queue: 'q' }, 'queue.delete-ok')
  await client.call(1, { type: 'basic.qos' }, 'basic.qos-ok')
  assert.ok(client.received.every(({ type }) => type !== 'basic.cancel'))
})

test('what a connection held comes back when it is dropped, and its exclusive queues go', async (t) => {
  const server = await serve(t)
  const [dropped, other] = [await server.open(), await server.open()]
  await dropped.call(1, { type: 'queue.declare', queue: 'own', exclusive: true }, 'queue.declare-ok')
  await dropped.call(1, { type: 'queue.declare', queue: 'q' }, 'queue.declare-ok')
  dropped.publish(1, { routingKey: 'q' }, {}, 'x')
  await dropped.call(1, { type: 'basic.consume', queue: 'q' }, 'basic.consume-ok')
  await dropped.deliveries(1, 1)
  dropped.destroy()
  await other.call(1, { type: 'basic.consume', queue: 'q' }, 'basic.consume-ok')
  const again = await other.expect(1, 'basic.deliver')
  assert.equal(again.redelivered, true)
  other.send(1, { type: 'queue.declare', queue: 'own', passive: true })
  assert.equal((await other.expect(1, 'channel.close')).replyCode, 404)
})

test('a stop tells every client (320) after the confirms of what is stored; what was unacknowledged is there again', async (t) => {
  const data = await newFolder()
  const broker = await startBroker({ port: 0, data })
  const client = await RawClient.open({ port: broker.port })
  await client.call(1, { type: 'channel.open' }, 'channel.open-ok')
  await client.call(1, { type: 'queue.declare', queue: 'q', durable: true }, 'queue.declare-ok')
  await client.call(1, { type: 'confirm.select' }, 'confirm.select-ok')
  for (const body of ['a', 'b']) client.publish(1, { routingKey: 'q' }, { deliveryMode: 2 }, body)
  await client.call(1, { type: 'basic.consume', queue: 'q' }, 'basic.consume-ok')
  await client.deliveries(1, 2)
  await Promise.all([broker.close(), broker.close()])
  const closed = await client.expect(0, 'connection.close')
  assert.equal(closed.replyCode, 320)
  assert.equal(
    closed.replyText,
    "CONNECTION_FORCED - broker forced connection closure with reason 'shutdown'",
  )
  await client.ended()
  const confirmed = client.received.filter(({ type }) => type === 'basic.ack').at(-1)
  assert.ok(confirmed?.type === 'basic.ack' && confirmed.deliveryTag === 2)
  const server = await serve(t, { data })
  const again = await server.open()
  const got = await again.call(1, { type: 'basic.get', queue: 'q' }, 'basic.get-ok')
  assert.deepEqual([textOf(got), got.redelivered, got.messageCount], ['a', true, 1])
})

test('a stop does not wait for clients that do not answer', async () => {
  const broker = await startBroker({ port: 0, limits: { closeTimeoutMs: 20 } })
  const mute = await RawClient.open({ port: broker.port, answersClose: false })
  const half = await RawClient.connect({ port: broker.port })
  await broker.close()
  await mute.ended()
  await half.ended()
})

test('a stop reaches publishers that wait, and does not wait for a disk that does not answer', async (t) => {
  const broker = await startBroker({ port: 0, engine: { limits: { memoryBytes: 10_000 } } })
  const client = await RawClient.open({ port: broker.port })
  await client.call(1, { type: 'channel.open' }, 'channel.open-ok')
  await client.call(1, { type: 'queue.declare', queue: 'q' }, 'queue.declare-ok')
  client.publish(1, { routingKey: 'q' }, {}, Buffer.alloc(20_000))
  await client.expect(0, 'connection.blocked')
  // Of the peers that are heard nobody is cut off.
  const [connection] = broker.server.connections
  const destroy = t.mock.method(connection!, 'destroy')
  await broker.close()
  assert.equal((await client.expect(0, 'connection.close')).replyCode, 320)
  assert.equal(destroy.mock.callCount(), 0)

  const other = await startBroker({ port: 0, limits: { closeTimeoutMs: 20 } })
  t.mock.method(other.broker, 'whenDurable', () => new Promise(() => undefined))
  await other.close()
})

test('tx: nothing is seen before the commit, all after it, nothing after a rollback', async (t) => {
  const server = await serve(t, { data: await newFolder() })
  const client = await server.open()
  await client.call(1, { type: 'queue.declare', queue: 'q', durable: true }, 'queue.declare-ok')
  await client.call(1, { type: 'tx.select' }, 'tx.select-ok')
  const count = async () => {
    const declared = await client.call(
      1,
      { type: 'queue.declare', queue: 'q', passive: true },
      'queue.declare-ok',
    )
    return declared.messageCount
  }
  client.publish(1, { routingKey: 'q' }, { deliveryMode: 2 }, 'a')
  assert.equal(await count(), 0)
  await client.call(1, { type: 'tx.commit' }, 'tx.commit-ok')
  assert.equal(await count(), 1)
  client.publish(1, { routingKey: 'q' }, { deliveryMode: 2 }, 'b')
  await client.call(1, { type: 'tx.rollback' }, 'tx.rollback-ok')
  assert.equal(await count(), 1)
  client.publish(1, { routingKey: 'nowhere', mandatory: true }, {}, 'c')
  client.send(1, { type: 'tx.commit' })
  assert.equal((await client.next(1)).type, 'basic.return')
  assert.equal((await client.next(1)).type, 'tx.commit-ok')
})

test('the channel can be closed and opened again; consumers and unacknowledged deliveries go with it', async (t) => {
  const server = await serve(t)
  const client = await server.open()
  await client.call(1, { type: 'queue.declare', queue: 'q' }, 'queue.declare-ok')
  client.publish(1, { routingKey: 'q' }, {}, 'x')
  await client.call(1, { type: 'basic.consume', queue: 'q' }, 'basic.consume-ok')
  await client.deliveries(1, 1)
  await client.call(1, { type: 'channel.close', replyCode: 200 }, 'channel.close-ok')
  await client.call(1, { type: 'channel.open' }, 'channel.open-ok')
  const declared = await client.call(1, { type: 'queue.declare', queue: 'q' }, 'queue.declare-ok')
  assert.deepEqual([declared.messageCount, declared.consumerCount], [1, 0])
})

test('small requests are answered as RabbitMQ does', async (t) => {
  const client = await (await serve(t)).open()
  const access = await client.call(1, { type: 'access.request', realm: '/data' }, 'access.request-ok')
  assert.equal(access.ticket, 1)
  const flow = await client.call(1, { type: 'channel.flow', active: true }, 'channel.flow-ok')
  assert.equal(flow.active, true)
  await client.call(1, { type: 'basic.recover', requeue: true }, 'basic.recover-ok')
  await client.call(1, { type: 'basic.cancel', consumerTag: 'none' }, 'basic.cancel-ok')
  client.send(1, { type: 'basic.recover-async', requeue: true })
  const { queue } = await client.call(1, { type: 'queue.declare', queue: '' }, 'queue.declare-ok')
  assert.match(queue, /^amq\.gen-[\w-]{22}$/)
  const { consumerTag } = await client.call(1, { type: 'basic.consume', queue: '' }, 'basic.consume-ok')
  assert.match(consumerTag, /^amq\.ctag-[\w-]{22}$/)
})

test('memory returns to nothing when all have gone', async (t) => {
  const server = await serve(t)
  const clients = await Promise.all(Array.from({ length: 20 }, () => server.open()))
  for (const [index, client] of clients.entries()) {
    if (index % 2 === 0) await client.close()
    else client.destroy()
  }
  await until(() => server.broker.server.connections.size === 0)
  assert.equal(server.broker.server.wheel.size, 0)
  assert.equal(server.broker.broker.engine.sessions.size, 0)
})

test('a delivery that cannot be encoded ends its connection, not the broker', async (t) => {
  const server = await serve(t)
  const [client, other] = [await server.open(), await server.open()]
  const [connection] = server.broker.server.connections
  connection!.output.writer.deliver = () => {
    throw new Error('no such bytes')
  }
  await client.call(1, { type: 'queue.declare', queue: 'q' }, 'queue.declare-ok')
  client.send(1, { type: 'basic.consume', queue: 'q' })
  client.publish(1, { routingKey: 'q' }, {}, 'm')
  const closed = await client.expect(0, 'connection.close')
  assert.equal(closed.replyCode, 541)
  await until(() => server.broker.broker.engine.vhosts.get('/')?.queues.get('q')?.readyMessages === 1)
  const got = await other.call(1, { type: 'basic.get', queue: 'q' }, 'basic.get-ok')
  assert.equal(got.redelivered, true)
})
