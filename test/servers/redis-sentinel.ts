/** A primary with replicas, and three sentinels that watch them and fail over within some four seconds. */
import { setTimeout as delay } from 'node:timers/promises'
import { RedisServer } from './redis.ts'
import type { RedisOptions } from './redis.ts'

const sentinelCount = 3
const name = 'mymaster'
/** Sentinels that stood still for two seconds trust nobody for half a minute. */
const patienceMs = 100_000

export class RedisSentinels {
  /** The first began as the primary. */
  readonly servers: readonly RedisServer[]
  readonly sentinels: readonly RedisServer[]

  private constructor(servers: readonly RedisServer[], watching: readonly RedisServer[]) {
    this.servers = servers
    this.sentinels = watching
  }

  static async start({
    replicas = 2,
    ...options
  }: RedisOptions & { replicas?: number } = {}): Promise<RedisSentinels> {
    const servers: RedisServer[] = []
    const watching: RedisServer[] = []
    const group = new RedisSentinels(servers, watching)
    try {
      const primary = await RedisServer.start(options)
      servers.push(primary)
      for (let index = 0; index < replicas; index += 1) {
        const replica = await RedisServer.start(options)
        servers.push(replica)
        await follow(replica, primary)
      }
      for (let index = 0; index < sentinelCount; index += 1) watching.push(await startSentinel(primary.port))
      await group.#whenWatching(replicas)
    } catch (error) {
      await group.close()
      throw error
    }
    return group
  }

  /** By the sentinels. */
  url(): string {
    const hosts = this.sentinels.map(({ port }) => `127.0.0.1:${port}`)
    return `redis+sentinel://${hosts.join(',')}/${name}`
  }

  /** The primary, as the sentinels say by now. */
  async primary(): Promise<RedisServer> {
    const reply = await this.sentinels[0]?.command('SENTINEL', 'GET-MASTER-ADDR-BY-NAME', name)
    const port = Number((reply as string[])[1])
    return this.servers.find((server) => server.port === port) as RedisServer
  }

  async close(): Promise<void> {
    for (const server of [...this.sentinels, ...this.servers]) await server.close()
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close()
  }

  /** Resolves when all know of each other, and of the replicas. */
  async #whenWatching(replicas: number): Promise<void> {
    for (const sentinel of this.sentinels) {
      await until('sentinels that know each other', async () => {
        const figures = (await sentinel.command('SENTINEL', 'MASTER', name)) as Record<string, string>
        return (
          figures['num-slaves'] === String(replicas) &&
          figures['num-other-sentinels'] === String(sentinelCount - 1)
        )
      })
    }
  }
}

/** It becomes a replica, and has all that the primary has. */
export async function follow(replica: RedisServer, primary: RedisServer): Promise<void> {
  await replica.command('REPLICAOF', '127.0.0.1', String(primary.port))
  await until('a replica in step', async () => (await replica.info('master_link_status')) === 'up')
}

function startSentinel(primaryPort: number): Promise<RedisServer> {
  return RedisServer.start({
    sentinel: [
      `sentinel monitor ${name} 127.0.0.1 ${primaryPort} 2`,
      `sentinel down-after-milliseconds ${name} 2500`,
      `sentinel failover-timeout ${name} 4000`,
    ],
  })
}

async function until(what: string, holds: () => Promise<boolean>): Promise<void> {
  const startMs = performance.now()
  while (!(await holds().catch(() => false))) {
    if (performance.now() - startMs > patienceMs) throw new Error(`not within ${patienceMs} ms: ${what}`)
    await delay(50)
  }
}
