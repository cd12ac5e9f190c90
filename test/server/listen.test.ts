/** Where clients come in: TLS, certificates as logins, UNIX sockets, load balancers; and how many. */
import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { mkdtemp, rm } from 'node:fs/promises'
import { connect as connectSocket } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import type { TestContext } from 'node:test'
import { connect as connectTls } from 'node:tls'
import { connect, credentials } from 'amqplib'
import type { MillraceError } from '../../src/model/errors.ts'
import { startBroker } from '../../src/server/index.ts'
import type { RunningBroker } from '../../src/server/index.ts'
import { newFolder, serve, until } from './harness.ts'

/** A certificate authority, and certificates of it. */
function certificates(t: TestContext) {
  const folder = mkdtempSync(join(tmpdir(), 'millrace-tls-'))
  t.after(() => rmSync(folder, { recursive: true, force: true }))
  const openssl = (...argv: string[]) => execFileSync('openssl', argv, { cwd: folder, stdio: 'pipe' })
  const curve = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes']
  openssl('req', '-x509', ...curve, '-keyout', 'ca.key', '-out', 'ca.pem', '-subj', '/CN=test ca')
  const issue = (name: string) => {
    const files = ['-keyout', `${name}.key`, '-out', `${name}.csr`]
    openssl('req', ...curve, ...files, '-subj', `/CN=${name}`)
    const authority = ['-CA', 'ca.pem', '-CAkey', 'ca.key', '-CAcreateserial']
    openssl('x509', '-req', '-in', `${name}.csr`, ...authority, '-out', `${name}.pem`)
    return { cert: readFileSync(join(folder, `${name}.pem`)), key: readFileSync(join(folder, `${name}.key`)) }
  }
  return { ca: readFileSync(join(folder, 'ca.pem')), issue }
}

test('TLS: a client logs in with a password, or by its certificate (EXTERNAL)', async (t) => {
  const { ca, issue } = certificates(t)
  const tls = { ...issue('localhost'), ca, requestCert: true, rejectUnauthorized: false }
  await using broker = await startBroker({ port: 0, tls, users: { app: 'secret', guest: 'guest' } })
  assert.match(broker.url, /^amqps:\/\/app:secret@127\.0\.0\.1:\d+$/)
  const settings = { ca: [ca], servername: 'localhost' }
  await (await connect(broker.url, settings)).close()
  const url = broker.url.replace('app:secret@', '')
  const byName = { ...settings, ...issue('app'), credentials: credentials.external() }
  await (await connect(url, byName)).close()
  await assert.rejects(connect(url, { ...byName, ...issue('nobody') }), /ACCESS_REFUSED/)
  await assert.rejects(connect(url, { ...settings, credentials: credentials.external() }))
})

test('TLS: what is no TLS ends, and costs nobody else', async (t) => {
  const { ca, issue } = certificates(t)
  await using broker = await startBroker({ port: 0, tls: issue('localhost') })
  const socket = connectSocket(broker.port, '127.0.0.1')
  socket.on('error', () => undefined)
  socket.write('AMQP\0\0\x09\x01')
  await new Promise((resolve) => socket.once('close', resolve))
  const other = connectTls({ port: broker.port, host: '127.0.0.1', ca, servername: 'localhost' })
  await new Promise((resolve) => other.once('secureConnect', resolve))
  other.destroy()
})

test('a UNIX socket, beside the port', { skip: process.platform === 'win32' }, async (t) => {
  const socketPath = join(await newFolder(), 'amqp.sock')
  const { broker } = await serve(t, { socketPath })
  const socket = connectSocket(socketPath)
  socket.write('AMQP\0\0\x09\x01')
  const first = await new Promise<Buffer>((resolve) => socket.once('data', resolve))
  assert.equal(first[0], 1)
  const [connection] = broker.server.connections
  assert.equal(connection?.peer.name, 'unix -> unix')
  assert.equal(connection.peer.loopback, true)
  socket.destroy()
})

test(
  'a UNIX socket that a killed broker left is taken over, one in use is not',
  { skip: process.platform === 'win32' },
  async (t) => {
    const folder = mkdtempSync(join(tmpdir(), 'millrace-unix-'))
    t.after(() => rmSync(folder, { recursive: true, force: true }))
    const socketPath = join(folder, 'amqp.sock')
    const script = `require('net').createServer().listen(${JSON.stringify(socketPath)}, () => process.kill(process.pid, 'SIGKILL'))`
    assert.throws(() => execFileSync(process.execPath, ['-e', script], { stdio: 'ignore' }))
    await using broker = await startBroker({ port: 0, socketPath })
    await assert.rejects(startBroker({ port: 0, socketPath: broker.socketPath ?? '' }), {
      code: 'ADDRESS_UNUSABLE',
    })
  },
)

test('PROXY: the connection is that of whom the load balancer names, byte by byte too', async (t) => {
  const server = await serve(t, { proxyProtocol: true })
  const header = 'PROXY TCP4 192.0.2.7 192.0.2.1 4711 5672\r\n'
  const client = await server.connect()
  for (const byte of Buffer.from(header)) {
    client.sendBytes(Buffer.of(byte))
    await new Promise((resolve) => setImmediate(resolve))
  }
  client.writer.protocolHeader()
  client.flush()
  await client.expect(0, 'connection.start')
  const [connection] = server.broker.server.connections
  assert.deepEqual(
    [connection?.peer.address, connection?.peer.port, connection?.peer.loopback],
    ['192.0.2.7', 4711, false],
  )
  const without = await server.connect()
  without.writer.protocolHeader()
  without.flush()
  await without.ended()
})

