/**
 * A message: what a publisher hands over, shared unchanged by every queue it is routed to.
 *
 * Properties exist in two forms, the object and AMQP's bytes, and each is made from the other only when somebody
 * asks: a broker that passes a message through never decodes its headers, an in-process one never encodes them.
 */
import { MillraceError } from './errors.ts'
import { changeHeaderBytes, changeHeaders } from './header-change.ts'
import type { HeaderChange } from './header-change.ts'
import { decodeProperties, encodeProperties, maximumStoredPropertyBytes } from './properties.ts'
import type { Properties } from './properties.ts'

/** Bytes; a string stands for its UTF-8 bytes, so that JSON text need not be encoded before it meets a disk or socket. */
export type Body = Uint8Array | string

export class Message {
  readonly exchange: string
  readonly routingKey: string
  readonly body: Body
  #properties: Properties | undefined
  #propertyBytes: Uint8Array | undefined
  /** -1 until somebody asks. */
  #bodyLength: number

  private constructor(
    exchange: string,
    routingKey: string,
    body: Body,
    properties: Properties | undefined,
    propertyBytes: Uint8Array | undefined,
  ) {
    this.exchange = exchange
    this.routingKey = routingKey
    this.body = body
    this.#properties = properties
    this.#propertyBytes = propertyBytes
    this.#bodyLength = -1
  }

  static of(exchange: string, routingKey: string, properties: Properties, body: Body): Message {
    return new Message(exchange, routingKey, body, properties, undefined)
  }

  /** @param propertyBytes AMQP 0-9-1 property flags and list (section 4.2.6.1), kept as they are. */
  static ofBytes(exchange: string, routingKey: string, propertyBytes: Uint8Array, body: Body): Message {
    return new Message(exchange, routingKey, body, undefined, propertyBytes)
  }

  /** The same message for another address, its properties as they are, byte for byte. */
  readdressed(exchange: string, routingKey: string): Message {
    return new Message(exchange, routingKey, this.body, this.#properties, this.#propertyBytes)
  }

  /** The same message for another address with other headers; those that do not change stay as they are, byte for byte. */
  changed(exchange: string, routingKey: string, change: HeaderChange): Message {
    const bytes = this.#propertyBytes
    return bytes === undefined
      ? Message.of(exchange, routingKey, changeHeaders(this.properties, change), this.body)
      : Message.ofBytes(exchange, routingKey, changeHeaderBytes(bytes, change), this.body)
  }

  /** As `changed`; undefined where the properties do not fit then: they have a limit, which what a broker adds may break. */
  changedIfFits(
    exchange: string,
    routingKey: string,
    change: HeaderChange,
    maximumBytes = maximumStoredPropertyBytes,
  ): Message | undefined {
    try {
      const message = this.changed(exchange, routingKey, change)
      return message.propertyBytes.length <= maximumBytes ? message : undefined
    } catch (error) {
      if (error instanceof MillraceError) return undefined
      throw error
    }
  }

  get properties(): Properties {
    return (this.#properties ??= decodeProperties(this.#propertyBytes as Uint8Array))
  }

  /** The body's size in bytes. Counted once: for text of 1 KB that takes a third of a microsecond (benchmark P2). */
  get bodyLength(): number {
    if (this.#bodyLength < 0) this.#bodyLength = bodyLength(this.body)
    return this.#bodyLength
  }

  /** Of their bytes, as far as anybody asked for these: where there are headers, who took the message did, for their limit. */
  get knownPropertyBytes(): number {
    return this.#propertyBytes === undefined ? 0 : this.#propertyBytes.length
  }

  /** AMQP 0-9-1 property flags and list. */
  get propertyBytes(): Uint8Array {
    return (this.#propertyBytes ??= encodeProperties(this.#properties as Properties))
  }
}

/** The size of a body in bytes; counted each time, see `Message.bodyLength`. */
export function bodyLength(body: Body): number {
  return typeof body === 'string' ? Buffer.byteLength(body) : body.byteLength
}

/** A body as bytes. */
export function bodyBytes(body: Body): Uint8Array {
  return typeof body === 'string' ? Buffer.from(body) : body
}
