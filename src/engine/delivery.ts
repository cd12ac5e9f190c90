/**
 * One delivery: an entry in a session's hands under a delivery tag. The same object is handed to the sink and kept until
 * it is settled.
 */
import type { Entry } from '../model/entry.ts'
import type { Message } from '../model/message.ts'
import { maximumPropertyBytes } from '../model/properties.ts'
import type { Consumer } from './consumer.ts'
import type { Queue } from './queue.ts'
import type { Session } from './session.ts'

export class EngineDelivery {
  readonly session: Session
  /** Undefined for `get`. */
  readonly consumer: Consumer | undefined
  readonly queue: Queue
  readonly entry: Entry
  readonly deliveryTag: number
  /** It was handed out before. */
  readonly redelivered: boolean
  /** From 1. */
  readonly attempt: number

  constructor(
    session: Session,
    consumer: Consumer | undefined,
    queue: Queue,
    entry: Entry,
    deliveryTag: number,
  ) {
    this.session = session
    this.consumer = consumer
    this.queue = queue
    this.entry = entry
    this.deliveryTag = deliveryTag
    this.redelivered = entry.deliveryCount > 0
    this.attempt = entry.deliveryCount + 1
  }

  /**
   * What the consumer is shown: from a quorum queue, or where it asks for it, with how often it came back in
   * `x-delivery-count`, if it did. `get` from a quorum queue is always told.
   */
  get message(): Message {
    const { message, deliveryCount } = this.entry
    const isQuorum = this.queue.settings.type === 'quorum'
    if (deliveryCount === 0 && !(isQuorum && this.consumer === undefined)) return message
    if (!isQuorum && this.consumer?.isShownCount !== true) return message
    const set = { 'x-delivery-count': BigInt(deliveryCount) }
    const change = { set, remove: [], dropsExpiration: false }
    return (
      message.changedIfFits(message.exchange, message.routingKey, change, maximumPropertyBytes) ?? message
    )
  }

  /** '' for `get`. */
  get consumerTag(): string {
    return this.consumer === undefined ? '' : this.consumer.tag
  }
}
