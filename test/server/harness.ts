/** A broker of the test's own, and raw clients of it with a channel open. */
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after } from 'node:test'
import type { TestContext } from 'node:test'
import type { BrokerOptions, RunningBroker } from '../../src/server/index.ts'
import { startBroker } from '../../src/server/index.ts'
import { RawClient } from '../interop/raw-client.ts'
import type { RawClientOptions } from '../interop/raw-client.ts'

export interface TestServer {
  readonly broker: RunningBroker
  /** A connection that is open, with channel 1. */
  open(options?: Partial<RawClientOptions>): Promise<RawClient>
  /** A connection on which nothing was said yet. */
  connect(options?: Partial<RawClientOptions>): Promise<RawClient>
}

export async function serve(t: TestContext, options: BrokerOptions = {}): Promise<TestServer> {
  const broker = await startBroker({ port: 0, ...options })
  const clients: RawClient[] = []
  t.after(async () => {
    for (const client of clients) client.destroy()
    broker.broker.invariants()
    await broker.close()
  })
  const { port } = broker
  const keep = (client: RawClient): RawClient => {
    clients.push(client)
    return client
  }
  return {
    broker,
    connect: async (wanted) => keep(await RawClient.connect({ port, ...wanted })),
    open: async (wanted) => {
      const client = keep(await RawClient.open({ port, ...wanted }))
      await client.call(1, { type: 'channel.open' }, 'channel.open-ok')
      return client
    },
  }
}

const folders: string[] = []
// Hooks of a test run in the order they were made: one of its own would go for a folder that its broker still writes to.
after(async () => {
  for (const folder of folders) await rm(folder, { recursive: true, force: true })
})

/** A data folder that goes when all tests of its file have ended. */
export async function newFolder(): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'millrace-server-'))
  folders.push(folder)
  return folder
}

/** Resolves when it holds, looking each turn; the test's own timeout ends a wait for what never comes. */
export async function until(holds: () => boolean): Promise<void> {
  while (!holds()) await new Promise((resolve) => setTimeout(resolve, 2))
}

/** A body as text. */
export function textOf(arrival: { readonly body?: Uint8Array } | undefined): string {
  return Buffer.from(arrival?.body ?? []).toString()
}
