/** AMQP over WebSocket: the frames, the request, and a real client. */
import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { connect } from 'node:net'
import type { Socket } from 'node:net'
import { test } from 'node:test'
import { memoryBytes } from '../../src/conformance/publish-memory.ts'
import { startBroker } from '../../src/server/index.ts'
import { WebSocketError, WebSocketReader, frameHeader } from '../../src/server/websocket-reader.ts'
import { Random, seedOfRun } from '../std/random.ts'

/** A client's frame. */
function frame(opcode: number, payload: Buffer, options: { final?: boolean; mask?: Buffer } = {}): Buffer {
  const { final = true, mask = Buffer.from([1, 2, 3, 4]) } = options
  const header = frameHeader('binary', payload.length)
  header[0] = (final ? 0x80 : 0) | opcode
  header[1]! |= 0x80
  return Buffer.concat([header, mask, Buffer.from(payload.map((byte, index) => byte ^ mask[index & 3]!))])
}

function read(chunks: readonly Buffer[]) {
  const data: Buffer[] = []
  const told: string[] = []
  const reader = new WebSocketReader({
    data: (payload) => data.push(payload),
    ping: (payload) => told.push(`ping ${payload.toString()}`),
    close: () => told.push('close'),
  })
  for (const chunk of chunks) reader.push(chunk)
  return { data: Buffer.concat(data), told }
}

test('the stream comes through whatever its messages, parts and chunks are, with pings between', () => {
  const random = new Random(seedOfRun())
  for (let round = 0; round < 200; round += 1) {
    const parts = Array.from({ length: 1 + random.below(5) }, () =>
      Buffer.from(
        Array.from({ length: random.pick([0, 1, 5, 125, 126, 1000, 70_000]) }, () => random.below(256)),
      ),
    )
    const frames: Buffer[] = []
    parts.forEach((part, index) => {
      frames.push(frame(index === 0 ? 2 : 0, part, { final: index === parts.length - 1 }))
      if (random.below(2) === 0) frames.push(frame(9, Buffer.from(`${index}`)))
    })
    frames.push(frame(8, Buffer.from([3, 232])))
    const stream = Buffer.concat(frames)
    const chunks: Buffer[] = []
    for (let at = 0; at < stream.length;) {
      const end = at + 1 + random.below(random.pick([1, 20, 100_000]))
      chunks.push(stream.subarray(at, end))
      at = end
    }
    const { data, told } = read(chunks)
    assert.ok(data.equals(Buffer.concat(parts)))
    assert.equal(told.at(-1), 'close')
  }
})

test('what is no WebSocket for AMQP is refused', () => {
  const x = Buffer.from('x')
  const unmasked = Buffer.concat([frameHeader('binary', 1), x])
  const reserved = frame(2, x)
  reserved[0]! |= 0x40
  const endless = Buffer.from([0x82, 0xff, 0xff, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0])
  for (const [bytes, code] of [
    [unmasked, 1002],
    [reserved, 1002],
    [endless, 1002],
    [frame(1, x), 1003],
    [frame(0, x), 1002],
    [frame(3, x), 1002],
    [frame(11, x), 1002],
    [frame(9, Buffer.alloc(126)), 1002],
    [frame(9, x, { final: false }), 1002],
    [Buffer.concat([frame(2, x, { final: false }), frame(2, x)]), 1002],
  ] as const) {
    assert.throws(
      () => read([bytes]),
      (error) => error instanceof WebSocketError && error.closeCode === code,
    )
  }
})

/** A client as browsers use it; Node.js 20 has the WebSocket it wants behind a flag. */
const program = `
import { AMQPWebSocketClient } from '@cloudamqp/amqp-client'
const connection = await new AMQPWebSocketClient(process.argv[1], '/', 'guest', 'guest').connect()
const channel = await connection.channel()
const { name } = await channel.queueDeclare('', { exclusive: true })
const body = new Uint8Array(300_000).fill(7)
await channel.confirmSelect()
await channel.basicPublish('', name, body)
const message = await channel.basicGet(name)
if (message.bodySize !== body.length || !message.body.every((byte) => byte === 7)) throw new Error('another body')
await channel.queueDeclare('none', { passive: true }).then(() => process.exit(1), (error) => console.log(error.message))
await connection.close()
`

test('a browser client works as over TCP', async () => {
  await using broker = await startBroker({ port: 0, webSocketPort: 0 })
  assert.match(broker.webSocketUrl ?? '', /^ws:\/\/127\.0\.0\.1:\d+$/)
  const argv = ['--experimental-websocket', '--input-type=module', '-e', program, broker.webSocketUrl!]
  const child = spawn(process.execPath, argv, { cwd: import.meta.dirname })
  let said = ''
  child.stdout.on('data', (chunk: Buffer) => (said += chunk.toString()))
  child.stderr.on('data', (chunk: Buffer) => (said += chunk.toString()))
  // Its streams may end after it.
  const [code] = (await once(child, 'close')) as [number]
  assert.equal(code, 0, said)
  assert.match(said, /no queue 'none'/)
})

