/** Back-pressure: a peer that does not read gets nothing more, a publisher waits while room is short; others go on. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { serve, textOf, until } from './harness.ts'

test('deliveries stop to a socket that is not read, and go on when it is; others get theirs meanwhile', async (t) => {
  const server = await serve(t, { limits: { outputBytes: 256 * 1024 } })
  const publisher = await server.open()
  await publisher.call(1, { type: 'queue.declare', queue: 'q' }, 'queue.declare-ok')
  const slow = await server.open()
  slow.socket.pause()
  slow.send(1, { type: 'basic.consume', queue: 'q', noAck: true })
  const { broker } = server.broker
  const queue = broker.engine.vhost('/').queue('q')
  await until(() => queue.consumers.size === 1)
  const body = Buffer.alloc(64 * 1024)
  const total = 500
  for (let count = 0; count < total; count += 1) publisher.publish(1, { routingKey: 'q' }, {}, body)
  await publisher.call(1, { type: 'queue.declare', queue: 'q' }, 'queue.declare-ok')
  // What the system's own buffers hold is gone; the rest is still in the queue.
  await until(() => [...server.broker.server.connections].some(({ output }) => output.full))
  assert.ok(queue.readyMessages > total / 3, `${queue.readyMessages} of ${total} still wait`)
  const other = await server.open()
  await other.call(1, { type: 'basic.consume', queue: 'q', noAck: true }, 'basic.consume-ok')
  await other.deliveries(1, 10)
  other.destroy()
  slow.socket.resume()
  await until(() => queue.readyMessages === 0)
  const received = () => slow.received.filter(({ type }) => type === 'basic.deliver').length
  await until(() => received() > total / 3)
  assert.equal(queue.readyMessages, 0)
})

test('a client that asks and does not read is not read either, and costs no more than a limit', async (t) => {
  const server = await serve(t, { limits: { outputBytes: 64 * 1024, replyBytes: 256 * 1024 } })
  const client = await server.open()
  client.socket.pause()
  const [connection] = server.broker.server.connections
  assert.ok(connection)
  let sent = 0
  while (!connection.paused) {
    for (let count = 0; count < 1000; count += 1)
      client.writer.method(1, {
        type: 'queue.declare',
        queue: 'a-queue',
        passive: false,
        durable: false,
        exclusive: false,
        autoDelete: false,
        nowait: false,
        arguments: {},
      })
    client.flush()
    sent += 1000
    await new Promise((resolve) => setTimeout(resolve, 1))
    assert.ok(sent < 10_000_000)
  }
  assert.ok(connection.output.pendingBytes < 16 * 1024 * 1024)
  client.socket.resume()
  await until(() => client.received.filter(({ type }) => type === 'queue.declare-ok').length === sent)
})

test('a client that gets and does not read is given no more than a limit, and the rest when it reads', async (t) => {
  const outputBytes = 256 * 1024
  const server = await serve(t, { limits: { outputBytes } })
  const client = await server.open()
  await client.call(1, { type: 'queue.declare', queue: 'q' }, 'queue.declare-ok')
  const body = Buffer.alloc(100_000)
  const total = 300
  for (let count = 0; count < total; count += 1) client.publish(1, { routingKey: 'q' }, {}, body)
  await client.call(1, { type: 'queue.declare', queue: 'q' }, 'queue.declare-ok')
  const [connection] = server.broker.server.connections
  assert.ok(connection)
  client.socket.pause()
  const queue = server.broker.broker.engine.vhost('/').queue('q')
  for (let count = 0; count < total; count += 1)
    client.send(1, { type: 'basic.get', queue: 'q', noAck: true })
  await until(() => connection.output.full)
  assert.ok(connection.output.pendingBytes < outputBytes + 2 * body.length)
  assert.ok(queue.readyMessages > 0)
  client.socket.resume()
  for (let count = 0; count < total; count += 1) await client.expect(1, 'basic.get-ok')
  assert.equal(queue.readyMessages, 0)
})

test('publishers wait while memory is short: they are told, not read, and told again; consumers go on', async (t) => {
  const server = await serve(t, { engine: { limits: { memoryBytes: 100_000 } } })
  const publisher = await server.open()
  await publisher.call(1, { type: 'queue.declare', queue: 'q' }, 'queue.declare-ok')
  const consumer = await server.open()
  for (let count = 0; count < 12; count += 1)
    publisher.publish(1, { routingKey: 'q' }, {}, Buffer.alloc(10_000))
  const { reason } = await publisher.expect(0, 'connection.blocked')
  assert.equal(reason, 'low on memory')
  publisher.publish(1, { routingKey: 'q' }, {}, 'waits')
  await consumer.call(1, { type: 'basic.consume', queue: 'q', noAck: true }, 'basic.consume-ok')
  await publisher.expect(0, 'connection.unblocked')
  const deliveries = await consumer.deliveries(1, 13)
  assert.equal(textOf(deliveries.at(-1)), 'waits')
  assert.equal(consumer.received.filter(({ type }) => type === 'connection.blocked').length, 0)
})

test('who was not told that it waits is not told that it goes on', async (t) => {
  const server = await serve(t)
  const client = await server.open()
  const [connection] = server.broker.server.connections
  const { gate } = server.broker.broker
  // A log that is being written is no alarm.
  gate.set('log', true)
  client.publish(1, { routingKey: 'q' }, {}, 'x')
  await until(() => connection?.paused === true)
  gate.set('log', false)
  await client.call(1, { type: 'queue.declare', queue: 'q' }, 'queue.declare-ok')
  assert.ok(client.received.every(({ type }) => type !== 'connection.unblocked'))
})

test('who does not want to hear of it is not told', async (t) => {
  const server = await serve(t, { engine: { limits: { memoryBytes: 10_000 } } })
  const client = await server.open({ clientProperties: { capabilities: {} } })
  await client.call(1, { type: 'queue.declare', queue: 'q' }, 'queue.declare-ok')
  client.publish(1, { routingKey: 'q' }, {}, Buffer.alloc(20_000))
  const [connection] = server.broker.server.connections
  await until(() => connection?.paused === true)
  const other = await server.open()
  await other.call(1, { type: 'queue.purge', queue: 'q' }, 'queue.purge-ok')
  await until(() => connection?.paused === false)
  await client.call(1, { type: 'queue.declare', queue: 'q' }, 'queue.declare-ok')
  assert.ok(
    client.received.every(({ type }) => type !== 'connection.blocked' && type !== 'connection.unblocked'),
  )
})

test('506: more of bodies that never end than there is room for; others go on', async (t) => {
  const server = await serve(t, { limits: { partialBytes: 500_000 } })
  const other = await server.open()
  const client = await server.open()
  const { partial } = server.broker.server
  for (let channel = 1; channel <= 10; channel += 1) {
    if (channel > 1) client.send(channel, { type: 'channel.open' })
    client.send(channel, { type: 'basic.publish', exchange: '', routingKey: 'q' })
    const header = Buffer.alloc(14)
    header.writeUInt16BE(60, 0)
    header.writeUInt32BE(1_000_000, 8)
    client.sendFrame(2, channel, header)
    client.sendFrame(3, channel, Buffer.alloc(60_000))
  }
  const closed = await client.expect(0, 'connection.close')
  assert.equal(closed.replyCode, 506)
  await client.ended()
  await until(() => partial.bytes === 0)
  await other.call(1, { type: 'queue.declare', queue: 'q' }, 'queue.declare-ok')
  const body = Buffer.alloc(400_000, 'x')
  other.publish(1, { routingKey: 'q' }, {}, body)
  const got = await other.call(1, { type: 'basic.get', queue: 'q', noAck: true }, 'basic.get-ok')
  assert.equal(got.body?.length, body.length)
  assert.equal(partial.bytes, 0)
})

test('a get that waited until its peer read on, and then fails, says that it was a get', async (t) => {
  const server = await serve(t, { limits: { outputBytes: 1024 } })
  const client = await server.open()
  client.socket.cork()
  client.publish(1, { routingKey: 'nowhere', mandatory: true }, {}, Buffer.alloc(64 * 1024))
  client.send(1, { type: 'basic.get', queue: 'missing' })
  client.socket.uncork()
  await client.expect(1, 'basic.return')
  const close = await client.next(1, 'channel.close')
  assert.deepEqual(
    { ...close, replyText: undefined },
    { type: 'channel.close', channel: 1, replyCode: 404, replyText: undefined, classId: 60, methodId: 70 },
  )
})
