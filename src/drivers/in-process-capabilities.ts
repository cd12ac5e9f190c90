/** What the engines in this process can do. */
import type { Broker } from '../broker/broker.ts'
import type { Capabilities } from '../client/driver.ts'

export function capabilities(name: string, broker: Broker): Capabilities {
  const native = { level: 'native' } as const
  return {
    durable: name === 'file',
    delay: { ...native, maximumMs: broker.limits.maximumDelayMs, resolutionMs: 1 },
    cancelDelayed: native,
    retry: native,
    release: native,
    deduplication: { ...native, maximumWindowMs: broker.engine.limits.deduplicationWindowMs },
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
    atomicSettle: true,
    leaseMs: 0,
    maximumBodyBytes: broker.limits.maximumBodyBytes,
  }
}
