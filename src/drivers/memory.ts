/** `memory:` the engine in this process, nothing on disk. */
import { randomUUID } from 'node:crypto'
import { Broker } from '../broker/broker.ts'
import { ValidationError } from '../model/errors.ts'
import type { Driver } from '../client/driver.ts'
import { InProcessDriver } from './in-process.ts'
import type { Lease } from './in-process.ts'
import { SharedBrokers } from './shared-brokers.ts'

const named = new SharedBrokers()

/**
 * @param url `memory:` for an engine of its own, `memory:name` for one shared by all of this process; it and its messages
 *   go when the last connection to it closes
 * @throws ValidationError INVALID_URL
 */
export function memoryDriver(url: string, options: { namespace?: string } = {}): Driver {
  const match = /^memory:(?:\/\/)?([^/?#]*)$/i.exec(url)
  if (match === null) {
    throw new ValidationError(
      'INVALID_URL',
      `'${url}' is no engine in memory; write 'memory:' or 'memory:name'`,
    )
  }
  const name = match[1] as string
  const open = (): Promise<Broker> => Promise.resolve(new Broker({ newName: randomUUID }))
  const acquire = name === '' ? () => own(open) : () => named.acquire(name, open)
  return new InProcessDriver({ name: 'memory', namespace: options.namespace, acquire })
}

async function own(open: () => Promise<Broker>): Promise<Lease> {
  const broker = await open()
  return { broker, release: () => broker.close() }
}