async function answerTo(port: number, request: string): Promise<string> {
  const socket = connect(port, '127.0.0.1')
  socket.write(request)
  let answer = ''
  socket.on('data', (chunk: Buffer) => (answer += chunk.toString('latin1')))
  await once(socket, 'close')
  return answer
}

test('a request that is none is refused; one that is, is answered as the RFC has it', async () => {
  const broker = await startBroker({ port: 0, webSocketPort: 0 })
  const port = Number(new URL(broker.webSocketUrl!).port)
  const plain = 'GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n'
  assert.match(await answerTo(port, plain), /^HTTP\/1\.1 426 /)
  const upgrade = 'GET / HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n'
  assert.match(await answerTo(port, `${upgrade}Sec-WebSocket-Version: 8\r\n\r\n`), /^HTTP\/1\.1 400 /)
  const key = 'Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n'
  const answered = answerTo(port, `${upgrade}${key}Sec-WebSocket-Protocol: mqtt, amqp\r\n\r\n`)
  while (broker.server.connections.size === 0) await new Promise((resolve) => setTimeout(resolve, 2))
  await broker.close()
  const answer = await answered
  assert.match(answer, /^HTTP\/1\.1 101 /)
  assert.match(answer, /Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK\+xOo=\r\n/)
  assert.match(answer, /Sec-WebSocket-Protocol: amqp\r\n/)
})

test('a web page is let in only where its origin is named', async () => {
  const key = 'Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n'
  const upgrade = 'GET / HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n'
  const asked = async (origin: string, webSocketOrigins?: readonly string[]): Promise<string> => {
    const options = { port: 0, webSocketPort: 0, ...(webSocketOrigins && { webSocketOrigins }) }
    await using broker = await startBroker(options)
    const socket = connect(Number(new URL(broker.webSocketUrl!).port), '127.0.0.1')
    socket.write(`${upgrade}${key}Origin: ${origin}\r\n\r\n`)
    const [answer] = (await once(socket, 'data')) as [Buffer]
    socket.destroy()
    return answer.toString('latin1', 9, 12)
  }
  assert.equal(await asked('https://evil.example'), '403')
  assert.equal(await asked('https://evil.example', ['https://good.example']), '403')
  assert.equal(await asked('https://good.example', ['https://good.example']), '101')
  assert.equal(await asked('https://good.example', ['HTTPS://Good.example:443/']), '101')
  assert.equal(await asked('null', ['*']), '101')
  await assert.rejects(asked('null', ['good.example']), { code: 'INVALID_OPTION' })
})

/** A socket on which the request was answered. */
async function upgraded(port: number, head = Buffer.alloc(0)): Promise<Socket> {
  const socket = connect(port, '127.0.0.1')
  const request =
    'GET / HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n' +
    'Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n'
  socket.write(Buffer.concat([Buffer.from(request), head]))
  await once(socket, 'data')
  return socket
}

test('who sends pings and does not read the answers costs no memory', async () => {
  // It is never done with its handshake.
  await using broker = await startBroker({
    port: 0,
    webSocketPort: 0,
    limits: { handshakeTimeoutMs: 600_000 },
  })
  const socket = await upgraded(Number(new URL(broker.webSocketUrl!).port))
  socket.pause()
  const pings = Buffer.concat(Array.from({ length: 8_000 }, () => frame(9, Buffer.alloc(125))))
  const beforeBytes = memoryBytes()
  for (let count = 0; count < 60; count += 1) {
    if (!socket.write(pings)) await once(socket, 'drain')
  }
  const grownBytes = memoryBytes() - beforeBytes
  assert.ok(grownBytes < 20_000_000, `${grownBytes} bytes for ${60 * pings.length} of pings`)
  socket.destroy()
})

test('what comes behind a close frame is ignored', async () => {
  await using broker = await startBroker({ port: 0, webSocketPort: 0, limits: { connections: 1 } })
  const port = Number(new URL(broker.webSocketUrl!).port)
  const holder = connect(broker.port, '127.0.0.1')
  while (broker.server.connections.size === 0) await new Promise((resolve) => setTimeout(resolve, 2))
  // One too many, so that nobody listens to its stream.
  const head = Buffer.concat([frame(8, Buffer.from([3, 232])), frame(2, Buffer.from('AMQP\0\0\x09\x01'))])
  const socket = await upgraded(port, head)
  // A reset is an end too: what came behind the close may not have been read.
  socket.on('error', () => undefined)
  await new Promise((resolve) => socket.once('close', resolve))
  holder.destroy()
})

test('a request that was refused ends, though the peer keeps its side open', async () => {
  await using broker = await startBroker({ port: 0, webSocketPort: 0 })
  const port = Number(new URL(broker.webSocketUrl!).port)
  const socket = connect({ port, host: '127.0.0.1', allowHalfOpen: true })
  socket.on('error', () => undefined)
  socket.write('GET / HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n')
  await once(socket.resume(), 'end')
  // The other side is gone: what is sent there is answered by a reset.
  const timer = setInterval(() => socket.write('x'), 5)
  await new Promise((resolve) => socket.once('close', resolve))
  clearInterval(timer)
})
