/** The handshake: versions, logins, what is agreed, virtual hosts; what RabbitMQ tells whom when it says no. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { encodeFieldTable } from '../../src/wire/index.ts'
import type { RawClient } from '../interop/raw-client.ts'
import { newFolder, serve } from './harness.ts'
import type { TestServer } from './harness.ts'

async function start(server: TestServer): Promise<RawClient> {
  const client = await server.connect()
  client.writer.protocolHeader()
  client.flush()
  await client.expect(0, 'connection.start')
  return client
}

function startOk(client: RawClient, mechanism: string, response: Uint8Array, tells = true): void {
  const capabilities = { authentication_failure_close: tells }
  const clientProperties = { capabilities }
  client.send(0, { type: 'connection.start-ok', clientProperties, mechanism, response, locale: 'en_US' })
}

async function tuned(server: TestServer): Promise<RawClient> {
  const client = await start(server)
  startOk(client, 'PLAIN', Buffer.from('\0guest\0guest'))
  await client.expect(0, 'connection.tune')
  return client
}

for (const [what, bytes] of [
  ['AMQP 1.0', 'AMQP\0\x01\0\0'],
  ['AMQP 0-8', 'AMQP\x01\x01\x08\0'],
  ['HTTP', 'GET / HTTP/1.1\r\n\r\n'],
] as const) {
  test(`${what} is answered with the header of 0-9-1, and the end`, async (t) => {
    const server = await serve(t)
    const client = await server.connect()
    client.sendBytes(Buffer.from(bytes, 'latin1'))
    await client.ended()
    assert.deepEqual(client.refusal, Buffer.from('AMQP\0\0\x09\x01', 'latin1'))
  })
}

test('connection.start says what clients branch on, and what is honoured', async (t) => {
  const server = await serve(t)
  const client = await server.open()
  const { product, version, capabilities, millrace } = client.serverProperties
  assert.equal(product, 'RabbitMQ')
  assert.match(String(version), /^3\.1\d\.\d+$/)
  assert.equal(typeof millrace, 'string')
  assert.deepEqual(capabilities, {
    publisher_confirms: true,
    exchange_exchange_bindings: true,
    'basic.nack': true,
    consumer_cancel_notify: true,
    'connection.blocked': true,
    consumer_priorities: true,
    authentication_failure_close: true,
    per_consumer_qos: true,
    direct_reply_to: true,
  })
  assert.deepEqual(
    { channelMax: client.tune.channelMax, frameMax: client.tune.frameMax },
    { channelMax: 2047, frameMax: 131_072 },
  )
})

test('AMQPLAIN logs in as PLAIN does', async (t) => {
  const client = await start(await serve(t))
  startOk(client, 'AMQPLAIN', encodeFieldTable({ LOGIN: 'guest', PASSWORD: 'guest' }).subarray(4))
  await client.expect(0, 'connection.tune')
})

test('a wrong password: 403 for a client that wants to be told', async (t) => {
  for (const response of ['\0guest\0wrong', '\0nobody\0guest', 'nonsense', '\0guest\0']) {
    const client = await start(await serve(t))
    startOk(client, 'PLAIN', Buffer.from(response))
    const { replyCode, replyText, classId, methodId } = await client.expect(0, 'connection.close')
    assert.deepEqual({ replyCode, classId, methodId }, { replyCode: 403, classId: 0, methodId: 0 })
    assert.equal(
      replyText,
      'ACCESS_REFUSED - Login was refused using authentication mechanism PLAIN. For details see the broker logfile.',
    )
    await client.ended()
  }
})

test('a wrong password: the socket ends without a word for a client that does not', async (t) => {
  const client = await start(await serve(t, { limits: { refusedLoginDelayMs: 1 } }))
  startOk(client, 'PLAIN', Buffer.from('\0guest\0wrong'), false)
  await client.ended()
  assert.deepEqual(
    client.received.map(({ type }) => type),
    ['connection.start', 'socket closed'],
  )
})

test('a mechanism that was not offered, and methods out of turn: the socket ends without a word', async (t) => {
  const server = await serve(t, { limits: { refusedLoginDelayMs: 1 } })
  const unknown = await start(server)
  startOk(unknown, 'EXTERNAL', Buffer.alloc(0))
  await unknown.ended()
  const early = await start(server)
  early.send(0, { type: 'connection.open', virtualHost: '/' })
  await early.ended()
  const channel = await start(server)
  channel.send(1, { type: 'channel.open' })
  await channel.ended()
  for (const client of [unknown, early, channel]) assert.equal(client.received.length, 2)
})

for (const [name, terms, text] of [
  [
    'frame_max',
    { frameMax: 1000, channelMax: 10 },
    'frame_max = 1000 is lower than the minimum allowed value (4096)',
  ],
  [
    'frame_max',
    { frameMax: 200_000, channelMax: 10 },
    'frame_max = 200000 is higher than the maximum allowed value (131072)',
  ],
  [
    'channel_max',
    { frameMax: 4096, channelMax: 3000 },
    'channel_max = 3000 is higher than the maximum allowed value (2047)',
  ],
  [
    'channel_max',
    { frameMax: 4096, channelMax: 0 },
    'channel_max = 0 (no limit) is higher than the maximum allowed value (2047)',
  ],
] as const) {
  test(`530: a ${name} that was not offered (${text})`, async (t) => {
    const client = await tuned(await serve(t))
    client.send(0, { type: 'connection.tune-ok', heartbeat: 0, ...terms })
    const closed = await client.expect(0, 'connection.close')
    assert.deepEqual([closed.replyCode, closed.replyText], [530, `NOT_ALLOWED - negotiated ${text}`])
  })
}

test('530: a virtual host that is not there, or that is not for this user', async (t) => {
  const server = await serve(t, { vhosts: ['theirs'] })
  server.broker.broker.engine.access.revoke({ user: 'guest', vhost: 'theirs' })
  for (const [virtualHost, text] of [
    ['none', 'NOT_ALLOWED - vhost none not found'],
    ['theirs', "NOT_ALLOWED - access to vhost 'theirs' refused for user 'guest'"],
  ] as const) {
    const client = await tuned(server)
    client.send(0, { type: 'connection.tune-ok', heartbeat: 0, frameMax: 4096, channelMax: 10 })
    client.send(0, { type: 'connection.open', virtualHost })
    const closed = await client.expect(0, 'connection.close')
    assert.deepEqual([closed.replyCode, closed.replyText], [530, text])
  }
})

test('a small frame-max holds for both directions, bodies are split by it', async (t) => {
  const server = await serve(t)
  const client = await server.open({ frameMax: 4096 })
  await client.call(1, { type: 'queue.declare', queue: 'q' }, 'queue.declare-ok')
  const body = Buffer.alloc(100_000, 'abc')
  client.publish(1, { routingKey: 'q' }, {}, body)
  const got = await client.call(1, { type: 'basic.get', queue: 'q', noAck: true }, 'basic.get-ok')
  assert.ok(body.equals(got.body ?? Buffer.alloc(0)))
  client.sendFrame(3, 1, Buffer.alloc(4097))
  const closed = await client.expect(0, 'connection.close')
  assert.equal(closed.replyCode, 501)
})

for (const stored of [false, true]) {
  test(`a client may send its whole handshake at once${stored ? ', though its password takes long to check' : ''}`, async (t) => {
    const folder = stored ? { data: await newFolder() } : {}
    const server = await serve(t, { users: { ada: 'secret' }, ...folder })
    const client = await server.connect()
    client.writer.protocolHeader()
    client.writer.method(0, {
      type: 'connection.start-ok',
      clientProperties: {},
      mechanism: 'PLAIN',
      response: Buffer.from('\0ada\0secret'),
      locale: 'en_US',
    })
    client.writer.method(0, { type: 'connection.tune-ok', channelMax: 5, frameMax: 8192, heartbeat: 0 })
    client.writer.method(0, { type: 'connection.open', virtualHost: '/' })
    client.writer.method(1, { type: 'channel.open' })
    client.writer.method(1, { type: 'confirm.select', nowait: false })
    const publish = { exchange: '', routingKey: 'q', mandatory: false, immediate: false } as const
    client.writer.content(1, { type: 'basic.publish', ...publish }, Buffer.from([0, 0]), 'x'.repeat(10_000))
    client.flush()
    await client.expect(1, 'channel.open-ok')
    await client.expect(1, 'confirm.select-ok')
    await client.expect(1, 'basic.ack')
  })
}

test('a close that comes long after the last word waits for its answer like any other', async (t) => {
  const server = await serve(t, { limits: { closeTimeoutMs: 60_000 } })
  const client = await server.open({ answersClose: false })
  const [connection] = server.broker.server.connections
  assert.ok(connection)
  connection.nowMs -= 600_000
  connection.close({ replyCode: 320, text: 'for a test' })
  await client.expect(0, 'connection.close')
  await new Promise((resolve) => setTimeout(resolve, 600))
  assert.equal(connection.state, 'closing')
  client.send(0, { type: 'connection.close-ok' })
  await client.ended()
})

test('update-secret is taken', async (t) => {
  const client = await (await serve(t)).open()
  const method = { type: 'connection.update-secret', newSecret: Buffer.from('x'), reason: 'why not' } as const
  await client.call(0, method, 'connection.update-secret-ok')
})
