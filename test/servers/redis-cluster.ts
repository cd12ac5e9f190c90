/** A Redis Cluster of the test's own: three masters, no replicas, all slots covered. */
import { setTimeout as delay } from 'node:timers/promises'
import { freePort } from './free-port.ts'
import { RedisServer } from './redis.ts'
import type { RedisOptions } from './redis.ts'

const slots = 16_384
const nodes = 3
const formTimeoutMs = 30_000

export class RedisCluster {
  readonly servers: readonly RedisServer[]

  /** Of the nodes, where they speak to each other. */
  readonly #busPorts: readonly number[]

  private constructor(servers: readonly RedisServer[], busPorts: readonly number[]) {
    this.servers = servers
    this.#busPorts = busPorts
  }

  static async start(options: RedisOptions = {}): Promise<RedisCluster> {
    const servers: RedisServer[] = []
    const busPorts: number[] = []
    for (let index = 0; index < nodes; index += 1) {
      const busPort = await freePort()
      busPorts.push(busPort)
      servers.push(
        await RedisServer.start({
          ...options,
          settings: {
            'cluster-enabled': 'yes',
            'cluster-port': String(busPort),
            'cluster-node-timeout': '2000',
            ...options.settings,
          },
        }),
      )
    }
    const cluster = new RedisCluster(servers, busPorts)
    try {
      await cluster.#form()
    } catch (error) {
      await cluster.close()
      throw error
    }
    return cluster
  }

  /** Any node serves to find the others. */
  url(): string {
    return this.servers[0]?.url() ?? ''
  }

  async close(): Promise<void> {
    for (const server of this.servers) await server.close()
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close()
  }

  /** Resolves when every node agrees that the cluster is whole. */
  async whenWhole(): Promise<void> {
    const startMs = performance.now()
    for (const server of this.servers) {
      for (;;) {
        const state = String(await server.command('CLUSTER', 'INFO').catch(() => ''))
        if (state.includes('cluster_state:ok') && state.includes(`cluster_known_nodes:${nodes}`)) break
        if (performance.now() - startMs > formTimeoutMs) throw new Error(`no cluster: ${state}`)
        await delay(20)
      }
    }
  }

  async #form(): Promise<void> {
    const [first] = this.servers
    for (const [index, server] of this.servers.entries()) {
      const from = Math.floor((slots * index) / nodes)
      const to = Math.floor((slots * (index + 1)) / nodes) - 1
      await server.command('CLUSTER', 'ADDSLOTSRANGE', String(from), String(to))
      await server.command('CLUSTER', 'SET-CONFIG-EPOCH', String(index + 1))
    }
    for (const [index, server] of this.servers.entries()) {
      const busPort = String(this.#busPorts[index])
      if (index > 0) await first?.command('CLUSTER', 'MEET', '127.0.0.1', String(server.port), busPort)
    }
    await this.whenWhole()
  }
}
