/**
 * The broker that the interop tests talk to: Millrace's, or a real RabbitMQ, by which the tests themselves are tested:
 *
 *   MILLRACE_INTEROP=rabbitmq node scripts/test.mjs interop
 */
import { readFile } from 'node:fs/promises'
import { connect } from 'amqplib'
import { defineUser } from '../../src/server/users.ts'
import { freePort } from '../servers/free-port.ts'
import { RabbitMq } from '../servers/rabbitmq.ts'

export interface TestBroker extends AsyncDisposable {
  readonly product: 'Millrace' | 'RabbitMQ'
  readonly port: number
  /** With the user guest, who may do everything. */
  url(vhost?: string): string
  addVhost(name: string): Promise<void>
  deleteVhost(name: string): Promise<void>
  /** Who may do everything in that virtual host. */
  addUser(user: { name: string; password: string; vhost: string }): Promise<void>
  deleteUser(name: string): Promise<void>
  /** Blocks publishers as memory that runs short does, or lets them go on. */
  block(on: boolean): Promise<void>
  /** Ends as an operator ends it. */
  stop(): Promise<void>
}

export interface TestBrokerOptions {
  /** Of Millrace: its memory for messages. */
  readonly memoryBytes?: number
  /** Speaks TLS, with these PEM files. */
  readonly tls?: { readonly certFile: string; readonly keyFile: string }
}

export const onRabbitMq = process.env['MILLRACE_INTEROP'] === 'rabbitmq'

export async function startTestBroker(options: TestBrokerOptions = {}): Promise<TestBroker> {
  return onRabbitMq ? await rabbitMq(options) : await millrace(options)
}

async function rabbitMq({ tls }: TestBrokerOptions): Promise<TestBroker> {
  const tlsPort = await freePort()
  const config = tls && [
    `listeners.ssl.default = ${tlsPort}`,
    `ssl_options.certfile = ${tls.certFile}`,
    `ssl_options.keyfile = ${tls.keyFile}`,
  ]
  const server = await RabbitMq.start(config && { config })
  const port = tls === undefined ? server.port : tlsPort
  return {
    product: 'RabbitMQ',
    port,
    url: (vhost) => server.url(vhost, port).replace('amqp:', schemeOf(tls)),
    addVhost: (name) => server.addVhost(name),
    deleteVhost: (name) => server.deleteVhost(name),
    addUser: (user) => server.addUser(user),
    deleteUser: (name) => server.deleteUser(name),
    block: (on) => server.memoryAlarm(on),
    stop: () => server.stop(),
    [Symbol.asyncDispose]: () => server.close(),
  }
}

async function millrace({ memoryBytes, tls }: TestBrokerOptions): Promise<TestBroker> {
  const { startBroker } = await import('../../src/server/index.ts')
  const limits = memoryBytes === undefined ? {} : { memoryBytes }
  const files = tls && { cert: await readFile(tls.certFile), key: await readFile(tls.keyFile) }
  const running = await startBroker({ port: 0, engine: { limits }, ...(files && { tls: files }) })
  const { port, broker } = running
  const { engine } = broker
  const everything = { configure: '.*', write: '.*', read: '.*' }
  const url = (vhost = '/'): string =>
    `${schemeOf(tls)}//guest:guest@127.0.0.1:${port}/${encodeURIComponent(vhost)}`
  return {
    product: 'Millrace',
    port,
    url,
    addVhost(name) {
      broker.ensureVhost(name)
      engine.access.grant({ user: 'guest', vhost: name, ...everything })
      return broker.whenDurable()
    },
    deleteVhost(name) {
      engine.deleteVhost(name, broker.nowMs())
      return broker.whenDurable()
    },
    addUser: ({ name, password, vhost }) =>
      defineUser(broker, { name, password, vhosts: [vhost], stored: false }),
    deleteUser(name) {
      engine.access.deleteUser(name)
      return broker.whenDurable()
    },
    block: (on) => (on ? fill(url(), memoryBytes ?? 0) : empty(url())),
    stop: () => running.close(),
    [Symbol.asyncDispose]: () => running.close(),
  }
}

function schemeOf(tls: unknown): string {
  return tls === undefined ? 'amqp:' : 'amqps:'
}

const fillerQueue = 'filler'

/** As many bytes as the broker may hold. */
async function fill(url: string, bytes: number): Promise<void> {
  const connection = await connect(url)
  const channel = await connection.createConfirmChannel()
  await channel.assertQueue(fillerQueue)
  channel.sendToQueue(fillerQueue, Buffer.alloc(bytes))
  await channel.waitForConfirms()
  await connection.close()
}

async function empty(url: string): Promise<void> {
  const connection = await connect(url)
  await (await connection.createChannel()).purgeQueue(fillerQueue)
  await connection.close()
}
