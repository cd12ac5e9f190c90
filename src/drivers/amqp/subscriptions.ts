/** The consumers of one driver: begun, brought back on each new connection, drained and closed together. */
import { MillraceError } from '../../model/errors.ts'
import type { ConsumeOptions, Consumer, Delivery } from '../../client/driver.ts'
import type { Connection } from './amqplib.ts'
import type { Settlements } from './delivery.ts'
import { isConnectionLoss } from './failure.ts'
import type { Link } from './link.ts'
import { Subscription } from './subscription.ts'

export interface SubscriptionsSetup {
  readonly link: Link
  readonly settlements: Settlements
  /** The server is Millrace's own broker. */
  readonly native: boolean
  /** One consumer at a time works on this queue. */
  readonly isSingle: (queue: string) => boolean
  readonly queueExists: (queue: string) => Promise<boolean>
  readonly onQueueGone: (queue: string) => void
  /** Nobody here consumes it any more. */
  readonly onUnused: (queue: string) => void
  /** A consumer could not be brought back. */
  readonly onRefused: (error: Error) => void
}

export class Subscriptions {
  readonly #setup: SubscriptionsSetup
  /** Those that a new connection brings back. */
  readonly #active = new Set<Subscription>()
  /** Cancelled ones, with something still to be settled. */
  readonly #leaving = new Set<Subscription>()
  #drained: (() => void) | undefined

  constructor(setup: SubscriptionsSetup) {
    this.#setup = setup
  }

  /** @throws MillraceError NOT_FOUND, ACCESS_REFUSED, RESOURCE_LOCKED; ClosedError */
  async begin(queue: string, options: ConsumeOptions, sink: (delivery: Delivery) => void): Promise<Consumer> {
    const { link, settlements, native, isSingle, queueExists, onQueueGone, onUnused } = this.#setup
    const subscription = new Subscription({
      queue,
      options,
      sink,
      alone: options.exclusive === true || isSingle(queue),
      settlements,
      native,
      connection: () => link.whenUp(),
      queueExists: () => queueExists(queue),
      onQueueGone: () => onQueueGone(queue),
      onEnded: (ended) => {
        this.#active.delete(ended)
        this.#leaving.add(ended)
        if (![...this.#active].some((other) => other.queue === queue)) onUnused(queue)
      },
      onIdle: () => this.#idle(),
    })
    await this.#beginOn(subscription)
    return subscription
  }

  /** On a new connection. Those that the server refuses for good end; their owners are told. */
  async restore(connection: Connection): Promise<void> {
    for (const subscription of this.#active) await subscription.resume(connection)
  }

  /** The connection is gone, and with it everything that was delivered. */
  down(cause: Error): void {
    for (const subscription of [...this.#active, ...this.#leaving]) subscription.down(cause)
    this.#leaving.clear()
  }

  /** No more deliveries; waits up to so long for what is unsettled. */
  async cancelAll(drainMs: number): Promise<void> {
    await Promise.all([...this.#active].map((subscription) => subscription.cancel().catch(() => undefined)))
    if (drainMs <= 0 || this.#unsettled() === 0) return
    let timer: NodeJS.Timeout | undefined
    const late = new Promise<void>((resolve) => (timer = setTimeout(resolve, drainMs)))
    await Promise.race([late, new Promise<void>((resolve) => (this.#drained = resolve))])
    clearTimeout(timer)
  }

  /** Hands back what is left. */
  async close(): Promise<void> {
    const all = [...this.#active, ...this.#leaving]
    this.#active.clear()
    this.#leaving.clear()
    await Promise.all(all.map((subscription) => subscription.close()))
  }

  /** A connection that is lost on the way is waited for: the next one may do. */
  async #beginOn(subscription: Subscription): Promise<void> {
    for (;;) {
      const connection = await this.#setup.link.whenUp()
      try {
        await subscription.begin(connection)
        this.#active.add(subscription)
        if (this.#setup.link.connection !== connection) this.#bringBack(subscription)
        return
      } catch (error) {
        if (!(error instanceof MillraceError) || !isConnectionLoss(error)) throw error
        await new Promise((resolve) => setImmediate(resolve))
        if (this.#setup.link.connection === connection) throw error
      }
    }
  }

  /** The connection went just after it began, when it was not known here yet. */
  #bringBack(subscription: Subscription): void {
    subscription.down(new MillraceError('CONNECTION_LOST', 'The connection was lost'))
    this.#setup.link
      .whenUp()
      .then((connection) => subscription.resume(connection))
      .catch(this.#setup.onRefused)
  }

  #unsettled(): number {
    let count = 0
    for (const subscription of [...this.#active, ...this.#leaving]) count += subscription.unsettled
    return count
  }

  #idle(): void {
    for (const subscription of this.#leaving)
      if (subscription.unsettled === 0) this.#leaving.delete(subscription)
    if (this.#unsettled() === 0) this.#drained?.()
  }
}
