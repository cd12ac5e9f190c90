/** Handshakes that go well or wrong in many ways, at a real RabbitMQ and at Millrace's broker: both say the same. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { setTimeout as delay } from 'node:timers/promises'
import { isDeepStrictEqual } from 'node:util'
import { startBroker } from '../../src/server/index.ts'
import { encodeFieldTable } from '../../src/wire/index.ts'
import { findRabbitMq, RabbitMq } from '../servers/rabbitmq.ts'
import { RawClient } from './raw-client.ts'

type Script = (client: RawClient) => Promise<unknown>

/**
 * RabbitMQ hangs up three seconds after a login that failed, so that guessing is slow. A machine that stands still takes
 * longer: what differs then, or is alike against what is known, is asked again, with more time.
 */
const settlings = [4_000, 8_000, 16_000]

async function start(client: RawClient): Promise<void> {
  client.writer.protocolHeader()
  client.flush()
  await client.expect(0, 'connection.start')
}

interface Login {
  readonly mechanism?: string
  readonly response?: Uint8Array
  readonly tells?: boolean
}

function startOk(client: RawClient, login: Login = {}): void {
  const { mechanism = 'PLAIN', response = Buffer.from('\0guest\0guest'), tells = true } = login
  client.send(0, {
    type: 'connection.start-ok',
    clientProperties: { capabilities: { authentication_failure_close: tells } },
    mechanism,
    response,
    locale: 'en_US',
  })
}

async function tuned(client: RawClient): Promise<void> {
  await start(client)
  startOk(client)
  await client.expect(0, 'connection.tune')
}

/** Up to open-ok. */
async function opened(
  client: RawClient,
  tune: { channelMax?: number; frameMax?: number } = {},
): Promise<void> {
  await tuned(client)
  client.send(0, { type: 'connection.tune-ok', channelMax: 2047, frameMax: 131_072, ...tune })
  client.send(0, { type: 'connection.open', virtualHost: '/' })
  await client.next(0, 'connection.open-ok')
}

function login(what: Login): Script {
  return async (client) => {
    await start(client)
    startOk(client, what)
  }
}

function tune(what: { channelMax?: number; frameMax?: number; heartbeat?: number }): Script {
  return async (client) => {
    await tuned(client)
    client.send(0, { type: 'connection.tune-ok', channelMax: 2047, frameMax: 131_072, ...what })
    client.send(0, { type: 'connection.open', virtualHost: '/' })
  }
}

function bytes(text: string): Script {
  return async (client) => client.sendBytes(Buffer.from(text, 'latin1'))
}

const amqplain = encodeFieldTable({ LOGIN: 'guest', PASSWORD: 'guest' }).subarray(4)

