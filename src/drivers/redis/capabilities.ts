/** What Redis can do with the function library. */
import type { Capabilities } from '../../client/driver.ts'

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
  const native = { level: 'native' } as const
  return {
    durable: facts.sync !== 'none',
    delay: { ...native, maximumMs: maximumDelayMs, resolutionMs: 1 },
    cancelDelayed: native,
    retry: native,
    release: native,
    deduplication: { ...native, maximumWindowMs },
    priority: { ...native, maximum: 255 },
    ordering: native,
    expiry: native,
    maxLength: native,
    singleActiveConsumer: native,
    exclusiveConsumer: native,
    pause: native,
    browse: native,
    statistics: native,
    listing: native,
    exchangeBindings: native,
    alternateExchange: native,
    replay: { level: 'none' },
    atomicSettle: facts.sync === 'always',
    ...limits,
  }
}
