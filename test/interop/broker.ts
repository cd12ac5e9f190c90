/**
 * The broker that the interop tests talk to: Millrace's, or a real RabbitMQ, by which the tests themselves are tested:
 *
 *   MILLRACE_INTEROP=rabbitmq node scripts/test.mjs interop
 */
import { connect } from 'amqplib'
import { RabbitMq } from '../servers/rabbitmq.ts'

export interface TestBroker extends AsyncDisposable {
  readonly product: 'Millrace' | 'RabbitMQ'
  readonly port: number
  /** With the user guest, who may do everything. */
  url(vhost?: string): string
  addVhost(name: string): Promise<void>
  /** Blocks publishers as memory that runs short does, or lets them go on. */
  block(on: boolean): Promise<void>
}

export interface TestBrokerOptions {
  /** Of Millrace: its memory for messages. */
  readonly memoryBytes?: number
}

export const onRabbitMq = process.env['MILLRACE_INTEROP'] === 'rabbitmq'

export async function startTestBroker(options: TestBrokerOptions = {}): Promise<TestBroker> {
  return onRabbitMq ? await rabbitMq() : await millrace(options)
}

async function rabbitMq(): Promise<TestBroker> {
  const server = await RabbitMq.start()
  return {
    product: 'RabbitMQ',
    port: server.port,
    url: (vhost) => server.url(vhost),
    addVhost: (name) => server.addVhost(name),
    block: (on) => server.memoryAlarm(on),
    [Symbol.asyncDispose]: () => server.close(),
  }
}

async function millrace({ memoryBytes }: TestBrokerOptions): Promise<TestBroker> {
  const { startBroker } = await import('../../src/server/index.ts')
  const limits = memoryBytes === undefined ? {} : { memoryBytes }
  const running = await startBroker({ port: 0, engine: { limits } })
  const { port, broker } = running
  const url = (vhost = '/'): string => `amqp://guest:guest@127.0.0.1:${port}/${encodeURIComponent(vhost)}`
  return {
    product: 'Millrace',
    port,
    url,
    addVhost(name) {
      broker.ensureVhost(name)
      const everything = { configure: '.*', write: '.*', read: '.*' }
      broker.engine.access.grant({ user: 'guest', vhost: name, ...everything })
      return broker.whenDurable()
    },
    block: (on) => (on ? fill(url(), memoryBytes ?? 0) : empty(url())),
    [Symbol.asyncDispose]: () => running.close(),
  }
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
