/** A transaction of one session: what it published and settled since the last commit, none of it done yet. */
import { MillraceError } from '../model/errors.ts'
import type { Message } from '../model/message.ts'
import type { EngineDelivery } from './delivery.ts'
import type { Exchange } from './exchange.ts'
import type { PublishExtras } from './publish.ts'

export interface BufferedPublish {
  readonly exchange: Exchange
  readonly message: Message
  readonly extras: PublishExtras
}

export interface BufferedSettlement {
  readonly delivery: EngineDelivery
  readonly type: 'ack' | 'requeue' | 'reject'
}

export class Transaction {
  #publishes: BufferedPublish[]
  #settlements: BufferedSettlement[]
  readonly #limit: number

  constructor(limit: number) {
    this.#publishes = []
    this.#settlements = []
    this.#limit = limit
  }

  get settlements(): readonly BufferedSettlement[] {
    return this.#settlements
  }

  publish(buffered: BufferedPublish): void {
    this.#makeSure()
    this.#publishes.push(buffered)
  }

  settle(delivery: EngineDelivery, type: BufferedSettlement['type']): void {
    this.#settlements.push({ delivery, type })
  }

  /** What it holds; it begins anew. */
  take(): { publishes: readonly BufferedPublish[]; settlements: readonly BufferedSettlement[] } {
    const taken = { publishes: this.#publishes, settlements: this.#settlements }
    this.clear()
    return taken
  }

  clear(): void {
    this.#publishes = []
    this.#settlements = []
  }

  #makeSure(): void {
    if (this.#publishes.length < this.#limit) return
    throw new MillraceError(
      'PRECONDITION_FAILED',
      `the transaction holds ${this.#limit} publishes, the most that is allowed; commit earlier`,
    )
  }
}
