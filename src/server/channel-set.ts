/** The channels of one connection by number. */
import { frameType } from '../wire/frame.ts'
import { methodIdAt } from '../wire/method-codec.ts'
import { methodIds } from '../wire/methods.ts'
import { unexpectedFrame } from '../wire/wire-errors.ts'
import { Channel } from './channel.ts'
import type { Connection } from './connection.ts'
import { checkChannelLimit } from './operator-limits.ts'
import { channelError, notAllowed } from './refusal.ts'

export class ChannelSet {
  readonly #connection: Connection
  readonly #byNumber: Map<number, Channel>
  /** That of the last frame: frames come in rows. */
  #last: Channel | undefined

  constructor(connection: Connection) {
    this.#connection = connection
    this.#byNumber = new Map()
    this.#last = undefined
  }

  get size(): number {
    return this.#byNumber.size
  }

  get(number: number): Channel | undefined {
    const last = this.#last
    if (last !== undefined && last.number === number) return last
    const channel = this.#byNumber.get(number)
    if (channel !== undefined) this.#last = channel
    return channel
  }

  values(): IterableIterator<Channel> {
    return this.#byNumber.values()
  }

  /** The first method of a channel that is not there: makes it. Throws for any other than channel.open. */
  open(number: number, payload: Buffer): Channel {
    const connection = this.#connection
    const { access } = connection
    if (access === undefined) throw unexpectedFrame(frameType.method, payload)
    const { channelMax } = connection.handshake.tuned
    if (channelMax !== 0 && this.size >= channelMax) {
      throw notAllowed(
        `number of channels opened (${this.size}) has reached the negotiated channel_max (${channelMax})`,
      )
    }
    checkChannelLimit(connection.server, access.account.name)
    if (methodIdAt(payload, 0) !== methodIds['channel.open']) throw channelError("expected 'channel.open'")
    const channel = new Channel(connection, number, access)
    this.#byNumber.set(number, channel)
    return channel
  }

  forget(channel: Channel): void {
    if (this.#byNumber.get(channel.number) === channel) this.#byNumber.delete(channel.number)
    if (this.#last === channel) this.#last = undefined
  }

  /** The connection ends. */
  abandon(): void {
    for (const channel of this.#byNumber.values()) channel.abandon()
    this.#byNumber.clear()
    this.#last = undefined
  }

  /** No more deliveries; from inside a dispatch too: the engine is not called, it sees the flag at the next one. */
  stop(): void {
    for (const channel of this.#byNumber.values()) channel.session.flowing = false
  }

  /** Deliveries again. */
  flow(): void {
    for (const channel of this.#byNumber.values()) {
      if (channel.state === 'open') channel.session.setFlow(true)
    }
  }
}
