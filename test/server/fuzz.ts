/**
 * Mutated conversations for the server: a sound handshake, then methods with whatever fields, on whatever channels, some of
 * them broken. Whatever comes, the connection is refused as the protocol has it, nothing is an error of our own, the broker's
 * state stays sound, and nothing is left when the peer has gone. One seed gives one run.
 */
import assert from 'node:assert/strict'
import { Duplex } from 'node:stream'
import { setImmediate as nextTurn } from 'node:timers/promises'
import { openBroker } from '../../src/broker/open-broker.ts'
import { Server } from '../../src/server/server.ts'
import { brokerAuthenticator, ensureGuest } from '../../src/server/users.ts'
import { FrameWriter, encodeProperties, methodFields, methodIds } from '../../src/wire/index.ts'
import type { Method, MethodName } from '../../src/wire/index.ts'
import { Random } from '../std/random.ts'

export interface FuzzResult {
  readonly rounds: number
  /** Connections that were still open when their peer went. */
  readonly survived: number
}

/** Throws with seed and round where a rule is broken. */
export async function fuzzServer(seed: number, rounds: number): Promise<FuzzResult> {
  const random = new Random(seed)
  const broker = await openBroker({ limits: { memoryBytes: 4 * 1024 * 1024 } })
  broker.ensureVhost('/')
  ensureGuest(broker, { all: ['/'], made: [] })
  const failures: string[] = []
  const log = {
    debug() {},
    info() {},
    warn() {},
    error: (_: string, fields?: object) => void failures.push(JSON.stringify(fields)),
  }
  const authenticator = brokerAuthenticator(broker)
  const server = new Server({ broker, authenticator, log, version: '0', limits: { messageBytes: 1_000_000 } })
  let survived = 0
  try {
    for (let round = 0; round < rounds; round += 1) {
      const socket = new FakeSocket()
      server.accept(socket, peer)
      const stream = conversation(random)
      const [connection] = [...server.connections].slice(-1)
      for (const chunk of chunksOf(stream, random)) {
        socket.push(chunk)
        await nextTurn()
      }
      if (connection?.state === 'running') survived += 1
      assert.deepEqual(failures, [], `seed ${seed}, round ${round}`)
      if (random.below(4) > 0) socket.destroy()
      if (round % 64 === 0) await settle(server, broker.gate.shut)
      if (round % 64 === 0) broker.invariants()
    }
    for (const connection of server.connections) connection.destroy()
    await nextTurn()
    await nextTurn()
    broker.invariants()
    assert.equal(server.connections.size, 0)
    assert.equal(broker.engine.sessions.size, 0)
  } finally {
    await server.close()
    await broker.close()
  }
  return { rounds, survived }
}

/** Makes room, so that rounds do not only meet a shut gate. */
async function settle(server: Server, full: boolean): Promise<void> {
  const { engine } = server.broker
  if (full) for (const queue of engine.vhost('/').queues.values()) engine.purge(queue, 'all')
  for (const connection of server.connections) connection.destroy()
  server.broker.wake()
  await nextTurn()
  await nextTurn()
}

const peer = { address: '127.0.0.1', port: 1, loopback: true, certificateName: undefined, name: 'fuzz' }

/** A peer that reads everything. */
class FakeSocket extends Duplex {
  override _read(): void {}
  override _write(_chunk: Buffer, _encoding: string, done: () => void): void {
    done()
  }
  setNoDelay(): this {
    return this
  }
}

const names = [
  '',
  'q',
  'q2',
  'e',
  'amq.topic',
  'amq.direct',
  'amq.rabbitmq.reply-to',
  'a\r\nb',
  'x'.repeat(255),
]
const words = [...names, 'direct', 'fanout', 'topic', 'headers', 'x-delayed-message', '#', 'a.*']

const handshake: readonly Method[] = [
  {
    type: 'connection.start-ok',
    clientProperties: { capabilities: { 'connection.blocked': true } },
    mechanism: 'PLAIN',
    response: Buffer.from('\0guest\0guest'),
    locale: 'en_US',
  },
  { type: 'connection.tune-ok', channelMax: 4, frameMax: 8192, heartbeat: 0 },
  { type: 'connection.open', virtualHost: '/' },
]

function conversation(random: Random): Buffer {
  const writer = new FrameWriter({ frameMaxBytes: 8192 })
  writer.protocolHeader()
  for (const method of handshake) writer.method(0, method)
  const soundBytes = writer.bytes
  writer.method(1, { type: 'channel.open' })
  if (random.below(2) === 0) writer.method(1, { type: 'confirm.select', nowait: true })
  for (let count = random.below(12); count > 0; count -= 1) speak(writer, random)
  let stream: Buffer = Buffer.concat(writer.take())
  if (random.below(2) === 0) stream = change(stream, soundBytes, random)
  return stream
}

