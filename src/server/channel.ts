/**
 * One channel: a session of the engine on one side, numbered frames on the other.
 *
 * ```text
 *        method, content          channel error: session closed, channel.close sent
 *   open ───────────────> open ──────────────────────────────────────────────────> closing
 *    │ channel.close: session closed, close-ok sent                                   │ channel.close-ok
 *    └────────────────────────────────> closed <────────────────────────────────────┘
 * ```
 *
 * While it is closing everything but channel.close and close-ok is ignored. While it waits (for the disk, for a page of a
 * queue) its frames are set aside and handled afterwards, in order: RabbitMQ's channel blocks in the same places.
 */
import type { EngineDelivery, PublishExtras, Session } from '../broker/broker.ts'
import { duplicateReply } from '../model/extension.ts'
import type { Message } from '../model/message.ts'
import { decodeProperties } from '../model/properties.ts'
import { SettlementReader } from '../wire/message-methods.ts'
import { decodeMethod, methodIdAt } from '../wire/method-codec.ts'
import type { Method } from '../wire/method.ts'
import { methodIds } from '../wire/methods.ts'
import type { Access } from './access.ts'
import { handleMethod } from './channel-methods.ts'
import { ChannelPublish } from './channel-publish.ts'
import { settleDelivery } from './channel-settle.ts'
import { ConfirmSequence } from './confirms.ts'
import type { Connection } from './connection.ts'
import { ConsumerTimeout } from './consumer-timeout.ts'
import type { DeferredFrame } from './deferred-frames.ts'
import { DeferredFrames } from './deferred-frames.ts'
import { unexpectedFrame } from './refusal.ts'
import type { Refusal } from './refusal.ts'

const publishId = methodIds['basic.publish']
const ackId = methodIds['basic.ack']

/** AMQP 0-9-1 reply code NO_ROUTE. */
const noRoute = 312

export class Channel {
  readonly number: number
  readonly connection: Connection
  readonly access: Access
  readonly session: Session
  readonly confirms: ConfirmSequence
  /** Tag of the consumer of direct replies, and where they are addressed to. */
  replyConsumerTag: string | undefined
  replyAddress: string | undefined
  #state: 'open' | 'closing' | 'closed'
  /** Made with the first message: most channels only consume. */
  #publish: ChannelPublish | undefined
  readonly #settlement: SettlementReader
  #deferred: DeferredFrames | undefined
  #timeout: ConsumerTimeout | undefined

  constructor(connection: Connection, number: number, access: Access) {
    const { broker } = connection.server
    const { vhost } = connection.handshake
    this.number = number
    this.connection = connection
    this.access = access
    this.session = broker.engine.openSession({ vhost, connectionId: connection.id, sink: this })
    this.confirms = new ConfirmSequence(this)
    this.replyConsumerTag = undefined
    this.replyAddress = undefined
    this.#state = 'open'
    this.#publish = undefined
    this.#settlement = connection.settlement
    this.#deferred = undefined
    this.#timeout = undefined
    if (connection.output.full) this.session.flowing = false
  }

  get state(): 'open' | 'closing' | 'closed' {
    return this.#state
  }

  // --- what the peer sends ------------------------------------------------------------------------------------

