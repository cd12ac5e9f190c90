/** What the engines in this process can do. */
import type { Broker } from '../broker/broker.ts'
import type { Capabilities } from '../client/driver.ts'
import { everything } from './capabilities.ts'

export function capabilities(name: string, { engine, limits }: Broker): Capabilities {
  const { maximumDelayMs, maximumBodyBytes } = limits
  return {
    ...everything({ maximumDelayMs, maximumWindowMs: engine.limits.deduplicationWindowMs }),
    durable: name === 'file',
    atomicSettle: true,
    leaseMs: 0,
    maximumBodyBytes,
  }
}
