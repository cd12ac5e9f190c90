/** A transaction of one session: what it published and settled since the last commit, none of it done yet. */
import { MillraceError } from '../model/errors.ts'
import type { Message } from '../model/message.ts'
import type { EngineDelivery } from './delivery.ts'
import type { Exchange } from './exchange.ts'
import type { EngineLimits } from './limits.ts'
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
  /** Of the bodies published. */
  #bytes: number
  readonly #limits: EngineLimits

  constructor(limits: EngineLimits) {
    this.#publishes = []
    this.#settlements = []
    this.#bytes = 0
    this.#limits = limits
  }

  get settlements(): readonly BufferedSettlement[] {
    return this.#settlements
  }

  /** Throws PRECONDITION_FAILED where it holds all that it may. */
  publish(buffered: BufferedPublish): void {
    const { operationsPerTransaction, bytesPerTransaction } = this.#limits
    const bytes = this.#bytes + buffered.message.bodyLength
    if (this.#publishes.length >= operationsPerTransaction)
      throw tooMuch(`${operationsPerTransaction} publishes`)
    if (bytes > bytesPerTransaction) throw tooMuch(`${bytesPerTransaction} bytes of bodies`)
    this.#bytes = bytes
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
    this.#bytes = 0
  }
}

function tooMuch(limit: string): MillraceError {
  return new MillraceError('PRECONDITION_FAILED', `a transaction may hold ${limit} at most; commit earlier`)
}
