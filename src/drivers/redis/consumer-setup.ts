/** What a consumer is made with, and whom it asks and tells. */
import type * as port from '../../client/driver.ts'
import type { Caller } from './caller.ts'
import type { Consumer } from './consumer.ts'
import type { Keys } from './keys.ts'

export interface ConsumerSetup {
  readonly caller: Caller
  readonly keys: Keys
  readonly driver: string
  readonly queue: string
  readonly options: port.ConsumeOptions
  readonly sink: (delivery: port.Delivery) => void
  readonly leaseMs: number
  /** A name that no consumer had before. */
  readonly newName: () => string
  readonly publish: (out: readonly port.Outgoing[]) => Promise<void>
  /** Brings what is on its way out of the queue to where it goes. */
  readonly ferry: () => Promise<void>
  /** The queue is not there. True where it was lost and is there again; false where somebody deleted it. */
  readonly onMissing: () => Promise<boolean>
  /** The name it is woken by has changed. */
  readonly onNamed: (consumer: Consumer, name: string, before: string | undefined) => void
  readonly onGone: (consumer: Consumer) => void
}
