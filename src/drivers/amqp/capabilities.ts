/** What RabbitMQ can do, by itself or with what this driver makes of it. */
import type { Capabilities } from '../../client/driver.ts'
import type { Delays } from './delays.ts'
import { maximumNativeDelayMs, maximumWindowMs } from './native.ts'
import type { QueueType } from './queue-arguments.ts'

export interface Server {
  /** It is Millrace's own broker, which says that it is a RabbitMQ and, beside it, who it really is. */
  readonly isMillrace: boolean
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
  const isMillrace = typeof properties['millrace'] === 'string'
  return { isMillrace, product, version, queueType: asked === 'quorum' && has ? 'quorum' : 'classic' }
}

/** @param delays what this driver makes of the server's queues; undefined where the server holds messages back by itself */
export function capabilitiesOf(
  server: Server,
  delays: Delays | undefined,
  maximumBodyBytes: number,
): Capabilities {
  const native = { level: 'native' } as const
  const emulated = { level: 'emulated' } as const
  const none = { level: 'none' } as const
  const { isMillrace } = server
  const settling = isMillrace ? native : emulated
  return {
    durable: true,
    delay:
      delays === undefined
        ? { ...native, maximumMs: maximumNativeDelayMs, resolutionMs: 1 }
        : { ...emulated, maximumMs: delays.maximumMs, resolutionMs: 1_000 },
    cancelDelayed: none,
    retry: settling,
    release: settling,
    deduplication: isMillrace ? { ...native, maximumWindowMs } : { ...none, maximumWindowMs: 0 },
    priority: { ...native, maximum: 255 },
    ordering: isMillrace ? native : none,
    expiry: native,
    maxLength: native,
    singleActiveConsumer: native,
    exclusiveConsumer: hasExclusiveConsumers(server) ? native : none,
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

/** Quorum queues of RabbitMQ let a second consumer in beside an exclusive one. */
export function hasExclusiveConsumers(server: Server): boolean {
  return server.isMillrace || server.queueType === 'classic'
}

function text(value: unknown): string {
  return typeof value === 'string' ? value : ''
}