test('PROXY with TLS: the header comes first, in the clear, as load balancers send it', async (t) => {
  const { ca, issue } = certificates(t)
  const server = await serve(t, { proxyProtocol: true, tls: issue('localhost'), users: { app: 'secret' } })
  const { port } = server.broker
  const raw = connectSocket(port, '127.0.0.1')
  raw.write('PROXY TCP4 192.0.2.7 192.0.2.1 4711 5671\r\n')
  const socket = connectTls({ socket: raw, ca, servername: 'localhost' })
  socket.write('AMQP\0\0\x09\x01')
  const first = await new Promise<Buffer>((resolve) => socket.once('data', resolve))
  assert.equal(first[0], 1)
  const [connection] = server.broker.server.connections
  assert.deepEqual([connection?.peer.address, connection?.peer.port], ['192.0.2.7', 4711])
  raw.resetAndDestroy()
  await until(() => server.broker.server.connections.size === 0)
})

test('a peer that was gone before it was accepted is nobody, and not somebody on this machine', async (t) => {
  const { broker } = await serve(t)
  let accepted = 0
  const accept = broker.server.accept.bind(broker.server)
  t.mock.method(broker.server, 'accept', (...given: Parameters<typeof accept>) => {
    accepted += 1
    accept(...given)
  })
  // The broker hears of the connection when its peer has reset it.
  const script = `
    const socket = require('net').connect(${broker.port}, '127.0.0.1', () => {
      socket.write('AMQP\\0\\0\\x09\\x01', () => socket.resetAndDestroy())
    })`
  execFileSync(process.execPath, ['-e', script])
  const later = connectSocket(broker.port, '127.0.0.1')
  await until(() => broker.server.connections.size === 1)
  assert.equal(accepted, 1)
  later.destroy()
})

test('guest comes from this machine only', async (t) => {
  const server = await serve(t, { proxyProtocol: true })
  const client = await server.connect()
  client.sendBytes(Buffer.from('PROXY TCP4 192.0.2.7 192.0.2.1 4711 5672\r\n'))
  await assert.rejects(client.handshake(), /403 ACCESS_REFUSED/)
})

test('more connections than the limit are closed at once, and there is room again when one goes', async (t) => {
  const server = await serve(t, { limits: { connections: 2 } })
  const first = await server.open()
  await server.open()
  const third = await server.connect()
  await third.ended()
  await first.close()
  await until(() => server.broker.server.connections.size === 1)
  await server.open()
})

test('an address that cannot be had is a typed error that says what to do, and nothing is left open', async (t) => {
  const { broker } = await serve(t)
  const users = { app: 'secret' }
  for (const [options, why] of [
    [{ port: broker.port }, /cannot listen on 127\.0\.0\.1:\d+: it is in use; stop the program/],
    [{ port: 0, webSocketPort: broker.port }, /it is in use/],
    [{ port: 0, host: '192.0.2.1', users }, /192\.0\.2\.1:0: that is no address of this machine/],
    [{ port: 0, host: 'nowhere.invalid', users }, /there is no host of that name|nowhere\.invalid/],
  ] as const) {
    await assert.rejects(startBroker(options), (error: MillraceError) => {
      assert.equal(error.code, 'ADDRESS_UNUSABLE')
      assert.match(error.message, why)
      assert.ok(error.cause instanceof Error)
      return true
    })
  }
})

test('certificates that are none, and origins without a port, are refused', async () => {
  const tls = { cert: 'no certificate', key: 'no key' }
  for (const options of [{ tls }, { webSocketOrigins: ['https://shop.example'] }]) {
    await assert.rejects(startBroker({ port: 0, ...options }), { code: 'INVALID_OPTION' })
  }
})

test('a limit that no client could be told of is refused', async () => {
  for (const limits of [
    { frameBytes: 4095 },
    { channels: 65_536 },
    { heartbeatSeconds: -1 },
    { connections: NaN },
  ])
    await assert.rejects(startBroker({ port: 0, limits }), { code: 'INVALID_OPTION' })
})

test('a host that others reach is refused while guest is the only user', async () => {
  await assert.rejects(startBroker({ port: 0, host: '0.0.0.0' }), { code: 'INVALID_OPTION' })
  await using broker = await startBroker({ port: 0, host: '0.0.0.0', users: { app: 'secret' } })
  assert.equal(broker.host, '0.0.0.0')
  await (await connect(broker.url)).close()
})

test('a client that never gets through TLS ends with the broker', async (t) => {
  const { issue } = certificates(t)
  const broker = await startBroker({ port: 0, tls: issue('localhost') })
  const socket = connectSocket(broker.port, '127.0.0.1')
  await new Promise((resolve) => socket.once('connect', resolve))
  const ended = new Promise((resolve) => socket.once('close', resolve))
  socket.on('error', () => undefined)
  await broker.close()
  await ended
})

test('a virtual host that a later start makes is open to guest while guest is alone, and to nobody else', async (t) => {
  const data = await mkdtemp(join(tmpdir(), 'millrace-vhosts-'))
  t.after(() => rm(data, { recursive: true, force: true }))
  const start = (vhosts: string[], users?: Record<string, string>) =>
    startBroker({ port: 0, data, vhosts, ...(users && { users }) })
  const mayEnter = (broker: RunningBroker, vhost: string) =>
    broker.broker.engine.access.mayEnter({ user: 'guest', vhost })
  {
    await using broker = await start(['a'])
    broker.broker.engine.access.revoke({ user: 'guest', vhost: 'a' })
  }
  {
    await using broker = await start(['a', 'b'])
    assert.deepEqual([mayEnter(broker, 'a'), mayEnter(broker, 'b')], [false, true])
  }
  await using broker = await start(['c'], { other: 'secret' })
  assert.equal(mayEnter(broker, 'c'), false)
})
