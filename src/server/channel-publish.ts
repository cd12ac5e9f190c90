/**
 * basic.publish: the hot path. Exchange and routing key are those of the message before unless their bytes differ, so
 * are the terms of its properties; the body is copied once, out of the socket's chunk.
 */
import { settleKey } from '../model/extension.ts'
import { Message } from '../model/message.ts'
import { ProtocolError } from '../model/errors.ts'
import { ContentReader } from '../wire/content-reader.ts'
import { contentHeaderBytes } from '../wire/frame.ts'
import { PublishReader } from '../wire/message-methods.ts'
import { methodIds, replyCodes } from '../wire/methods.ts'
import type { Channel } from './channel.ts'
import { isReplyAddress, replyToName } from './direct-reply-to.ts'
import { PublishTermsReader } from './publish-terms.ts'
import type { PublishTerms } from './publish-terms.ts'
import { notImplemented, preconditionFailed } from './refusal.ts'

export class ChannelPublish {
  readonly #channel: Channel
  readonly #content: ContentReader
  readonly #method = new PublishReader()
  readonly #termsReader = new PublishTermsReader()
  #terms: PublishTerms | undefined
  readonly #messageBytes: number
  /** Of a body that has come in part. */
  #heldBytes: number

  constructor(channel: Channel, limits: { messageBytes: number }) {
    this.#channel = channel
    this.#messageBytes = limits.messageBytes
    this.#content = new ContentReader({ maximumBodyBytes: limits.messageBytes })
    this.#terms = undefined
    this.#heldBytes = 0
  }

  /** Throws where the content of the message before is not complete. */
  checkMethod(): void {
    this.#content.checkMethod()
  }

  method(buffer: Buffer, start: number, end: number): void {
    this.#method.read(buffer, start, end)
    this.#content.expect()
  }

  header(buffer: Buffer, start: number, end: number): void {
    const complete = this.#content.header(buffer, start, end)
    const { propertyBytes } = this.#content
    this.#terms = this.#termsReader.read(propertyBytes, buffer, start + contentHeaderBytes, end)
    if (complete) this.#publish()
  }

  body(buffer: Buffer, start: number, end: number, restBytes: number): void {
    if (this.#content.payload(buffer, start, end, restBytes)) {
      if (this.#heldBytes > 0) this.release()
      this.#publish()
    } else if (!this.#content.isTooLarge) {
      this.#heldBytes += end - start
      this.#channel.connection.server.partial.hold(end - start)
    }
  }

  /** The body that has come in part is complete, or will never be. */
  release(): void {
    this.#channel.connection.server.partial.release(this.#heldBytes)
    this.#heldBytes = 0
  }

  /** In RabbitMQ's order of checks. */
  #publish(): void {
    const channel = this.#channel
    const { exchange, routingKey, mandatory } = this.#method
    const body = this.#content.takeBody()
    if (this.#method.immediate) throw notImplemented('immediate=true')
    const bytes = this.#content.bodyBytes
    if (bytes > this.#messageBytes) {
      throw preconditionFailed(
        `message size ${bytes} is larger than configured max size ${this.#messageBytes}`,
      )
    }
    const terms = this.#terms
    if (terms === undefined) {
      const what = 'the content header holds no property list'
      throw new ProtocolError(replyCodes.SYNTAX_ERROR, what, methodIds['basic.publish'])
    }
    // Whoever holds a delivery may settle it.
    if (exchange === '' && routingKey === settleKey) return channel.settle(terms.propertyBytes)
    channel.access.checkPublish(exchange)
    if (channel.session.vhost.exchanges.get(exchange)?.kind === 'topic') {
      channel.access.checkTopic('write', exchange, routingKey)
    }
    if (terms.needsLook) this.#look(terms, exchange)
    const propertyBytes = terms.replyTo === replyToName ? this.#withAddress(terms) : terms.propertyBytes
    const message = Message.ofBytes(exchange, routingKey, propertyBytes, body)
    if (exchange === '' && isReplyAddress(routingKey)) channel.publishReply(message, mandatory)
    else channel.publish(message, mandatory ? terms.mandatory : terms.extras)
  }

  /** What most messages do not have. */
  #look(terms: PublishTerms, exchange: string): void {
    const { access, session } = this.#channel
    const { account } = access
    // Of several things wrong, the exchange comes first: the engine refuses an internal one.
    if (session.vhost.exchange(exchange).internal) return
    if (terms.userId !== '' && terms.userId !== account.name && !account.impersonator) {
      throw preconditionFailed(
        `user_id property set to '${terms.userId}' but authenticated user was '${account.name}'`,
      )
    }
    if (terms.refusal !== undefined) throw terms.refusal
  }

  /** The properties with the channel's address in the place of the pseudo-queue's name. */
  #withAddress(terms: PublishTerms): Buffer {
    const address = this.#channel.replyAddress
    if (address === undefined) throw preconditionFailed('fast reply consumer does not exist')
    const { propertyBytes, replyToAt } = terms
    const text = Buffer.from(address)
    return Buffer.concat([
      propertyBytes.subarray(0, replyToAt),
      Buffer.of(text.length),
      text,
      propertyBytes.subarray(replyToAt + 1 + terms.replyTo.length),
    ])
  }
}
