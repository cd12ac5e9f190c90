/**
 * One delivery. What only acknowledges goes straight to the server; what brings the message back is published again to
 * its queue alone and confirmed before the old copy is acknowledged: a crash between the two is a duplicate, never a
 * loss.
 */
import type { Delivery, Outcome, Outgoing, Received } from '../../client/driver.ts'
import type { Channel, Incoming } from './amqplib.ts'
import { attemptOf, ReceivedMessage } from './envelope.ts'
import { isClosedChannel } from './failure.ts'
import { settleNatively, settlementOf } from './native.ts'

/** What happens to a message besides its acknowledgement. */
export interface Settlements {
  /** Publishes beside the settlement. Rejects where one is refused. */
  publish(out: readonly Outgoing[]): Promise<void>
  /** The message again into its queue, with this attempt. False: it could not be stored. */
  again(again: { incoming: Incoming; queue: string; attempt: number; delayMs: number }): Promise<boolean>
  /**
   * The message to its queue's dead-letter exchange. False: this connection knows of none, and the server is to
   * decide.
   */
  dead(dead: {
    incoming: Incoming
    queue: string
    attempt: number
    reason: string
    error: string | undefined
  }): Promise<boolean>
}

/** What the deliveries of one channel share. */
export interface Hold {
  readonly queue: string
  readonly channel: Channel
  readonly lost: AbortSignal
  readonly settlements: Settlements
  /** The server does by itself what a delivery is settled with. */
  readonly native: boolean
  settled(consumerTag: string): void
}

const no = Promise.resolve(false)
const yes = Promise.resolve(true)

export class AmqpDelivery extends ReceivedMessage implements Delivery {
  readonly #incoming: Incoming
  readonly #hold: Hold
  readonly attempt: number
  #settled = false

  constructor(incoming: Incoming, hold: Hold) {
    super(incoming)
    this.#incoming = incoming
    this.#hold = hold
    this.attempt = attemptOf(incoming)
  }

  get message(): Received {
    return this
  }

  get queue(): string {
    return this.#hold.queue
  }

  get token(): string {
    return `${this.#consumerTag}.${this.#incoming.fields.deliveryTag}`
  }

  get lost(): AbortSignal {
    return this.#hold.lost
  }

  settle(outcome: Outcome, out?: readonly Outgoing[]): Promise<boolean> {
    if (this.#settled || this.#hold.lost.aborted) return no
    this.#settled = true
    if (out === undefined && outcome.type === 'ack') return this.#acknowledge() ? yes : no
    return this.#settle(outcome, out)
  }

  /** The hold lasts as long as the connection: there is nothing to extend. */
  extend(): Promise<boolean> {
    return Promise.resolve(!this.#settled && !this.#hold.lost.aborted)
  }

  async #settle(outcome: Outcome, out: readonly Outgoing[] | undefined): Promise<boolean> {
    try {
      if (out !== undefined) await this.#hold.settlements.publish(out)
      if (outcome.type === 'ack') return this.#acknowledge()
      if (this.#hold.native) {
        const settlement = settlementOf(this.#incoming, outcome)
        return this.#tell((channel) => settleNatively(channel, settlement))
      }
      if (await this.#moved(outcome)) return this.#acknowledge()
    } catch (error) {
      // Nothing was settled: it may be tried again.
      this.#settled = false
      throw error
    }
    return this.#reject(outcome.type !== 'dead')
  }

  /** True where nothing but the acknowledgement is left to do. */
  async #moved(outcome: Exclude<Outcome, { type: 'ack' }>): Promise<boolean> {
    const { settlements, queue } = this.#hold
    const incoming = this.#incoming
    switch (outcome.type) {
      case 'retry':
        return settlements.again({ incoming, queue, attempt: this.attempt + 1, delayMs: outcome.delayMs })
      case 'release':
        return settlements.again({ incoming, queue, attempt: this.attempt, delayMs: outcome.delayMs ?? 0 })
      case 'dead': {
        const { reason, error } = outcome
        return settlements.dead({ incoming, queue, attempt: this.attempt, reason, error })
      }
    }
  }

  #acknowledge(): boolean {
    return this.#tell((channel, incoming) => channel.ack(incoming))
  }

  #reject(requeue: boolean): boolean {
    return this.#tell((channel, incoming) => channel.nack(incoming, false, requeue))
  }

  #tell(say: (channel: Channel, incoming: Incoming) => void): boolean {
    const { channel, lost } = this.#hold
    if (lost.aborted) return false
    try {
      say(channel, this.#incoming)
    } catch (error) {
      if (isClosedChannel(error)) return false
      throw error
    }
    this.#hold.settled(this.#consumerTag)
    return true
  }

  get #consumerTag(): string {
    return (this.#incoming.fields as { consumerTag?: string }).consumerTag ?? ''
  }
}
