/**
 * Gathers the frames of one connection, so that its owner writes to the socket once a turn. What is small is copied into slabs;
 * a large body stands in the list as it is, between them.
 *
 * ```ts
 * writer.method(1, { type: 'basic.qos-ok' })
 * for (const bytes of writer.take()) socket.write(bytes)
 * ```
 */
import type { Body } from '../model/message.ts'
import { bodyBytes, bodyLength } from '../model/message.ts'
import { basicClassId, frameEnd, frameOverheadBytes, frameType, protocolHeader } from './frame.ts'
import { encodeMethod } from './method-codec.ts'
import type { ContentMethod, Method } from './method.ts'
import { methodIds } from './methods.ts'
import { Slabs } from './slabs.ts'

/** What of a message is written; `Message` of the model fits. */
export interface Content {
  readonly exchange: string
  readonly routingKey: string
  /** AMQP's property flags and list. */
  readonly propertyBytes: Uint8Array
  readonly body: Body
  /** The body's size in bytes. */
  readonly bodyLength: number
}

export interface FrameWriterOptions {
  /** The largest frame, with its 8 bytes of overhead; 0 for no limit. */
  readonly frameMaxBytes: number
}

export class FrameWriter {
  /** The largest frame, with its 8 bytes of overhead; 0 for no limit. Set anew when tuning is over. */
  frameMaxBytes: number
  readonly #slabs: Slabs

  constructor(options: FrameWriterOptions) {
    this.frameMaxBytes = options.frameMaxBytes
    this.#slabs = new Slabs()
  }

  /** How many bytes wait to be taken. */
  get bytes(): number {
    return this.#slabs.bytes
  }

  /** What was written since the last time, in order; theirs who take it, nobody writes there again. */
  take(): readonly Uint8Array[] {
    return this.#slabs.take()
  }

  /** `AMQP 0 0 9 1`: a client's first bytes, and a server's answer to what it does not speak. */
  protocolHeader(): void {
    this.#slabs.raw(protocolHeader)
  }

  heartbeat(): void {
    this.#slabs.raw(heartbeatFrame)
  }

  /** Bytes as they are. */
  raw(bytes: Uint8Array): void {
    this.#slabs.raw(bytes)
  }

  /** Any method, without content. Throws ValidationError for a value that its field cannot hold, and has written nothing then. */
  method(channel: number, method: Method): void {
    this.frame(frameType.method, channel, encodeMethod(method))
  }

  /** A frame of any type and payload. */
  frame(type: number, channel: number, payload: Uint8Array): void {
    this.#slabs.frameHeader(type, channel, payload.length)
    this.#slabs.raw(payload)
    this.#slabs.octet(frameEnd)
  }

  /** A method with content: header and as many body frames as it takes. */
  content(channel: number, method: ContentMethod, propertyBytes: Uint8Array, body: Body): void {
    this.method(channel, method)
    this.#content(channel, propertyBytes, body, bodyLength(body))
  }

  /** basic.deliver and its content. */
  deliver(
    channel: number,
    consumerTag: string,
    deliveryTag: number,
    redelivered: boolean,
    content: Content,
  ): void {
    const { exchange, routingKey } = content
    this.content(
      channel,
      { type: 'basic.deliver', consumerTag, deliveryTag, redelivered, exchange, routingKey },
      content.propertyBytes,
      content.body,
    )
  }

  /** basic.get-ok and its content. @param messageCount how many are still ready behind it */
  getOk(
    channel: number,
    deliveryTag: number,
    redelivered: boolean,
    messageCount: number,
    content: Content,
  ): void {
    const { exchange, routingKey } = content
    this.content(
      channel,
      { type: 'basic.get-ok', deliveryTag, redelivered, exchange, routingKey, messageCount },
      content.propertyBytes,
      content.body,
    )
  }

  /** basic.return and its content. */
  return(channel: number, replyCode: number, replyText: string, content: Content): void {
    const { exchange, routingKey } = content
    this.content(
      channel,
      { type: 'basic.return', replyCode, replyText, exchange, routingKey },
      content.propertyBytes,
      content.body,
    )
  }

  /** basic.ack: a confirm to a publisher, or a client's acknowledgement. */
  ack(channel: number, deliveryTag: number, multiple: boolean): void {
    this.#settle(channel, methodIds['basic.ack'], deliveryTag, multiple ? 1 : 0)
  }

  /** basic.nack. A server that nacks a publish leaves `requeue` false. */
  nack(channel: number, deliveryTag: number, multiple: boolean, requeue: boolean): void {
    this.#settle(channel, methodIds['basic.nack'], deliveryTag, (multiple ? 1 : 0) | (requeue ? 2 : 0))
  }

  #settle(channel: number, id: number, deliveryTag: number, bits: number): void {
    const slabs = this.#slabs
    slabs.frameHeader(frameType.method, channel, 13)
    slabs.long(id)
    slabs.longLong(deliveryTag)
    slabs.octet(bits)
    slabs.octet(frameEnd)
  }

  #content(channel: number, propertyBytes: Uint8Array, body: Body, bytes: number): void {
    const slabs = this.#slabs
    slabs.frameHeader(frameType.header, channel, 12 + propertyBytes.length)
    slabs.long(basicClassId << 16)
    slabs.longLong(bytes)
    slabs.raw(propertyBytes)
    slabs.octet(frameEnd)
    if (bytes === 0) return
    const whole = bodyBytes(body)
    const most = this.frameMaxBytes === 0 ? bytes : this.frameMaxBytes - frameOverheadBytes
    for (let start = 0; start < bytes; start += most) {
      this.frame(frameType.body, channel, whole.subarray(start, start + most))
    }
  }
}

const heartbeatFrame = Uint8Array.of(frameType.heartbeat, 0, 0, 0, 0, 0, 0, frameEnd)
