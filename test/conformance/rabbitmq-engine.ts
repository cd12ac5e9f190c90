/**
 * `amqp://` on RabbitMQ under test. One server serves the whole run, a virtual host and a user each test; every driver has
 * a proxy of its own, by which its network is harmed and nobody else's.
 */
import { execFile } from 'node:child_process'
import { join } from 'node:path'
import { promisify } from 'node:util'
import type { Driver } from '../../src/client/driver.ts'
import type { ConnectOptions, EngineUnderTest, Harness, NetworkHooks } from '../../src/conformance/index.ts'
import { amqpDriver } from '../../src/drivers/amqp/amqp.ts'
import { needPython } from '../interop/clients.ts'
import { Proxy } from '../servers/proxy.ts'
import { RabbitMq } from '../servers/rabbitmq.ts'
import { stepClock } from './step-clock.ts'

let shared: Promise<RabbitMq> | undefined
let worlds = 0

export const rabbitMqEngine: EngineUnderTest = {
  name: 'amqp: on RabbitMQ',
  create: async () => {
    const server = await (shared ??= RabbitMq.start())
    await server.boot()
    return new RabbitMqHarness(server)
  },
}

/** Ends the server of the run. */
export async function stopRabbitMq(): Promise<void> {
  const server = await shared
  shared = undefined
  await server?.close()
}

/** Short, for one rule waits until it is missed, and so long that a machine which stands still for a while misses none. */
const heartbeatSeconds = 3
const foreignProgram = join(import.meta.dirname, 'foreign.py')
const pikaIsHere = (await needPython('pika')) === false

class RabbitMqHarness implements Harness {
  readonly #server: RabbitMq
  readonly #name = `world-${(worlds += 1)}`
  readonly #vhosts = new Set<string>()
  readonly #proxies = new Map<Driver, Proxy>()
  readonly #clock = stepClock()
  readonly network: NetworkHooks

  constructor(server: RabbitMq) {
    this.#server = server
    this.network = {
      heartbeatMs: heartbeatSeconds * 1_000,
      freeze: async (driver) => this.#proxy(driver).freeze(),
      cut: async (driver) => this.#proxy(driver).cut(),
      heal: async (driver) => this.#proxy(driver).heal(),
      loseTopology: async () => {
        for (const vhost of this.#vhosts) {
          await this.#server.deleteVhost(vhost)
          await this.#addVhost(vhost)
        }
      },
      ...(pikaIsHere && {
        foreign: (verb, queue, body = '') => this.#python(verb, queue, ...(verb === 'publish' ? [body] : [])),
      }),
      revoke: () => this.#server.deleteUser(this.#name),
      connectSkewed: async (skewMs) => {
        await this.#clock.step(skewMs)
        return this.connect()
      },
    }
  }

  async connect(options: ConnectOptions = {}): Promise<Driver> {
    const vhost = this.#vhostOf(options)
    if (!this.#vhosts.has(vhost)) {
      this.#vhosts.add(vhost)
      await this.#addVhost(vhost)
    }
    const proxy = await Proxy.start({ port: this.#server.port })
    const { port } = proxy
    const driver = amqpDriver(
      `amqp://${this.#name}:secret@127.0.0.1:${port}/${vhost}?heartbeat=${heartbeatSeconds}`,
    )
    this.#proxies.set(driver, proxy)
    const close = driver.close.bind(driver)
    // A test that counts sockets, or looks at memory, opens and closes many.
    driver.close = async (settings) => {
      await close(settings)
      await proxy.close()
      this.#proxies.delete(driver)
    }
    return driver
  }

  async restart(): Promise<void> {
    await this.#server.restartQuickly()
  }

  /**
   * RabbitMQ writes down twice a second which quorum queues there are: one younger than that is lost with all that was
   * confirmed in it. That is its own gap (docs/rabbitmq.md) and not what is under test.
   */
  async crash(): Promise<void> {
    await this.#server.evaluate('[dets:sync(Table) || Table <- dets:all()]')
    await this.#server.kill()
    await this.#server.boot()
  }

  async kill(driver: Driver): Promise<void> {
    this.#proxy(driver).cut()
  }

  /** RabbitMQ blocks publishers for want of memory as it does for want of disk. */
  async diskFull(full: boolean): Promise<void> {
    await this.#server.memoryAlarm(full)
  }

  async queueNames(options: ConnectOptions = {}): Promise<readonly string[]> {
    const names = await this.#server.queueNames(this.#vhostOf(options))
    return names.filter((name) => !name.startsWith('millrace.delay.'))
  }

  async dispose(): Promise<void> {
    this.#clock.restore()
    for (const proxy of this.#proxies.values()) await proxy.close()
    for (const vhost of this.#vhosts) await this.#server.deleteVhost(vhost)
    await this.#server.deleteUser(this.#name).catch(() => undefined)
  }

  #vhostOf({ namespace }: ConnectOptions): string {
    return namespace === undefined ? this.#name : `${this.#name}.${namespace}`
  }

  async #addVhost(vhost: string): Promise<void> {
    await this.#server.addVhost(vhost)
    await this.#server.addUser({ name: this.#name, password: 'secret', vhost })
  }

  async #python(...words: readonly string[]): Promise<string> {
    const url = `amqp://${this.#name}:secret@127.0.0.1:${this.#server.port}/${this.#name}`
    const { stdout } = await promisify(execFile)('/usr/bin/python3', [foreignProgram, url, ...words])
    return stdout
  }

  #proxy(driver: Driver): Proxy {
    const proxy = this.#proxies.get(driver)
    if (proxy === undefined) throw new Error('this harness did not make that driver')
    return proxy
  }
}
