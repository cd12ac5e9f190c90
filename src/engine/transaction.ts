/** A transaction of one session: what it published and settled since the last commit, none of it done yet. */
import { MillraceError } from '../model/errors.ts'
import type { Message } from '../model/message.ts'
import type { EngineDelivery } from './delivery.ts'
import type { Exchange } from './exchange.ts'
import type { Kernel } from './kernel.ts'
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

/** What each takes in memory besides its body and properties, about; measured on Node 20 with a channel's publishes. */
export const bufferedPublishBytes = 256
/** What each takes besides the delivery, about. */
export const settlementBytes = 64

export class Transaction {
  #publishes: BufferedPublish[]
  #settlements: BufferedSettlement[]
  /** Of what it published, and of what keeps that and what it settled. */
  #bytes: number
  readonly #kernel: Kernel

  constructor(kernel: Kernel) {
    this.#publishes = []
    this.#settlements = []
    this.#bytes = 0
    this.#kernel = kernel
  }

  /** For the engine's invariants. */
  get bytes(): number {
    return this.#bytes
  }

  get settlements(): readonly BufferedSettlement[] {
    return this.#settlements
  }

  /** Throws PRECONDITION_FAILED where it, or all of them together, hold what they may. */
  publish(buffered: BufferedPublish): void {
    const { limits, transactionBytes } = this.#kernel
    const { operationsPerTransaction, bytesInTransactions } = limits
    const { message } = buffered
    const bytes = message.bodyLength + message.propertyBytes.length + bufferedPublishBytes
    if (this.#publishes.length >= operationsPerTransaction)
      throw tooMuch(`a transaction may hold ${operationsPerTransaction} publishes at most`)
    if (transactionBytes + bytes > bytesInTransactions)
      throw tooMuch(`all open transactions may hold ${bytesInTransactions} bytes at most`)
    this.#count(bytes)
    this.#publishes.push(buffered)
  }

  /** Never refused: there are no more than deliveries, and a commit makes room. */
  settle(delivery: EngineDelivery, type: BufferedSettlement['type']): void {
    this.#count(settlementBytes)
    this.#settlements.push({ delivery, type })
  }

  /** What it holds; it begins anew. */
  take(): { publishes: readonly BufferedPublish[]; settlements: readonly BufferedSettlement[] } {
    const taken = { publishes: this.#publishes, settlements: this.#settlements }
    this.clear()
    return taken
  }

  clear(): void {
    this.#kernel.transactionBytes -= this.#bytes
    this.#publishes = []
    this.#settlements = []
    this.#bytes = 0
  }

  #count(bytes: number): void {
    this.#bytes += bytes
    this.#kernel.transactionBytes += bytes
  }
}

function tooMuch(what: string): MillraceError {
  return new MillraceError('PRECONDITION_FAILED', `${what}; commit earlier`)
}
