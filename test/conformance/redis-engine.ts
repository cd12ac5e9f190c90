/**
 * `redis://` under test, on one server and on a cluster. The servers serve a whole run, a key prefix and a user each test; every
 * driver has proxies of its own, by which its network is harmed and nobody else's.
 */
import type { Driver } from '../../src/client/driver.ts'
import type { ConnectOptions, EngineUnderTest, Harness, NetworkHooks } from '../../src/conformance/index.ts'
import { redisDriver } from '../../src/drivers/redis/redis.ts'
import { Proxy } from '../servers/proxy.ts'
import { RedisCluster } from '../servers/redis-cluster.ts'
import { RedisServer } from '../servers/redis.ts'
import { stepClock } from './step-clock.ts'

/** One server, or the nodes of a cluster. */
interface Site {
  readonly servers: readonly RedisServer[]
  readonly isCluster: boolean
  /** Resolves when they serve again. */
  whenReady(): Promise<void>
  close(): Promise<void>
}

let shared: Promise<Site> | undefined
let worlds = 0

export const redisEngine = engineOn('redis', async () => {
  const server = await RedisServer.start({ sync: 'always', users: true })
  return {
    servers: [server],
    isCluster: false,
    whenReady: () => Promise.resolve(),
    close: () => server.close(),
  }
})

export const redisClusterEngine = engineOn('redis: on a cluster', async () => {
  const cluster = await RedisCluster.start({ sync: 'always', users: true })
  return {
    servers: cluster.servers,
    isCluster: true,
    whenReady: () => cluster.whenWhole(),
    close: () => cluster.close(),
  }
})

function engineOn(name: string, start: () => Promise<Site>): EngineUnderTest {
  return {
    name,
    create: async () => {
      const harness = new RedisHarness(await (shared ??= start()))
      await harness.prepare()
      return harness
    },
  }
}

/** Ends the servers of the run. */
export async function stopRedis(): Promise<void> {
  const site = await shared
  shared = undefined
  await site?.close()
}

const heartbeatMs = 3_000
/** So long that a machine which stands still for two seconds renews it in time, and so short that ten of them are within a test. */
const leaseMs = 4_000

class RedisHarness implements Harness {
  readonly #site: Site
  readonly #name = `world-${(worlds += 1)}`
  /** Of each driver, one for each server. */
  readonly #proxies = new Map<Driver, readonly Proxy[]>()
  readonly #clock = stepClock()
  readonly network: NetworkHooks

  constructor(site: Site) {
    this.#site = site
    this.network = {
      heartbeatMs,
      freeze: async (driver) => this.#proxiesOf(driver).forEach((proxy) => proxy.freeze()),
      cut: async (driver) => this.#proxiesOf(driver).forEach((proxy) => proxy.cut()),
      heal: async (driver) => this.#proxiesOf(driver).forEach((proxy) => proxy.heal()),
      loseTopology: () => this.#forget(),
      revoke: () => this.#everywhere('ACL', 'DELUSER', this.#name),
      connectSkewed: async (skewMs) => {
        await this.#clock.step(skewMs)
        return this.connect()
      },
    }
  }

  /** The user of this world, who may use its keys alone. */
  async prepare(): Promise<void> {
    const name = this.#name
    await this.#everywhere(
      'ACL',
      'SETUSER',
      name,
      'reset',
      'resetchannels',
      'on',
      '>secret',
      `~${name}:*`,
      `&${name}:*`,
      '+@all',
    )
    await this.#everywhere('ACL', 'SAVE')
  }

  async connect({ namespace }: ConnectOptions = {}): Promise<Driver> {
    const { servers, isCluster } = this.#site
    const proxies = await Promise.all(servers.map(({ port }) => Proxy.start({ port })))
    const settings = `prefix=${this.#name}&lease=${leaseMs}&heartbeat=${heartbeatMs}&connection_timeout=20000`
    const url = `redis://${this.#name}:secret@127.0.0.1:${servers[0]?.port}?${settings}`
    const driver = redisDriver(isCluster ? `${url}&cluster=yes` : url, {
      ...(namespace !== undefined && { namespace }),
      addressMap: ({ host, port }) => {
        const index = servers.findIndex((server) => server.port === port)
        return { host, port: proxies[index]?.port ?? port }
      },
    })
    this.#proxies.set(driver, proxies)
    const close = driver.close.bind(driver)
    // A test that counts sockets, or looks at memory, opens and closes many.
    driver.close = async (options) => {
      await close(options)
      for (const proxy of proxies) await proxy.close()
      this.#proxies.delete(driver)
    }
    return driver
  }

  async restart(): Promise<void> {
    await Promise.all(this.#site.servers.map((server) => server.restart()))
    await this.#site.whenReady()
  }

  async crash(): Promise<void> {
    await Promise.all(this.#site.servers.map((server) => server.kill()))
    await Promise.all(this.#site.servers.map((server) => server.boot()))
    await this.#site.whenReady()
  }

  async kill(driver: Driver): Promise<void> {
    for (const proxy of this.#proxiesOf(driver)) proxy.cut()
  }

  /** Redis refuses writes for want of memory as it does for want of disk. */
  async diskFull(full: boolean): Promise<void> {
    await this.#everywhere('CONFIG', 'SET', 'maxmemory', full ? '1' : '0')
  }

  async dispose(): Promise<void> {
    this.#clock.restore()
    for (const proxies of this.#proxies.values()) for (const proxy of proxies) await proxy.close()
    await this.#everywhere('CONFIG', 'SET', 'maxmemory', '0')
    await this.#forget()
    await this.#everywhere('ACL', 'DELUSER', this.#name)
  }

  async #forget(): Promise<void> {
    const script =
      "local keys = redis.call('KEYS', ARGV[1]) for _, key in ipairs(keys) do redis.call('UNLINK', key) end return #keys"
    await this.#everywhere('EVAL', script, '0', `${this.#name}:*`)
  }

  async #everywhere(...words: readonly string[]): Promise<void> {
    await Promise.all(this.#site.servers.map((server) => server.command(...words)))
  }

  #proxiesOf(driver: Driver): readonly Proxy[] {
    const proxies = this.#proxies.get(driver)
    if (proxies === undefined) throw new Error('this harness did not make that driver')
    return proxies
  }
}
