/**
 * What time does to connections. Where little is waited for, limits are so low that a test takes a moment, and none asserts how
 * long it took; where two things must keep their distance, time is the test's own.
 */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { TestContext } from 'node:test'
import type { Connection } from '../../src/server/connection.ts'
import { ConnectionTimes } from '../../src/server/connection-times.ts'
import type { BrokerOptions } from '../../src/server/index.ts'
import { serve, until } from './harness.ts'

test('a handshake that is not finished ends', async (t) => {
  const server = await serve(t, { limits: { handshakeTimeoutMs: 1 } })
  const silent = await server.connect()
  const begun = await server.connect()
  begun.writer.protocolHeader()
  begun.flush()
  await silent.ended()
  await begun.ended()
  await until(() => server.broker.server.connections.size === 0)
})

test('a silent client is dropped', async (t) => {
  const server = await serve(t)
  const client = await server.open({ heartbeat: 1 })
  await client.ended()
})

/** How often a connection is looked at at least, and a heartbeat sent. */
const lookMs = 15_100

/** A server whose time passes when the test says so. */
async function timed(t: TestContext, options: BrokerOptions = {}) {
  const server = await serve(t, options)
  const { broker, server: inner } = server.broker
  let nowMs = broker.nowMs()
  t.mock.method(broker, 'nowMs', () => nowMs)
  const pass = (ms: number): void => {
    nowMs += ms
    inner.wheel.turn(nowMs)
  }
  return { server, pass }
}

test('heartbeats are sent to a client that asked for them, until it has been silent for two', async (t) => {
  const { server, pass } = await timed(t)
  const client = await server.open({ heartbeat: 30 })
  for (const count of [1, 2, 3]) {
    pass(lookMs)
    await until(() => client.heartbeats === count)
  }
  pass(lookMs)
  await client.ended()
})

test('a client that sends heartbeats is kept, however little else it says', async (t) => {
  const { server, pass } = await timed(t)
  const client = await server.open({ heartbeat: 30 })
  const received = t.mock.method(ConnectionTimes.prototype, 'received')
  for (const count of [1, 2, 3, 4, 5, 6, 7]) {
    client.sendFrame(8, 0, Buffer.alloc(0))
    await until(() => received.mock.callCount() >= count)
    pass(3 * lookMs)
  }
  await client.call(1, { type: 'basic.qos' }, 'basic.qos-ok')
})

test('406: a delivery that is not acknowledged for too long', async (t) => {
  const { server, pass } = await timed(t, { limits: { consumerTimeoutMs: 300 } })
  const client = await server.open()
  await client.call(1, { type: 'queue.declare', queue: 'q' }, 'queue.declare-ok')
  client.publish(1, { routingKey: 'q' }, {}, 'slow')
  await client.call(1, { type: 'basic.consume', queue: 'q' }, 'basic.consume-ok')
  await client.deliveries(1, 1)
  // The first look notes what is out, the next one finds it there still.
  pass(lookMs)
  pass(lookMs)
  const closed = await client.expect(1, 'channel.close')
  assert.equal(closed.replyCode, 406)
  assert.match(closed.replyText, /^PRECONDITION_FAILED - delivery acknowledgement on channel 1 timed out\./)
  await client.call(2, { type: 'channel.open' }, 'channel.open-ok')
  const got = await client.call(2, { type: 'basic.get', queue: 'q' }, 'basic.get-ok')
  assert.equal(got.redelivered, true)
})

test('406: a queue may say itself what is too long', async (t) => {
  const { server, pass } = await timed(t, { limits: { consumerTimeoutMs: 6000 } })
  const client = await server.open()
  const table = { 'x-consumer-timeout': 100 }
  await client.call(1, { type: 'queue.declare', queue: 'q', arguments: table }, 'queue.declare-ok')
  client.publish(1, { routingKey: 'q' }, {}, 'slow')
  await client.call(1, { type: 'basic.get', queue: 'q' }, 'basic.get-ok')
  pass(lookMs)
  pass(lookMs)
  const closed = await client.expect(1, 'channel.close')
  assert.match(closed.replyText, /Timeout value used: 100 ms/)
})

