/** A consumer: a session's subscription to one queue, with its credit. */
import { assert } from '../std/assert.ts'
import type { FieldTable } from '../model/field-table.ts'
import type { Queue } from './queue.ts'
import type { Session } from './session.ts'

export class Consumer {
  readonly session: Session
  readonly queue: Queue
  readonly tag: string
  /** Deliveries are settled as they are made. */
  readonly noAck: boolean
  readonly exclusive: boolean
  /** Higher goes first while it has credit. */
  readonly priority: number
  readonly arguments: FieldTable
  /** Sees `x-delivery-count` from queues of every type. */
  readonly isShownCount: boolean
  /** Unsettled deliveries at most; 0 for no limit. */
  prefetch: number
  unacked: number
  cancelled: boolean
  /** In its queue's ring of those that may have credit. */
  listed: boolean

  constructor(options: {
    session: Session
    queue: Queue
    tag: string
    noAck: boolean
    exclusive: boolean
    priority: number
    arguments: FieldTable
    isShownCount: boolean
    prefetch: number
  }) {
    this.session = options.session
    this.queue = options.queue
    this.tag = options.tag
    this.noAck = options.noAck
    this.exclusive = options.exclusive
    this.priority = options.priority
    this.arguments = options.arguments
    this.isShownCount = options.isShownCount
    this.prefetch = options.prefetch
    this.unacked = 0
    this.cancelled = false
    this.listed = false
  }

  /** Whether it takes another delivery now. */
  hasCredit(): boolean {
    const session = this.session
    if (this.cancelled || !session.flowing) return false
    if (!this.noAck && this.prefetch !== 0 && this.unacked >= this.prefetch) return false
    // The limit of the channel as a whole stops those too that do not count towards it, as in RabbitMQ.
    if (session.consumerUnacked < session.creditLimit) return true
    session.outOfCredit = true
    return false
  }

  /** How many more deliveries it takes now. */
  credit(): number {
    if (!this.hasCredit()) return 0
    if (this.noAck) return Infinity
    const own = this.prefetch === 0 ? Infinity : this.prefetch - this.unacked
    return Math.min(own, this.session.creditLimit - this.session.consumerUnacked)
  }

  invariants(): void {
    assert(this.unacked >= 0, 'a consumer owes no deliveries')
    assert(!this.noAck || this.unacked === 0, 'a consumer without acknowledgement has nothing unacked')
  }
}