function speak(writer: FrameWriter, random: Random): void {
  const channel = random.below(8) === 0 ? random.below(4) : 1
  const kind = random.below(6)
  if (kind === 0) {
    const method = {
      exchange: random.pick(names),
      routingKey: random.pick(words),
      mandatory: random.below(2) === 0,
    }
    const body = 'b'.repeat(random.pick([0, 1, 100, 20_000]))
    writer.content(
      channel,
      { type: 'basic.publish', immediate: random.below(30) === 0, ...method },
      properties(random),
      body,
    )
  } else if (kind === 1) {
    writer.frame(
      1 + random.below(3),
      channel,
      Buffer.from(Array.from({ length: random.below(30) }, () => random.below(256))),
    )
  } else {
    const common = [
      'queue.declare',
      'queue.bind',
      'basic.consume',
      'basic.get',
      'basic.ack',
      'exchange.declare',
      'tx.select',
      'tx.commit',
      'basic.cancel',
      'channel.close',
      'channel.open',
    ] as const
    const name = kind === 2 ? random.pick(Object.keys(methodIds) as MethodName[]) : random.pick(common)
    writer.method(channel, anyMethod(name, random))
  }
}

function properties(random: Random): Uint8Array {
  return encodeProperties({
    ...(random.below(2) === 0 && { deliveryMode: 2 }),
    ...(random.below(3) === 0 && {
      expiration: random.pick(['0', '1', '1000', 'x', '-1', '99999999999999999999']),
    }),
    ...(random.below(3) === 0 && { replyTo: random.pick(names) }),
    ...(random.below(8) === 0 && { userId: random.pick(['guest', 'other']) }),
    ...(random.below(3) === 0 && { priority: random.below(256) }),
    ...(random.below(3) === 0 && {
      headers: random.pick<Record<string, never> | object>([
        {},
        { CC: ['q'], BCC: ['q2'] },
        { CC: 1 },
        { 'x-delay': 1 },
        { 'x-death': [] },
        { 'x-death': 'no' },
        { a: { b: [null, 1.5, true] } },
      ]) as never,
    }),
  })
}

/** Fields of the right types, and mostly of no sense. */
function anyMethod(name: MethodName, random: Random): Method {
  const method: Record<string, unknown> = { type: name }
  for (const [field, kind] of Object.entries(methodFields[name] as Record<string, string>)) {
    if (kind.startsWith('reserved')) continue
    if (kind === 'bit') method[field] = random.below(field === 'nowait' || field === 'active' ? 8 : 3) === 0
    else if (kind === 'table') method[field] = table(random)
    else if (kind === 'longstr') method[field] = Buffer.from(random.pick(words))
    else if (kind === 'shortstr' || kind === 'longtext') method[field] = random.pick(words)
    else method[field] = random.pick([0, 1, 2, 3, 200])
  }
  if (name === 'basic.publish' || name === 'basic.return') return method as Method
  return method as Method
}

function table(random: Random): Record<string, unknown> {
  const values = [
    0,
    1,
    -1,
    5,
    1.5,
    true,
    null,
    'q',
    'drop-head',
    'reject-publish',
    'quorum',
    'classic',
    'stream',
    'direct',
    [1],
    { a: 1 },
  ]
  const keys = [
    'x-message-ttl',
    'x-expires',
    'x-max-length',
    'x-max-length-bytes',
    'x-overflow',
    'x-max-priority',
    'x-queue-type',
    'x-dead-letter-exchange',
    'x-dead-letter-routing-key',
    'x-single-active-consumer',
    'x-priority',
    'x-match',
    'alternate-exchange',
    'x-delayed-type',
    'x-delivery-limit',
  ]
  const made: Record<string, unknown> = {}
  for (let count = random.below(3); count > 0; count -= 1) made[random.pick(keys)] = random.pick(values)
  return made
}

/** Breaks something behind the handshake. */
function change(stream: Buffer, from: number, random: Random): Buffer {
  const at = from + random.below(stream.length - from)
  const end = Math.min(stream.length, at + 1 + random.below(16))
  switch (random.below(5)) {
    case 0:
      stream[at] = random.below(256)
      return stream
    case 1:
      return Buffer.concat([stream.subarray(0, at), stream.subarray(end)])
    case 2:
      return Buffer.concat([stream.subarray(0, end), stream.subarray(at)])
    case 3:
      if (at + 4 <= stream.length)
        stream.writeUInt32BE(random.pick([0, 0xff, 0x7fff, 0x7fffffff, 0xffffffff]), at)
      return stream
    default:
      return stream.subarray(0, at)
  }
}

function chunksOf(stream: Buffer, random: Random): Buffer[] {
  if (random.below(2) === 0) return [stream]
  const at = random.below(stream.length)
  return [stream.subarray(0, at), stream.subarray(at)].filter((chunk) => chunk.length > 0)
}
