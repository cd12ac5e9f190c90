/** What an engine can do that has queues of its own making: the same in this process and in Redis. */
import type { Capabilities } from '../client/driver.ts'

const native = { level: 'native' } as const

/** Bounds are the engine's. */
export function everything(limits: {
  maximumDelayMs: number
  maximumWindowMs: number
}): Omit<Capabilities, 'durable' | 'atomicSettle' | 'leaseMs' | 'maximumBodyBytes'> {
  return {
    delay: { ...native, maximumMs: limits.maximumDelayMs, resolutionMs: 1 },
    cancelDelayed: native,
    retry: native,
    release: native,
    deduplication: { ...native, maximumWindowMs: limits.maximumWindowMs },
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
  }
}
