/**
 * `redis://` under test. One server serves the whole run, a key prefix and a user each test; every driver has a proxy of its
 * own, by which its network is harmed and nobody else's.
 */
import type { Driver } from '../../src/client/driver.ts'
import type { ConnectOptions, EngineUnderTest, Harness, NetworkHooks } from '../../src/conformance/index.ts'
import { redisDriver } from '../../src/drivers/redis/redis.ts'
import { Proxy } from '../servers/proxy.ts'
import { RedisServer } from '../servers/redis.ts'
import { stepClock } from './step-clock.ts'

let shared: Promise<RedisServer> | undefined
let worlds = 0

export const redisEngine: EngineUnderTest = {
  name: 'redis',
  create: async () => {
    const server = await (shared ??= RedisServer.start({ sync: 'always', users: true }))
    const harness = new RedisHarness(server)
    await harness.prepare()
    return harness
  },
}

/** Ends the server of the run. */
export async function stopRedis(): Promise<void> {
  const server = await shared
  shared = undefined
  await server?.close()
}

const heartbeatMs = 1_000
/** Long enough that a busy machine renews it in time, and ten of them are within the patience of a run. */
const leaseMs = 1_500

class RedisHarness implements Harness {
  readonly #server: RedisServer
  readonly #name = `world-${(worlds += 1)}`
  readonly #proxies = new Map<Driver, Proxy>()
  readonly #clock = stepClock()
  readonly network: NetworkHooks

  constructor(server: RedisServer) {
    this.#server = server
    this.network = {
      heartbeatMs,
      freeze: async (driver) => this.#proxy(driver).freeze(),
      cut: async (driver) => this.#proxy(driver).cut(),
      heal: async (driver) => this.#proxy(driver).heal(),
      loseTopology: () => this.#forget(),
      revoke: async () => {
        await this.#server.command('ACL', 'DELUSER', this.#name)
      },
      connectSkewed: async (skewMs) => {
        await this.#clock.step(skewMs)
        return this.connect()
      },
    }
  }

  /** The user of this world, who may use its keys alone. */
  async prepare(): Promise<void> {
    await this.#server.command(
      'ACL',
      'SETUSER',
      this.#name,
      'reset',
      'on',
      '>secret',
      `~${this.#name}:*`,
      `&${this.#name}:*`,
      '+@all',
    )
    await this.#server.command('ACL', 'SAVE')
  }

  async connect({ namespace }: ConnectOptions = {}): Promise<Driver> {
    const proxy = await Proxy.start({ port: this.#server.port })
    const settings = `prefix=${this.#name}&lease=${leaseMs}&heartbeat=${heartbeatMs}`
    const driver = redisDriver(
      `redis://${this.#name}:secret@127.0.0.1:${proxy.port}?${settings}`,
      namespace === undefined ? {} : { namespace },
    )
    this.#proxies.set(driver, proxy)
    const close = driver.close.bind(driver)
    // A test that counts sockets opens and closes many.
    driver.close = async (options) => {
      await close(options)
      await proxy.close()
    }
    return driver
  }

  async restart(): Promise<void> {
    await this.#server.restart()
  }

  async crash(): Promise<void> {
    await this.#server.kill()
    await this.#server.boot()
  }

  async kill(driver: Driver): Promise<void> {
    this.#proxy(driver).cut()
  }

  /** Redis refuses writes for want of memory as it does for want of disk. */
  async diskFull(full: boolean): Promise<void> {
    await this.#server.command('CONFIG', 'SET', 'maxmemory', full ? '1' : '0')
  }

  async dispose(): Promise<void> {
    this.#clock.restore()
    for (const proxy of this.#proxies.values()) await proxy.close()
    await this.#server.command('CONFIG', 'SET', 'maxmemory', '0')
    await this.#forget()
    await this.#server.command('ACL', 'DELUSER', this.#name)
  }

  async #forget(): Promise<void> {
    const script =
      "local keys = redis.call('KEYS', ARGV[1]) for _, key in ipairs(keys) do redis.call('UNLINK', key) end return #keys"
    await this.#server.command('EVAL', script, '0', `${this.#name}:*`)
  }

  #proxy(driver: Driver): Proxy {
    const proxy = this.#proxies.get(driver)
    if (proxy === undefined) throw new Error('this harness did not make that driver')
    return proxy
  }
}
