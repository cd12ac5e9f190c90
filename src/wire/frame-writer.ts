/**
 * Gathers the frames of one connection, so that its owner writes to the socket once a turn. What is small is copied into slabs;
 * a large body stands in the list as it is, between them.
 *
 * ```ts
 * writer.method(1, { type: 'basic.qos-ok' })
 * for (const bytes of writer.take()) socket.write(bytes)
 * ```
 */
import { bodyLength } from '../model/message.ts'
import type { Body } from '../model/message.ts'
import { headerFrameBytes, putHeaderFrame, writeBody, writeFrame } from './content-frames.ts'
import { DeliveryWriter } from './delivery-writer.ts'
import type { Content } from './delivery-writer.ts'
import { frameEnd, frameHeaderBytes, frameOverheadBytes, frameType, protocolHeader } from './frame.ts'
import { putFrameHeader, putLong, putLongLong, putShortString, shortStringRoom } from './frame-bytes.ts'
import { encodeMethod } from './method-codec.ts'
import type { ContentMethod, Method } from './method.ts'
import { methodIds } from './methods.ts'
import { Slabs } from './slabs.ts'

export interface FrameWriterOptions {
  /** The largest frame, with its 8 bytes of overhead; 0 for no limit. */
  readonly frameMaxBytes: number
}

/** Writes one direction of a connection; see the example above. */
export class FrameWriter {
  /** The largest frame, with its 8 bytes of overhead; 0 for no limit. Set anew when tuning is over. */
  frameMaxBytes: number
  readonly #slabs: Slabs
  /** Made with the first delivery: most connections only publish, and a client has none. */
  #deliveries: DeliveryWriter | undefined

  constructor(options: FrameWriterOptions) {
    this.frameMaxBytes = options.frameMaxBytes
    this.#slabs = new Slabs()
    this.#deliveries = undefined
  }

  /** How many bytes wait to be taken. */
  get bytes(): number {
    return this.#slabs.bytes
  }

  /** What was written since the last time, in order; nobody writes there again. */
  take(): readonly Uint8Array[] {
    return this.#slabs.take()
  }

  /** `AMQP 0 0 9 1`: a client's first bytes, and a server's answer to what it does not speak. */
  protocolHeader(): void {
    this.#slabs.copy(protocolHeader)
  }

  heartbeat(): void {
    this.#slabs.copy(heartbeatFrame)
  }

  /** Bytes as they are. */
  raw(bytes: Uint8Array): void {
    this.#slabs.copy(bytes)
  }

  /** A frame of any type and payload. A payload of 16 KB or more is not copied: nobody may change it any more. */
  frame(type: number, channel: number, payload: Uint8Array): void {
    writeFrame(this.#slabs, type, channel, payload)
  }

  /** Any method, without content. Throws ValidationError for a value that its field cannot hold, and has written nothing then. */
  method(channel: number, method: Method): void {
    writeFrame(this.#slabs, frameType.method, channel, encodeMethod(method))
  }

  /** Any method with content: header and as many body frames as it takes. A body of 16 KB or more is not copied. */
  content(channel: number, method: ContentMethod, propertyBytes: Uint8Array, body: Body): void {
    this.method(channel, method)
    this.#content(channel, propertyBytes, body, bodyLength(body))
  }

  /** basic.deliver and its content. Throws ValidationError as `method` does. */
  deliver(
    channel: number,
    consumerTag: string,
    deliveryTag: number,
    redelivered: boolean,
    content: Content,
  ): void {
    this.#deliveries ??= new DeliveryWriter(this.#slabs)
    this.#deliveries.write(channel, consumerTag, deliveryTag, redelivered, content, this.#mostBodyBytes)
  }

  /** basic.get-ok and its content. @param messageCount how many are still ready behind it */
  getOk(
    channel: number,
    deliveryTag: number,
    redelivered: boolean,
    messageCount: number,
    content: Content,
  ): void {
    const slabs = this.#slabs
    const { exchange, routingKey } = content
    const at = slabs.reserve(32 + shortStringRoom(exchange) + shortStringRoom(routingKey))
    const { buffer } = slabs
    let end = putLong(buffer, at + frameHeaderBytes, methodIds['basic.get-ok'])
    end = putLongLong(buffer, end, deliveryTag)
    buffer[end] = redelivered ? 1 : 0
    end = putShortString(buffer, end + 1, exchange, 'the exchange')
    end = putShortString(buffer, end, routingKey, 'the routing key')
    end = putLong(buffer, end, messageCount)
    this.#endMethod(channel, at, end)
    this.#content(channel, content.propertyBytes, content.body, content.bodyLength)
  }

  /** basic.return and its content. */
  return(channel: number, replyCode: number, replyText: string, content: Content): void {
    const { exchange, routingKey } = content
    const method = { type: 'basic.return', replyCode, replyText, exchange, routingKey } as const
    this.method(channel, method)
    this.#content(channel, content.propertyBytes, content.body, content.bodyLength)
  }

  /** basic.ack: a confirm to a publisher, or a client's acknowledgement. */
  ack(channel: number, deliveryTag: number, multiple: boolean): void {
    this.#settle(channel, methodIds['basic.ack'], deliveryTag, multiple ? 1 : 0)
  }

  /** basic.nack. A server that nacks a publish leaves `requeue` false. */
  nack(channel: number, deliveryTag: number, multiple: boolean, requeue: boolean): void {
    this.#settle(channel, methodIds['basic.nack'], deliveryTag, (multiple ? 1 : 0) | (requeue ? 2 : 0))
  }

  get #mostBodyBytes(): number {
    return this.frameMaxBytes === 0 ? Infinity : this.frameMaxBytes - frameOverheadBytes
  }

  #settle(channel: number, id: number, deliveryTag: number, bits: number): void {
    const slabs = this.#slabs
    const at = slabs.reserve(21)
    const { buffer } = slabs
    let end = putLong(buffer, at + frameHeaderBytes, id)
    end = putLongLong(buffer, end, deliveryTag)
    buffer[end] = bits
    this.#endMethod(channel, at, end + 1)
  }

  #endMethod(channel: number, at: number, end: number): void {
    const { buffer } = this.#slabs
    putFrameHeader(buffer, at, frameType.method, channel, end - at - frameHeaderBytes)
    buffer[end] = frameEnd
    this.#slabs.advance(end + 1)
  }

  #content(channel: number, propertyBytes: Uint8Array, body: Body, bytes: number): void {
    const slabs = this.#slabs
    const at = slabs.reserve(headerFrameBytes + propertyBytes.length)
    slabs.advance(putHeaderFrame(slabs.buffer, at, channel, propertyBytes, bytes))
    writeBody(slabs, channel, body, bytes, this.#mostBodyBytes)
  }
}

const heartbeatFrame = Uint8Array.of(frameType.heartbeat, 0, 0, 0, 0, 0, 0, frameEnd)