const scripts: Readonly<Record<string, Script>> = {
  'AMQP 0-9-1': bytes('AMQP\0\0\x09\x01'),
  'AMQP 0-9': bytes('AMQP\x01\x01\0\x09'),
  'AMQP 0-8': bytes('AMQP\x01\x01\x08\0'),
  'AMQP 1.0': bytes('AMQP\0\x01\0\0'),
  'AMQP 1.0 with SASL': bytes('AMQP\x03\x01\0\0'),
  HTTP: bytes('GET / HTTP/1.1\r\n\r\n'),
  'a frame in place of the header': bytes('\x08\0\0\0\0\0\0\xce'),
  PLAIN: login({}),
  'PLAIN with an authorisation': login({ response: Buffer.from('other\0guest\0guest') }),
  'PLAIN without parts': login({ response: Buffer.from('guest') }),
  'PLAIN with a wrong password': login({ response: Buffer.from('\0guest\0wrong') }),
  'PLAIN with a wrong password, not to be told': login({
    response: Buffer.from('\0guest\0wrong'),
    tells: false,
  }),
  'PLAIN of an unknown user': login({ response: Buffer.from('\0nobody\0guest') }),
  AMQPLAIN: login({ mechanism: 'AMQPLAIN', response: amqplain }),
  'AMQPLAIN of nothing': login({ mechanism: 'AMQPLAIN', response: Buffer.alloc(0) }),
  'a mechanism that was not offered': login({ mechanism: 'KERBEROS' }),
  'a mechanism that was not offered, not to be told': login({ mechanism: 'KERBEROS', tells: false }),
  'open before the login': async (client) => {
    await start(client)
    client.send(0, { type: 'connection.open', virtualHost: '/' })
  },
  'tune-ok before the login': async (client) => {
    await start(client)
    client.send(0, { type: 'connection.tune-ok' })
  },
  'a channel before the login': async (client) => {
    await start(client)
    client.send(1, { type: 'channel.open' })
  },
  'close before the login': async (client) => {
    await start(client)
    client.send(0, { type: 'connection.close', replyCode: 200 })
  },
  'a login twice': async (client) => {
    await tuned(client)
    startOk(client)
  },
  'open before tune-ok': async (client) => {
    await tuned(client)
    client.send(0, { type: 'connection.open', virtualHost: '/' })
  },
  'a heartbeat before tune-ok': async (client) => {
    await tuned(client)
    client.sendFrame(8, 0, Buffer.alloc(0))
    client.send(0, { type: 'connection.tune-ok', channelMax: 5, frameMax: 4096 })
    client.send(0, { type: 'connection.open', virtualHost: '/' })
  },
  'close in place of tune-ok': async (client) => {
    await tuned(client)
    client.send(0, { type: 'connection.close', replyCode: 200 })
  },
  'all agreed': tune({}),
  'no limits at all': tune({ channelMax: 0, frameMax: 0 }),
  'the least of everything': tune({ channelMax: 1, frameMax: 4096, heartbeat: 1 }),
  'a frame-max that is too small': tune({ frameMax: 4095 }),
  'a frame-max beyond the offer': tune({ frameMax: 131_073 }),
  'a channel-max beyond the offer': tune({ channelMax: 2048 }),
  'a heartbeat beyond the offer': tune({ heartbeat: 600 }),
  'a channel before open': async (client) => {
    await tuned(client)
    client.send(0, { type: 'connection.tune-ok', channelMax: 5, frameMax: 4096 })
    client.send(1, { type: 'channel.open' })
  },
  'a virtual host that is not there': async (client) => {
    await tuned(client)
    client.send(0, { type: 'connection.tune-ok', channelMax: 5, frameMax: 4096 })
    client.send(0, { type: 'connection.open', virtualHost: 'nowhere' })
  },
  'a virtual host of no name': async (client) => {
    await tuned(client)
    client.send(0, { type: 'connection.tune-ok', channelMax: 5, frameMax: 4096 })
    client.send(0, { type: 'connection.open', virtualHost: '' })
  },
  'open twice': async (client) => {
    await opened(client)
    client.send(0, { type: 'connection.open', virtualHost: '/' })
  },
  'more channels than agreed': async (client) => {
    await opened(client, { channelMax: 2 })
    for (const channel of [1, 2, 3]) client.send(channel, { type: 'channel.open' })
  },
  'a channel number beyond what was agreed': async (client) => {
    await opened(client, { channelMax: 2 })
    client.send(3, { type: 'channel.open' })
  },
  'a frame larger than agreed': async (client) => {
    await opened(client, { frameMax: 4096 })
    await client.call(1, { type: 'channel.open' })
    client.sendFrame(3, 1, Buffer.alloc(4089, 'x'))
  },
  'the largest frame agreed, at the wrong time': async (client) => {
    await opened(client, { frameMax: 4096 })
    await client.call(1, { type: 'channel.open' })
    client.sendFrame(3, 1, Buffer.alloc(4088, 'x'))
  },
  'another byte in place of the end of a frame': async (client) => {
    await opened(client)
    client.sendBytes(Buffer.from([8, 0, 0, 0, 0, 0, 0, 1]))
  },
  'a frame of no kind': async (client) => {
    await opened(client)
    client.sendFrame(7, 0, Buffer.from('abc'))
  },
  'update-secret': async (client) => {
    await opened(client)
    client.send(0, { type: 'connection.update-secret', newSecret: Buffer.from('guest'), reason: 'due' })
  },
  close: async (client) => {
    await opened(client)
    client.send(0, { type: 'connection.close', replyCode: 200 })
  },
}

