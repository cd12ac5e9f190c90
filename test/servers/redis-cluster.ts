/** A Redis Cluster of the test's own: three masters that cover all slots, and as many replicas of each as are asked for. */
import { setTimeout as delay } from 'node:timers/promises'
import { freePort } from './free-port.ts'
import { RedisServer } from './redis.ts'
import type { RedisOptions } from './redis.ts'

const slots = 16_384
const masters = 3
const patienceMs = 100_000
/** Nodes that stood still while they met have forgotten it, and nobody but us tells them again. */
const meetAgainMs = 3_000

interface Node {
  readonly server: RedisServer
  /** Where the nodes speak to each other. */
  readonly busPort: number
}

export class RedisCluster {
  readonly #nodes: Node[]

  private constructor(nodes: Node[]) {
    this.#nodes = nodes
  }

  static async start({
    replicas = 0,
    ...options
  }: RedisOptions & { replicas?: number } = {}): Promise<RedisCluster> {
    const nodes: Node[] = []
    for (let index = 0; index < masters * (1 + replicas); index += 1) nodes.push(await startNode(options))
    const cluster = new RedisCluster(nodes)
    try {
      await cluster.#form()
    } catch (error) {
      await cluster.close()
      throw error
    }
    return cluster
  }

  /** The masters, as it began, then their replicas. */
  get servers(): readonly RedisServer[] {
    return this.#nodes.map(({ server }) => server)
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

  /** A node more, without slots. */
  async grow(options: RedisOptions = {}): Promise<RedisServer> {
    const node = await startNode(options)
    this.#nodes.push(node)
    await this.#meet([node])
    await this.whenWhole()
    return node.server
  }

  /** Resolves when every node agrees that the cluster is whole. */
  async whenWhole(): Promise<void> {
    await this.#eventually('cluster_state:ok')
    await this.#eventually(`cluster_known_nodes:${this.#nodes.length}`)
  }

  async #form(): Promise<void> {
    const { servers } = this
    for (const [index, server] of servers.slice(0, masters).entries()) {
      const from = Math.floor((slots * index) / masters)
      const to = Math.floor((slots * (index + 1)) / masters) - 1
      await server.command('CLUSTER', 'ADDSLOTSRANGE', String(from), String(to))
      await server.command('CLUSTER', 'SET-CONFIG-EPOCH', String(index + 1))
    }
    await this.#meet(this.#nodes.slice(1))
    for (const [index, server] of servers.entries()) {
      if (index < masters) continue
      const master = await nodeId(servers[index % masters] as RedisServer)
      // As soon as it knows that node by its name.
      await until('a replica', async () => {
        return (await server.command('CLUSTER', 'REPLICATE', master)) === 'OK'
      })
    }
    await this.whenWhole()
    for (const server of servers.slice(masters))
      await until('a replica in step', async () => {
        return (await server.info('master_link_status')) === 'up'
      })
  }

  /** Resolves when all know of each other. */
  async #meet(nodes: readonly Node[]): Promise<void> {
    let askedMs = -Infinity
    await until('nodes that know each other', async () => {
      if (performance.now() - askedMs > meetAgainMs) {
        askedMs = performance.now()
        for (const { server, busPort } of nodes) {
          const words = ['127.0.0.1', String(server.port), String(busPort)]
          await this.servers[0]?.command('CLUSTER', 'MEET', ...words)
        }
      }
      for (const server of this.servers) {
        const known = String(await server.command('CLUSTER', 'NODES'))
          .trim()
          .split('\n')
        if (known.length !== this.#nodes.length || known.some((line) => line.includes('handshake')))
          return false
      }
      return true
    })
  }

  async #eventually(text: string): Promise<void> {
    for (const server of this.servers) {
      await until(text, async () => String(await server.command('CLUSTER', 'INFO')).includes(text))
    }
  }
}

export async function nodeId(server: RedisServer): Promise<string> {
  return String(await server.command('CLUSTER', 'MYID'))
}

async function startNode(options: RedisOptions): Promise<Node> {
  const busPort = await freePort()
  const server = await RedisServer.start({
    ...options,
    settings: {
      'cluster-enabled': 'yes',
      'cluster-port': String(busPort),
      'cluster-node-timeout': '1000',
      ...options.settings,
    },
  })
  return { server, busPort }
}

async function until(what: string, holds: () => Promise<boolean>): Promise<void> {
  const startMs = performance.now()
  while (!(await holds().catch(() => false))) {
    if (performance.now() - startMs > patienceMs) throw new Error(`no cluster: ${what}`)
    await delay(50)
  }
}
