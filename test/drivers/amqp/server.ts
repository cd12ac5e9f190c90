/** One RabbitMQ for a file of tests; each test has a virtual host and, where it asks, a proxy in front of it. */
import { after } from 'node:test'
import { setTimeout as delay } from 'node:timers/promises'
import { connect } from '../../../src/index.ts'
import type { Client } from '../../../src/index.ts'
import { Proxy } from '../../servers/proxy.ts'
import { RabbitMq } from '../../servers/rabbitmq.ts'

export interface World {
  readonly server: RabbitMq
  readonly proxy: Proxy
  readonly vhost: string
  /** Through the proxy. */
  readonly url: string
  /** A client through the proxy, closed when the test ends. */
  readonly connect: (settings?: string) => Promise<Client>
}

let shared: Promise<RabbitMq> | undefined
let worlds = 0

/** Ends the file's server when its tests are over. */
export function endServerAfterTests(): void {
  after(async () => (await shared)?.close())
}

/** So short that a silent network is noticed; where nothing falls silent it would be lost to a machine that stands still. */
export const shortHeartbeatSeconds = 2

export async function withWorld(
  run: (world: World) => Promise<void>,
  { heartbeatSeconds = 60 } = {},
): Promise<void> {
  const server = await (shared ??= RabbitMq.start())
  const vhost = `world-${(worlds += 1)}`
  await server.addVhost(vhost)
  const proxy = await Proxy.start({ port: server.port })
  const clients: Client[] = []
  const url = `${server.url(vhost, proxy.port)}?heartbeat=${heartbeatSeconds}`
  const world: World = {
    server,
    proxy,
    vhost,
    url,
    connect: async (settings = '') => {
      const client = await connect(`${url}${settings}`)
      clients.push(client)
      return client
    },
  }
  try {
    await run(world)
  } finally {
    proxy.heal()
    for (const client of clients) await client.close({ timeout: 1_000 }).catch(() => undefined)
    await proxy.close()
    await server.deleteVhost(vhost)
  }
}

/** More than any of it takes, and less than a test has: so that it says what never came. */
const patienceMs = 100_000

/** Waits until it holds. */
export async function until(what: string, holds: () => boolean | Promise<boolean>): Promise<void> {
  const startMs = performance.now()
  while (!(await holds())) {
    if (performance.now() - startMs > patienceMs) throw new Error(`not within ${patienceMs} ms: ${what}`)
    await delay(10)
  }
}

/** The code of the error it rejects with, or 'none'. */
export function codeOf(promise: Promise<unknown>): Promise<string> {
  return promise.then(
    () => 'none',
    (error: unknown) => (error as { code: string }).code,
  )
}
