/**
 * Direct reply-to (https://www.rabbitmq.com/docs/direct-reply-to): replies without a queue.
 *
 * A requester consumes from the pseudo-queue `amq.rabbitmq.reply-to` without acknowledgement, and publishes with that name
 * in reply-to. The broker puts the requester's address there, which ends in a secret; what anybody publishes to that
 * address by the default exchange is handed to the requester's channel at once, or dropped when that is gone.
 */
import { randomBytes } from 'node:crypto'
import type { Message } from '../model/message.ts'

/** The pseudo-queue. */
export const replyToName = 'amq.rabbitmq.reply-to'

const addressPrefix = `${replyToName}.`

/** Whether it is the pseudo-queue's name or an address. */
export function isReplyTo(name: string): boolean {
  return name === replyToName || name.startsWith(addressPrefix)
}

export function isReplyAddress(routingKey: string): boolean {
  return routingKey.startsWith(addressPrefix)
}

/** A channel that takes replies. */
export interface ReplyTaker {
  /** False when it takes no more for now: its peer does not read. */
  takeReply(message: Message): boolean
}

/** The requesters of one server by address. */
export class ReplyAddresses {
  readonly #takers = new Map<string, ReplyTaker>()

  /** A new address. */
  add(taker: ReplyTaker): string {
    const address = addressPrefix + randomBytes(18).toString('base64url')
    this.#takers.set(address, taker)
    return address
  }

  remove(address: string): void {
    this.#takers.delete(address)
  }

  /** Whether somebody takes replies there. */
  has(address: string): boolean {
    return this.#takers.has(address)
  }

  /** Hands a reply over; false where nobody takes it. */
  reply(message: Message): boolean {
    return this.#takers.get(message.routingKey)?.takeReply(message) ?? false
  }
}
