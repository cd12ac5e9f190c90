/** What RabbitMQ can do, by itself or with what this driver makes of it. */
import type { Capabilities } from '../../client/driver.ts'
import { maximumDelayMs } from './delay-levels.ts'
import type { QueueType } from './queue-arguments.ts'

export interface Server {
  readonly product: string
  readonly version: string
  /** Queues of this type have all that is needed of them. */
  readonly queueType: QueueType
}

/** Quorum queues expire messages and dead-letter at least once from this version on. */
const quorumFrom = [3, 10] as const

/** @param asked the type of queues that the user wants */
export function serverOf(properties: Readonly<Record<string, unknown>>, asked: QueueType): Server {
  const product = text(properties['product'])
  const version = text(properties['version'])
  const [major = 0, minor = 0] = version.split('.').map(Number)
  const has = major > quorumFrom[0] || (major === quorumFrom[0] && minor >= quorumFrom[1])
  return { product, version, queueType: asked === 'quorum' && has ? 'quorum' : 'classic' }
}

export function rabbitMqCapabilities(server: Server, maximumBodyBytes: number): Capabilities {
  const native = { level: 'native' } as const
  const emulated = { level: 'emulated' } as const
  const none = { level: 'none' } as const
  return {
    durable: true,
    delay: { ...emulated, maximumMs: maximumDelayMs, resolutionMs: 1_000 },
    cancelDelayed: none,
    retry: emulated,
    release: emulated,
    deduplication: { ...none, maximumWindowMs: 0 },
    priority: { ...native, maximum: 255 },
    ordering: none,
    expiry: native,
    maxLength: native,
    singleActiveConsumer: native,
    exclusiveConsumer: server.queueType === 'classic' ? native : none,
    pause: none,
    browse: none,
    statistics: none,
    listing: none,
    exchangeBindings: native,
    alternateExchange: native,
    replay: none,
    atomicSettle: false,
    leaseMs: 0,
    maximumBodyBytes,
  }
}

function text(value: unknown): string {
  return typeof value === 'string' ? value : ''
}
