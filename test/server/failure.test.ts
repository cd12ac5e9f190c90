/** A disk that fails or is full, seen from clients: nothing is confirmed that is not stored, and everybody is told. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { TestContext } from 'node:test'
import { Listener } from '../../src/server/listener.ts'
import { Server } from '../../src/server/server.ts'
import { brokerAuthenticator, ensureGuest } from '../../src/server/users.ts'
import { storedBroker } from '../broker/harness.ts'
import { RawClient } from '../interop/raw-client.ts'
import { SimulatedDisk } from '../sim/disk.ts'
import { Random } from '../std/random.ts'
import { until } from './harness.ts'

async function onDisk(t: TestContext, disk = new SimulatedDisk({ random: new Random(1) })) {
  const broker = await storedBroker(disk)
  broker.ensureVhost('/')
  ensureGuest(broker, { all: ['/'], made: [] })
  await broker.whenDurable()
  const server = new Server({ broker, authenticator: brokerAuthenticator(broker), version: '0' })
  const { port } = await Listener.open(server, { port: 0 })
  const clients: RawClient[] = []
  t.after(async () => {
    for (const client of clients) client.destroy()
    await server.close()
    await broker.close()
  })
  const open = async () => {
    const client = await RawClient.open({ port })
    clients.push(client)
    await client.call(1, { type: 'channel.open' }, 'channel.open-ok')
    return client
  }
  return { disk, broker, server, open }
}

for (const operation of ['write', 'sync'] as const) {
  test(`541: when the disk refuses a ${operation}, nothing more is confirmed, and every client is told`, async (t) => {
    const { disk, server, open } = await onDisk(t)
    const [publisher, idle] = [await open(), await open()]
    await publisher.call(1, { type: 'queue.declare', queue: 'q', durable: true }, 'queue.declare-ok')
    await publisher.call(1, { type: 'confirm.select' }, 'confirm.select-ok')
    publisher.publish(1, { routingKey: 'q' }, { deliveryMode: 2 }, 'stored')
    await publisher.expect(1, 'basic.ack')
    disk.faults.push({ operation, path: /./, code: 'EIO', times: Infinity })
    publisher.publish(1, { routingKey: 'q' }, { deliveryMode: 2 }, 'lost')
    publisher.send(1, { type: 'queue.declare', queue: 'other', durable: true })
    for (const client of [publisher, idle]) {
      const closed = await client.expect(0, 'connection.close')
      assert.equal(closed.replyCode, 541)
      assert.match(closed.replyText, /^INTERNAL_ERROR - the store failed/)
      await client.ended()
    }
    assert.equal(publisher.received.filter(({ type }) => type === 'basic.ack').length, 1)
    assert.equal(publisher.received.filter(({ type }) => type === 'queue.declare-ok').length, 1)
    await until(() => server.connections.size === 0)
  })
}

test('when the disk refuses a delivery in the middle of a packet, nothing follows the close', async (t) => {
  const first = await onDisk(t)
  const publisher = await first.open()
  await publisher.call(1, { type: 'queue.declare', queue: 'q', durable: true }, 'queue.declare-ok')
  await publisher.call(1, { type: 'confirm.select' }, 'confirm.select-ok')
  for (const body of ['1', '2', '3']) {
    publisher.publish(1, { routingKey: 'q' }, { deliveryMode: 2 }, body)
    await publisher.expect(1, 'basic.ack')
  }
  const { disk, open } = await onDisk(t, first.disk.clone())
  const client = await open()
  disk.faults.push({ operation: 'write', path: /./, code: 'EIO', times: Infinity })
  client.socket.cork()
  client.send(1, { type: 'basic.qos', prefetchCount: 1 })
  client.send(1, { type: 'basic.consume', queue: 'q' })
  client.send(1, { type: 'basic.get', queue: 'q' })
  client.socket.uncork()
  await client.expect(0, 'connection.close')
  await client.ended()
  const types = client.received.map(({ type }) => type)
  assert.deepEqual(types.slice(types.indexOf('connection.close') + 1), ['socket closed'])
})

test('a full disk: publishers wait and are told, and are confirmed when there is room', async (t) => {
  const { disk, broker, open } = await onDisk(t)
  const publisher = await open()
  await publisher.call(1, { type: 'queue.declare', queue: 'q', durable: true }, 'queue.declare-ok')
  await publisher.call(1, { type: 'confirm.select' }, 'confirm.select-ok')
  disk.faults.push({ operation: 'write', path: /./, code: 'ENOSPC', times: Infinity })
  publisher.publish(1, { routingKey: 'q' }, { deliveryMode: 2 }, 'first')
  await until(() => broker.gate.shut)
  publisher.publish(1, { routingKey: 'q' }, { deliveryMode: 2 }, 'second')
  const { reason } = await publisher.expect(0, 'connection.blocked')
  assert.equal(reason, 'low on disk')
  assert.equal(publisher.received.filter(({ type }) => type === 'basic.ack').length, 0)
  disk.faults.length = 0
  await publisher.expect(0, 'connection.unblocked')
  await until(() =>
    publisher.received.some((arrival) => arrival.type === 'basic.ack' && arrival.deliveryTag === 2),
  )
})