/** Where they differ on purpose; docs/compatibility.md says it to users. */
const known: Readonly<Record<string, string>> = {
  'AMQP 0-8': 'RabbitMQ 3 speaks 0-8 too',
  'PLAIN with an authorisation': 'the identity to act as is ignored here, RabbitMQ hangs up',
  'PLAIN without parts': 'a client is told (403), RabbitMQ hangs up',
  'AMQPLAIN of nothing': 'a client is told (403), RabbitMQ hangs up',
  'close before the login': 'close-ok, RabbitMQ hangs up',
  'close in place of tune-ok': 'close-ok, RabbitMQ hangs up',
  'no limits at all': 'a client is told (530), RabbitMQ hangs up',
  'a frame-max that is too small': 'a client is told (530), RabbitMQ hangs up',
  'a frame-max beyond the offer': 'a client is told (530), RabbitMQ hangs up',
  'a channel-max beyond the offer': 'a client is told (530), RabbitMQ hangs up',
  'more channels than agreed': 'RabbitMQ does not say in its 530 that it was channel.open',
}

type Answers = Record<string, unknown>

/** What was said, without what is the server's own. */
async function answersOf(script: Script, port: number, settleMs: number): Promise<unknown> {
  const client = await RawClient.connect({ port, timeoutMs: settleMs })
  await script(client).catch((error: unknown) => assert.match(String(error), /expected|waited/))
  await delay(settleMs)
  const said = client.received.map((arrival) => {
    if (arrival.type === 'socket closed') return arrival.type
    if (arrival.type !== 'connection.start') return arrival
    const { mechanisms, ...rest } = arrival
    return { ...rest, mechanisms: mechanisms.split(' ').sort(), serverProperties: {} }
  })
  // After a close the server may wait for the client to hang up.
  const closed = said.some((arrival) => typeof arrival === 'object' && arrival.type === 'connection.close-ok')
  const compared = closed ? said.filter((arrival) => arrival !== 'socket closed') : said
  client.destroy()
  return { said: compared, header: client.refusal?.toString('hex') }
}

async function answersOfAll(port: number, names: readonly string[], settleMs: number): Promise<Answers> {
  const entries = names.map(async (name) => {
    const script = scripts[name]
    assert.ok(script)
    return [name, await answersOf(script, port, settleMs)] as const
  })
  return Object.fromEntries(await Promise.all(entries))
}

const { skip } = await findRabbitMq()

test('handshakes are answered as by RabbitMQ', { skip }, async (t) => {
  await using rabbit = await RabbitMq.start()
  await using broker = await startBroker({ port: 0 })
  const expected: Answers = {}
  const actual: Answers = {}
  let names = Object.keys(scripts)
  for (const settleMs of settlings) {
    const [rabbits, ours] = await Promise.all(
      [rabbit.port, broker.port].map((port) => answersOfAll(port, names, settleMs)),
    )
    Object.assign(expected, rabbits)
    Object.assign(actual, ours)
    names = names.filter(
      (name) => (known[name] === undefined) !== isDeepStrictEqual(actual[name], expected[name]),
    )
    if (names.length === 0) break
  }
  for (const name of Object.keys(scripts)) {
    if (known[name] === undefined) await t.test(name, () => assert.deepEqual(actual[name], expected[name]))
    else await t.test(name, () => assert.notDeepEqual(actual[name], expected[name]))
  }
})
