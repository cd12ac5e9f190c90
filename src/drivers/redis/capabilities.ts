/** What Redis can do with the function library. */
import type { Capabilities } from '../../client/driver.ts'
import { everything } from '../capabilities.ts'

const dayMs = 86_400_000

export const maximumDelayMs = 3_650 * dayMs
export const maximumWindowMs = 365 * dayMs

export interface ServerFacts {
  readonly version: string
  /** Of the append-only file. */
  readonly sync: 'always' | 'everysec' | 'none'
}

export function redisCapabilities(
  facts: ServerFacts,
  limits: { leaseMs: number; maximumBodyBytes: number },
): Capabilities {
  return {
    ...everything({ maximumDelayMs, maximumWindowMs }),
    durable: facts.sync !== 'none',
    atomicSettle: facts.sync === 'always',
    ...limits,
  }
}