test('a close that is not answered ends all the same', async (t) => {
  const server = await serve(t, { limits: { closeTimeoutMs: 1 } })
  const client = await server.open({ answersClose: false })
  client.send(1, { type: 'channel.open' })
  await client.expect(0, 'connection.close')
  await client.ended()
})

test('a peer that takes nothing of what is written for it loses its connection', async (t) => {
  const server = await serve(t, { limits: { stuckWriteTimeoutMs: 1, outputBytes: 1024 * 1024 } })
  const client = await server.open({ heartbeat: 1 })
  const timer = setInterval(() => client.sendFrame(8, 0, Buffer.alloc(0)), 400)
  t.after(() => clearInterval(timer))
  await client.call(1, { type: 'queue.declare', queue: 'q' }, 'queue.declare-ok')
  client.socket.pause()
  client.send(1, { type: 'basic.consume', queue: 'q', noAck: true })
  for (let count = 0; count < 30; count += 1)
    client.publish(1, { routingKey: 'q' }, {}, Buffer.alloc(1024 * 1024))
  await until(() => server.broker.server.connections.size === 0)
})

test('a peer has time by the size of what waits for it: a large message is one write', () => {
  const outputBytes = 1000
  const limits = { stuckWriteTimeoutMs: 100, outputBytes, handshakeTimeoutMs: 1, consumerTimeoutMs: Infinity }
  let destroyed = false
  const connection = {
    state: 'running',
    paused: false,
    peer: { name: '' },
    server: { limits, wheel: { add: () => undefined }, log: { warn: () => undefined } },
    output: { progress: () => ({ writes: 1, waitingBytes: 5 * outputBytes }) },
    handshake: { tuned: { heartbeatSeconds: 0 } },
    destroy: () => (destroyed = true),
  } as unknown as Connection
  const times = new ConnectionTimes(connection, 0)
  times.opened(0)
  times.due(0)
  times.due(499)
  assert.equal(destroyed, false)
  times.due(500)
  assert.equal(destroyed, true)
})

test('where no time is too long, a queue may still say what is', () => {
  const asked: number[] = []
  const connection = {
    state: 'running',
    server: { limits: { consumerTimeoutMs: 0 }, wheel: { add: () => undefined } },
    output: { progress: () => ({ writes: 1, waitingBytes: 0 }) },
    handshake: { tuned: { heartbeatSeconds: 0 } },
    channels: new Map([
      [1, { checkConsumerTimeout: (_nowMs: number, timeoutMs: number) => asked.push(timeoutMs) }],
    ]),
    inputHandled: () => undefined,
  } as unknown as Connection
  const times = new ConnectionTimes(connection, 0)
  times.opened(0)
  times.due(1)
  times.due(15_000)
  assert.deepEqual(asked, [Infinity])
})

test('a broker that stood still hears what came meanwhile before it takes anybody for dead', () => {
  let destroyed = false
  const connection = {
    state: 'running',
    paused: false,
    peer: { name: '' },
    server: {
      limits: { consumerTimeoutMs: 0 },
      wheel: { add: () => undefined },
      log: { warn: () => undefined },
    },
    output: { progress: () => ({ writes: 1, waitingBytes: 0 }), heartbeat: () => undefined },
    handshake: { tuned: { heartbeatSeconds: 2 } },
    channels: new Map(),
    inputHandled: () => undefined,
    destroy: () => (destroyed = true),
  } as unknown as Connection
  const times = new ConnectionTimes(connection, 0)
  times.opened(0)
  assert.equal(times.due(1_000), 2_000)
  // For a minute nothing ran; the timer comes before the sockets are read.
  const next = times.due(60_000)
  assert.deepEqual([destroyed, next], [false, 61_000])
  times.received(60_000)
  times.due(next)
  assert.equal(destroyed, false)
  for (let nowMs = 62_000; nowMs < 64_000; nowMs = times.due(nowMs)) assert.equal(destroyed, false)
  times.due(65_000)
  assert.equal(destroyed, true)
})
