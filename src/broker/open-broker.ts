/** Opens a broker with its storage: a folder, or memory only. */
import { randomBytes } from 'node:crypto'
import { NodeDisk } from '../store/node-disk.ts'
import { Store } from '../store/store.ts'
import type { StoreOptions } from '../store/store.ts'
import { Broker } from './broker.ts'
import type { BrokerLimits } from './limits.ts'

export interface OpenBrokerOptions {
  /** The data folder, made where it is missing; none for memory only. */
  readonly folder?: string
  readonly store?: Partial<StoreOptions>
  readonly limits?: Partial<BrokerLimits>
}

/** Resolves when everything is recovered. Throws StoreError: DIRECTORY_LOCKED, FORMAT_TOO_NEW, STORE_FAILED. */
export async function openBroker(options: OpenBrokerOptions = {}): Promise<Broker> {
  const { folder, limits, store } = options
  const storage = folder === undefined ? undefined : await Store.open(new NodeDisk(folder), { ...store })
  return new Broker({
    newName,
    ...(storage !== undefined && { storage }),
    ...(limits !== undefined && { limits }),
  })
}

/** As RabbitMQ makes them: `amq.gen-JzTY20BRgKO-HjmUJj0wLg`. */
function newName(): string {
  return randomBytes(16).toString('base64url')
}
