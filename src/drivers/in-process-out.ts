/**
 * What goes out with a settlement: all of it or nothing. Everything that could refuse a message is asked first, and nothing
 * happens in between: then it is committed in the same turn as the settlement, and so stored in the same batch.
 */
import { refuses, routingKeysOf } from '../broker/broker.ts'
import type { Broker, Queue, Session, VirtualHost } from '../broker/broker.ts'
import type { Outgoing } from '../client/driver.ts'
import { MillraceError } from '../model/errors.ts'
import { extrasOf, messageOf, queueFull } from './in-process-publish.ts'

/**
 * @param transactional a session whose transaction is empty, as it is again afterwards
 * @throws MillraceError NOT_FOUND, UNROUTABLE (mandatory), QUEUE_FULL, MESSAGE_TOO_LARGE and what else a publish is refused with;
 *   then nothing is published
 */
export function publishAllOrNone(broker: Broker, transactional: Session, batch: readonly Outgoing[]): void {
  const nowMs = broker.nowMs()
  const room = new Room(transactional.vhost)
  try {
    for (const outgoing of batch) {
      const message = messageOf(broker.limits, outgoing)
      transactional.publish(message, extrasOf(outgoing), nowMs)
      room.take(outgoing, message)
    }
  } catch (error) {
    transactional.txRollback()
    throw error
  }
  transactional.txCommit(nowMs)
  broker.wake()
  broker.review()
}

type Message = ReturnType<typeof messageOf>

/** Whether there are queues for what is still to be published, and room in them for all of it. */
class Room {
  readonly #vhost: VirtualHost
  /** Of queues that can be full: the messages and bytes that are to come. */
  readonly #taken = new Map<Queue, { messages: number; bytes: number }>()

  constructor(vhost: VirtualHost) {
    this.#vhost = vhost
  }

  /** @throws MillraceError UNROUTABLE, QUEUE_FULL */
  take(outgoing: Outgoing, message: Message): void {
    const exchange = this.#vhost.exchange(message.exchange)
    const keys = message.properties.headers === undefined ? undefined : routingKeysOf(message)
    const queues = this.#vhost.route(exchange, message, keys)
    if (queues.length === 0 && outgoing.mandatory === true) throw unroutable(outgoing)
    if ((outgoing.delayMs ?? 0) > 0) return
    for (const queue of queues) if (!this.#fits(queue, message.bodyLength)) throw queueFull(outgoing)
  }

  /** Of several for one queue, those behind the first are not promised the place of what a consumer may take meanwhile. */
  #fits(queue: Queue, bytes: number): boolean {
    if (!queue.limited || queue.settings.overflow === 'drop-head') return true
    const taken = this.#taken.get(queue) ?? { messages: 0, bytes: 0 }
    this.#taken.set(queue, { messages: taken.messages + 1, bytes: taken.bytes + bytes })
    if (taken.messages === 0) return !refuses(queue, bytes)
    const messages = queue.readyMessages + taken.messages + 1
    return messages <= queue.maxLength && queue.readyBytes + taken.bytes + bytes <= queue.maxLengthBytes
  }
}

function unroutable(outgoing: Outgoing): MillraceError {
  const from = outgoing.exchange === '' ? '' : ` from the exchange ${outgoing.exchange}`
  return new MillraceError(
    'UNROUTABLE',
    `No queue takes '${outgoing.routingKey}'${from}; declare or bind one first`,
  )
}