  method(buffer: Buffer, start: number, end: number): void {
    if (this.#deferred !== undefined) return this.#defer('method', buffer, start, end)
    const id = methodIdAt(buffer, start)
    if (this.#state !== 'open') return this.#closingMethod(id)
    this.#publish?.checkMethod()
    if (id === publishId) {
      const { limits } = this.connection.server
      this.#publish ??= new ChannelPublish(this, limits)
      this.#publish.method(buffer, start, end)
    } else if (id === ackId) {
      const settlement = this.#settlement
      settlement.read(buffer, start, end)
      this.session.ack(settlement.deliveryTag, settlement.multiple, this.connection.nowMs)
      this.connection.changes.changed()
    } else {
      handleMethod(this, decodeMethod(buffer, start, end))
    }
  }

  header(buffer: Buffer, start: number, end: number): void {
    if (this.#deferred !== undefined) return this.#defer('header', buffer, start, end)
    if (this.#state !== 'open') return
    if (this.#publish === undefined) throw notMethod()
    this.#publish.header(buffer, start, end)
  }

  /** @param restBytes how much of the frame is still to come */
  body(buffer: Buffer, start: number, end: number, restBytes = 0): void {
    if (this.#deferred !== undefined) return this.#defer('body', buffer, start, end)
    if (this.#state !== 'open') return
    if (this.#publish === undefined) throw notMethod()
    this.#publish.body(buffer, start, end, restBytes)
  }

  /** Routes and stores a message, and counts it where confirms were asked for. */
  publish(message: Message, extras: PublishExtras): void {
    const { session, connection } = this
    const outcome = session.publish(message, extras, connection.nowMs)
    if (outcome.type === 'duplicate' && extras.mandatory) {
      this.returned(message, duplicateReply, outcome.messageId)
    }
    this.#count(outcome.type === 'rejected')
    connection.changes.published()
  }

  /** A message to a requester's address: handed over at once, or dropped. */
  publishReply(message: Message, mandatory: boolean): void {
    this.connection.server.replyAddresses.reply(message)
    // No queue took it: RabbitMQ returns it though it has arrived.
    if (mandatory) this.returned(message, noRoute, 'NO_ROUTE')
    this.#count(false)
  }

  /** A message that settles a delivery of this channel. */
  settle(propertyBytes: Uint8Array): void {
    settleDelivery(this, decodeProperties(propertyBytes).headers ?? {})
    this.#count(false)
  }

  // --- what is sent to the peer ---------------------------------------------------------------------------------

  /** A method without content. */
  send(method: Method): void {
    const { output } = this.connection
    output.writer.method(this.number, method)
    output.touch()
  }

  /** Answers, unless the peer does not want to hear it. */
  reply(method: Method, nowait = false): void {
    if (!nowait) this.send(method)
  }

  /** As `reply`, once everything done so far is durable. */
  replyWhenDurable(method: Method, nowait = false): void {
    this.connection.changes.changed()
    const { broker } = this.connection.server
    if (nowait || broker.store === undefined) this.reply(method, nowait)
    else this.wait(broker.whenDurable(), () => this.send(method))
  }

  /** Handles nothing more of this channel until the promise has settled, then goes on with `then`, which is that method's part. */
  wait(until: Promise<unknown>, then: () => void, methodId = 0): void {
    this.#deferred ??= new DeferredFrames()
    const deferred = this.#deferred
    deferred.waits += 1
    until.then(
      () => {
        deferred.waits -= 1
        if (this.#state === 'open') this.connection.guard(this, then, methodId)
        this.#resume()
        this.connection.inputHandled()
      },
      // The store failed: `failed` closes every connection.
      () => undefined,
    )
  }

  // SessionSink: from inside the engine.

  /** @internal */
  deliver(delivery: EngineDelivery): void {
    const { entry } = delivery
    const { output, server } = this.connection
    if (entry.recovered) server.broker.delivered(entry)
    try {
      output.writer.deliver(
        this.number,
        delivery.consumerTag,
        delivery.deliveryTag,
        delivery.redelivered,
        delivery.message,
      )
    } catch (error) {
      // The engine is in the middle of its turn: one message that cannot be encoded must end this connection and nothing else.
      setImmediate(() => this.connection.guard(this, () => raise(error)))
    }
    output.touch()
  }

  /** @internal */
  cancelled(consumerTag: string): void {
    if (this.#state !== 'open' || !this.connection.handshake.capabilities.consumerCancelNotify) return
    this.send({ type: 'basic.cancel', consumerTag, nowait: true })
  }

  /** @internal */
  returned(message: Message, replyCode: number, replyText: string): void {
    const { output } = this.connection
    output.writer.return(this.number, replyCode, replyText, message)
    output.touch()
  }

  // ConfirmSink.

  /** @internal */
  confirmed(sequence: number, multiple: boolean): void {
    if (this.#state !== 'open') return
    const { output } = this.connection
    output.writer.ack(this.number, sequence, multiple)
    output.touch()
  }

  /** @internal */
  refused(sequence: number): void {
    if (this.#state !== 'open') return
    const { output } = this.connection
    output.writer.nack(this.number, sequence, false, false)
    output.touch()
  }

  // ReplyTaker.

  /** @internal */
  takeReply(message: Message): boolean {
    const { output, server } = this.connection
    const tag = this.replyConsumerTag
    if (tag === undefined || this.#state !== 'open') return false
    if (output.pendingBytes > server.limits.directReplyBytes) return false
    // Nobody settles a reply: RabbitMQ's have the tag that the next delivery will have.
    output.writer.deliver(this.number, tag, this.session.nextDeliveryTag, false, message)
    output.touch()
    return true
  }

  // --- lifecycle ------------------------------------------------------------------------------------------------

  /** Tells the peer what it did wrong; the session's deliveries go back. */
  fail(refusal: Refusal): void {
    if (this.#state !== 'open') return
    // What was published in front of the mistake is told before it.
    this.connection.server.confirms.gather()
    this.#release('closing')
    const { replyCode, replyText, methodId } = refusal
    this.send({
      type: 'channel.close',
      replyCode,
      replyText,
      classId: methodId >>> 16,
      methodId: methodId & 0xffff,
    })
  }

  /** The peer closes it, or its connection ends. */
  close(): void {
    if (this.#state === 'open') this.#release('closed')
    this.#state = 'closed'
    this.connection.channels.forget(this)
  }

  /** Its connection ends: nothing is told, and the engine is told by the connection. */
  abandon(): void {
    this.#state = 'closed'
    this.#publish?.release()
    this.#publish = undefined
    if (this.replyAddress !== undefined) this.connection.server.replyAddresses.remove(this.replyAddress)
  }

  /** Closes the channel where a delivery has been unacknowledged for too long. */
  checkConsumerTimeout(nowMs: number, timeoutMs: number): void {
    if (this.#state !== 'open') return
    this.#timeout ??= new ConsumerTimeout()
    this.#timeout.check(this, nowMs, timeoutMs)
  }

  #release(state: 'closing' | 'closed'): void {
    this.#state = state
    this.#publish?.release()
    this.#publish = undefined
    if (this.replyAddress !== undefined) this.connection.server.replyAddresses.remove(this.replyAddress)
    this.replyConsumerTag = undefined
    this.session.close(this.connection.server.broker.nowMs())
    this.connection.changes.changed()
  }

  /** One message more, where confirms were asked for. */
  #count(refused: boolean): void {
    if (!this.session.confirming) return
    this.confirms.count(refused)
    this.connection.server.confirms.touch(this.confirms)
  }

  #closingMethod(id: number): void {
    if (id === methodIds['channel.close-ok']) this.close()
    else if (id === methodIds['channel.close']) this.send({ type: 'channel.close-ok' })
  }

  #defer(type: DeferredFrame['type'], buffer: Buffer, start: number, end: number): void {
    this.#deferred?.add(type, buffer, start, end)
    this.connection.deferred(end - start)
  }

  /** Handles what was set aside, until the channel has to wait again. */
  #resume(): void {
    const deferred = this.#deferred
    if (deferred === undefined || deferred.waits > 0) return
    this.#deferred = undefined
    let frame = deferred.take()
    while (frame !== undefined) {
      const { type, payload } = frame
      this.connection.takenUp(payload.length)
      const methodId = type === 'method' ? methodIdAt(payload, 0) : publishId
      this.connection.guard(this, () => this[type](payload, 0, payload.length), methodId)
      // It waits anew: what is left comes before what was set aside meanwhile, and that is nothing.
      const again = this.#deferred as DeferredFrames | undefined
      if (again !== undefined) {
        again.takeOver(deferred)
        break
      }
      frame = deferred.take()
    }
  }
}

function raise(error: unknown): never {
  throw error
}

function notMethod(): Error {
  return unexpectedFrame('expected method frame, got non method frame instead')
}
