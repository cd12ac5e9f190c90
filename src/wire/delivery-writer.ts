/**
 * Writes basic.deliver and its content. To one consumer much of that is the same time after time: consumer tag, exchange, routing
 * key, often the properties and the body's size too. So where the slab still holds the last delivery, its method frame is copied
 * from there with another delivery tag, and the header frame too where it is the same: three times as quick (benchmark
 * micro-wire, write-16).
 *
 * ```text
 * type, channel, size | class, method | consumer tag | delivery tag u64, redelivered u8 | exchange | key | end   method frame
 * type, channel, size | class, weight | body size u64 | properties | end                                         header frame
 * type, channel, size | body | end                                                                               body frame
 * ```
 */
import type { Body } from '../model/message.ts'
import { frameEnd, frameHeaderBytes, frameOverheadBytes, frameType } from './frame.ts'
import { putFrameHeader, putLong, putLongLong, putShortString, shortStringRoom } from './frame-bytes.ts'
import { headerFrameBytes, putBody, putHeaderFrame, referenceBytes, writeBody } from './content-frames.ts'
import { methodIds } from './methods.ts'
import type { Slabs } from './slabs.ts'

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

/** Larger properties are not remembered: each connection would keep some. */
const rememberedPropertyBytes = 1024

export class DeliveryWriter {
  readonly #slabs: Slabs
  /** The slab that holds the last delivery, and where it begins there. */
  #generation: number
  #at: number
  /** How far behind the beginning its delivery tag, its header frame and its body are. */
  #tagOffset: number
  #headerOffset: number
  #bodyOffset: number
  /** What its method frame says. */
  #channel: number
  #consumerTag: string
  #exchange: string
  #routingKey: string
  /** What its header frame says; `nothing` where it is not to be repeated. */
  #propertyBytes: Uint8Array
  #bodyBytes: number

  constructor(slabs: Slabs) {
    this.#slabs = slabs
    this.#generation = -1
    this.#at = 0
    this.#tagOffset = 0
    this.#headerOffset = 0
    this.#bodyOffset = 0
    this.#channel = 0
    this.#consumerTag = ''
    this.#exchange = ''
    this.#routingKey = ''
    this.#propertyBytes = nothing
    this.#bodyBytes = 0
  }

  /**
   * Throws ValidationError for a name of more than 255 bytes, and has written nothing then.
   *
   * @param most bytes of body in one frame
   */
  write(
    channel: number,
    consumerTag: string,
    deliveryTag: number,
    redelivered: boolean,
    content: Content,
    most: number,
  ): void {
    const slabs = this.#slabs
    const { exchange, routingKey, propertyBytes, body } = content
    const bytes = content.bodyLength
    const isCopied = bytes > 0 && bytes <= most && bytes < referenceBytes
    const names = shortStringRoom(consumerTag) + shortStringRoom(exchange) + shortStringRoom(routingKey)
    const at = slabs.reserve(names + fixedBytes + propertyBytes.length + (isCopied ? bytes : 0))
    const { buffer } = slabs
    const isSameMethod =
      slabs.generation === this.#generation &&
      channel === this.#channel &&
      routingKey === this.#routingKey &&
      exchange === this.#exchange &&
      consumerTag === this.#consumerTag
    const isSameHeader =
      isSameMethod && isCopied && bytes === this.#bodyBytes && propertyBytes === this.#propertyBytes
    if (isSameMethod) {
      buffer.copyWithin(at, this.#at, this.#at + (isSameHeader ? this.#bodyOffset : this.#headerOffset))
    } else {
      this.#putMethod(at, channel, consumerTag, exchange, routingKey)
    }
    const tagAt = at + this.#tagOffset
    putLongLong(buffer, tagAt, deliveryTag)
    buffer[tagAt + 8] = redelivered ? 1 : 0
    if (!isSameHeader) this.#putHeader(at, channel, propertyBytes, bytes, isCopied)
    this.#at = at
    const bodyAt = at + this.#bodyOffset
    if (isCopied) {
      putBody(buffer, bodyAt, body, bytes)
      buffer[bodyAt + bytes] = frameEnd
      slabs.advance(bodyAt + bytes + 1)
    } else {
      slabs.advance(bodyAt)
      writeBody(slabs, channel, body, bytes, most)
    }
  }

  /** Puts the method frame, but for the delivery tag and `redelivered`. */
  #putMethod(at: number, channel: number, consumerTag: string, exchange: string, routingKey: string): void {
    const { buffer } = this.#slabs
    this.#generation = -1
    let end = putLong(buffer, at + frameHeaderBytes, methodIds['basic.deliver'])
    end = putShortString(buffer, end, consumerTag, 'the consumer tag')
    this.#tagOffset = end - at
    end = putShortString(buffer, end + 9, exchange, 'the exchange')
    end = putShortString(buffer, end, routingKey, 'the routing key')
    putFrameHeader(buffer, at, frameType.method, channel, end - at - frameHeaderBytes)
    buffer[end] = frameEnd
    this.#headerOffset = end + 1 - at
    this.#generation = this.#slabs.generation
    this.#channel = channel
    this.#consumerTag = consumerTag
    this.#exchange = exchange
    this.#routingKey = routingKey
  }

  /** Puts the header frame and, where the body stands in one frame behind it, what is in front of that. */
  #putHeader(at: number, channel: number, propertyBytes: Uint8Array, bytes: number, isCopied: boolean): void {
    const { buffer } = this.#slabs
    let end = putHeaderFrame(buffer, at + this.#headerOffset, channel, propertyBytes, bytes)
    if (isCopied) end = putFrameHeader(buffer, end, frameType.body, channel, bytes)
    this.#bodyOffset = end - at
    this.#bodyBytes = bytes
    this.#propertyBytes =
      isCopied && propertyBytes.length <= rememberedPropertyBytes ? propertyBytes : nothing
  }
}

/** Method frame without its names, header frame without its properties, body frame without its body. */
const fixedBytes = frameOverheadBytes + 13 + headerFrameBytes + frameOverheadBytes

const nothing = new Uint8Array(0)
