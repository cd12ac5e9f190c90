/**
 * `amqp://` on Millrace's own broker under test: as on RabbitMQ, one server serves the whole run, in a process of its own
 * that can be killed.
 */
import type { Driver } from '../../src/client/driver.ts'
import type { ConnectOptions, EngineUnderTest, Harness, NetworkHooks } from '../../src/conformance/index.ts'
import { amqpDriver } from '../../src/drivers/amqp/amqp.ts'
import { MillraceServer } from '../servers/millrace.ts'
import { Proxy } from '../servers/proxy.ts'
import { stepClock } from './step-clock.ts'

let shared: Promise<MillraceServer> | undefined
let worlds = 0

export const millraceEngine: EngineUnderTest = {
  name: 'amqp: on Millrace',
  create: async () => new MillraceHarness(await (shared ??= MillraceServer.start())),
}

/** Ends the server of the run. */
export async function stopMillrace(): Promise<void> {
  const server = await shared
  shared = undefined
  await server?.close()
}

/** Short, for one rule waits until it is missed, and so long that a machine which stands still for a while misses none. */
const heartbeatSeconds = 3

class MillraceHarness implements Harness {
  readonly #server: MillraceServer
  readonly #name = `world-${(worlds += 1)}`
  readonly #vhosts = new Set<string>()
  readonly #proxies = new Map<Driver, Proxy>()
  readonly #clock = stepClock()
  readonly network: NetworkHooks

  constructor(server: MillraceServer) {
    this.#server = server
    this.network = {
      heartbeatMs: heartbeatSeconds * 1_000,
      freeze: async (driver) => this.#proxy(driver).freeze(),
      cut: async (driver) => this.#proxy(driver).cut(),
      heal: async (driver) => this.#proxy(driver).heal(),
      loseTopology: async () => {
        for (const vhost of this.#vhosts) {
          await this.#server.deleteVhost(vhost)
          await this.#server.addVhost(vhost)
        }
      },
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
      await this.#server.addVhost(vhost)
    }
    const proxy = await Proxy.start({ port: this.#server.port })
    const driver = amqpDriver(`${this.#server.url(vhost, proxy.port)}?heartbeat=${heartbeatSeconds}`)
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
    await this.#server.stop()
    await this.#server.boot()
  }

  async crash(): Promise<void> {
    await this.#server.kill()
    await this.#server.boot()
  }

  async kill(driver: Driver): Promise<void> {
    this.#proxy(driver).cut()
  }

  async queueNames(options: ConnectOptions = {}): Promise<readonly string[]> {
    const names = await this.#server.queueNames(this.#vhostOf(options))
    return names.filter((name) => !name.startsWith('millrace.delay.'))
  }

  async dispose(): Promise<void> {
    this.#clock.restore()
    for (const proxy of this.#proxies.values()) await proxy.close()
    for (const vhost of this.#vhosts) await this.#server.deleteVhost(vhost)
  }

  #vhostOf({ namespace }: ConnectOptions): string {
    return namespace === undefined ? this.#name : `${this.#name}.${namespace}`
  }

  #proxy(driver: Driver): Proxy {
    const proxy = this.#proxies.get(driver)
    if (proxy === undefined) throw new Error('this harness did not make that driver')
    return proxy
  }
}
