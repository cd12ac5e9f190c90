/**
 * Publishes over a connection of its own and waits for confirms. Its connection is not the consumers', because a server
 * short of memory or disk reads nothing more from who publishes: acknowledgements would be stuck behind.
 *
 * What is handed over waits in line while the connection is down, blocked or its buffer is full, or while too much is
 * unconfirmed. What was sent when the connection went is not sent again, since that might store it twice: its sender is
 * told CONNECTION_LOST and decides.
 */
import { Deque } from '../../std/deque.ts'
import { ClosedError, MillraceError } from '../../model/errors.ts'
import { duplicateReply } from '../../model/extension.ts'
import { aborted } from '../in-process-abort.ts'
import { openConfirmChannel } from './amqplib.ts'
import type { ConfirmChannel, Connection } from './amqplib.ts'
import type { Wire } from './envelope.ts'
import { asMillraceError, replyCodeOf } from './failure.ts'
import { newLink } from './link.ts'
import type { Link } from './link.ts'
import { Unconfirmed } from './unconfirmed.ts'
import type { Shipment, Verdict } from './unconfirmed.ts'

export type { Verdict } from './unconfirmed.ts'

export interface PublisherHooks {
  /** Connects; rejects with a MillraceError. */
  readonly dial: () => Promise<Connection>
  readonly onUp: () => void
  readonly onDown: (cause: Error) => void
  readonly onBlocked: (reason: string) => void
  readonly onUnblocked: () => void
}

/** A shipment on its way out. */
interface Parcel {
  readonly shipment: Shipment
  /** The next message to be written. */
  next: number
  readonly fail: (error: Error) => void
}

/** Of basic.return, as amqplib has them. */
interface ReturnFields {
  readonly exchange: string
  readonly routingKey: string
  readonly replyCode: number
  readonly replyText: string
}

/** Messages on their way at once; further ones wait in line. */
const maximumUnconfirmed = 20_000
/** Bytes of bodies on their way at once; one message may be larger. */
const maximumUnconfirmedBytes = 16 * 1_024 * 1_024
/** For confirms of what is on its way, when it is closed. */
const closeTimeoutMs = 2_000

export class Publisher {
  readonly #link: Link
  readonly #hooks: PublisherHooks
  readonly #line = new Deque<Parcel>()
  readonly #unconfirmed = new Unconfirmed()
  #channel: ConfirmChannel | undefined
  #blocked = false
  /** The connection's buffer is full. */
  #full = false
  #waking = false
  #closed = false
  #idle: (() => void) | undefined

  constructor(hooks: PublisherHooks) {
    this.#hooks = hooks
    this.#link = newLink({
      dial: hooks.dial,
      restore: (connection) => this.#openChannel(connection),
      onUp: () => {
        hooks.onUp()
        this.#pump()
      },
      onDown: (cause) => this.#down(cause),
      onBlocked: (reason) => this.#setBlocked(reason),
    })
  }

  /** What became of each, in order. @throws ClosedError; MillraceError ABORTED; ACCESS_REFUSED, NOT_ALLOWED while refused */
  send(wires: readonly Wire[], signal?: AbortSignal): Promise<readonly Verdict[]> {
    return new Promise((resolve, reject) => {
      if (this.#closed) return reject(closed())
      if (signal?.aborted === true) return reject(aborted(signal))
      const verdicts: (Verdict | undefined)[] = Array.from({ length: wires.length })
      const settled = (): void => resolve(verdicts as Verdict[])
      const shipment: Shipment = { wires, verdicts, undecided: wires.length, settled }
      if (wires.length === 0) return settled()
      const parcel: Parcel = { shipment, next: 0, fail: reject }
      if (signal !== undefined) this.#follow(parcel, signal)
      this.#line.push(parcel)
      this.#pump()
    })
  }

  async #openChannel(connection: Connection): Promise<void> {
    const channel = await openConfirmChannel(connection, (cause) => this.#channelClosed(channel, cause))
    channel.on('ack', ({ deliveryTag, multiple }) => this.#confirmed(deliveryTag, multiple, 'stored'))
    channel.on('nack', ({ deliveryTag, multiple }) => this.#confirmed(deliveryTag, multiple, 'refused'))
    channel.on('return', (message) => {
      const { exchange, routingKey, replyCode, replyText } = message.fields as unknown as ReturnFields
      const messageId = message.properties.messageId as string | undefined
      const verdict = replyCode === duplicateReply ? { duplicateOf: replyText } : 'returned'
      this.#unconfirmed.returned({ exchange, routingKey, messageId }, verdict)
    })
    channel.on('drain', () => {
      this.#full = false
      this.#pump()
    })
    this.#channel = channel
    this.#full = false
  }

  /** What is in line is refused; what is on its way has a moment to be confirmed. Idempotent. */
  async close(): Promise<void> {
    this.#closed = true
    for (let parcel = this.#line.shift(); parcel !== undefined; parcel = this.#line.shift()) {
      parcel.fail(closed())
      this.#callOff(parcel)
    }
    if (this.#unconfirmed.count > 0 && !this.#blocked && this.#channel !== undefined) {
      const idle = new Promise<void>((resolve) => (this.#idle = resolve))
      let timer: NodeJS.Timeout | undefined
      const late = new Promise<void>((resolve) => (timer = setTimeout(resolve, closeTimeoutMs)))
      await Promise.race([idle, late])
      clearTimeout(timer)
    }
    this.#unconfirmed.abandon(() => closed())
    await this.#link.close()
  }

  /** The connection is gone. */
  #down(cause: Error): void {
    this.#channel = undefined
    this.#setBlocked(undefined)
    this.#unconfirmed.abandon(() => cause)
    if (this.#line.length > 0) this.#wake()
    this.#hooks.onDown(cause)
  }

  /** The server takes nothing for this reason; undefined: it does again. */
  #setBlocked(reason: string | undefined): void {
    const blocked = reason !== undefined
    if (blocked === this.#blocked) return
    this.#blocked = blocked
    if (blocked) this.#hooks.onBlocked(reason)
    else this.#hooks.onUnblocked()
    if (!blocked) this.#pump()
  }

  /** Writes what may be written now. */
  #pump(): void {
    const channel = this.#channel
    if (channel === undefined) return this.#wake()
    while (!this.#blocked && !this.#full && !this.#crowded()) {
      const parcel = this.#line.peekFirst()
      if (parcel === undefined) return
      if (this.#writeNext(channel, parcel)) this.#line.shift()
      if (this.#channel !== channel) return
    }
  }

  /** Writes one message; true where it was the parcel's last. */
  #writeNext(channel: ConfirmChannel, parcel: Parcel): boolean {
    const { shipment } = parcel
    const index = parcel.next
    if (index >= shipment.wires.length) return true
    parcel.next += 1
    const wire = shipment.wires[index] as Wire
    try {
      this.#full = !channel.publish(wire.exchange, wire.routingKey, wire.content, wire.fields)
      this.#unconfirmed.add(shipment, index)
    } catch (error) {
      // What amqplib cannot encode, or a channel that has just closed.
      shipment.verdicts[index] = asMillraceError(error, 'publish the message')
      shipment.undecided -= 1
      if (shipment.undecided === 0) shipment.settled()
    }
    return parcel.next >= shipment.wires.length
  }

  #crowded(): boolean {
    const { count, bytes } = this.#unconfirmed
    return count >= maximumUnconfirmed || bytes >= maximumUnconfirmedBytes
  }

  /** Sees to it that there is a connection; where there will be none, who waits is told. */
  #wake(): void {
    if (this.#waking) return
    this.#waking = true
    this.#link.whenUp().then(
      () => {
        this.#waking = false
        // Up, and its channel closed since: the next message opens another.
        if (this.#channel === undefined && this.#line.length > 0) this.#reopen()
        else this.#pump()
      },
      (error: unknown) => {
        this.#waking = false
        for (let parcel = this.#line.shift(); parcel !== undefined; parcel = this.#line.shift()) {
          parcel.fail(error as Error)
        }
      },
    )
  }

  #reopen(): void {
    const { connection } = this.#link
    if (connection === undefined || this.#waking) return
    this.#waking = true
    this.#openChannel(connection).then(
      () => {
        this.#waking = false
        this.#pump()
      },
      (error: unknown) => {
        this.#waking = false
        this.#link.fail(connection, asMillraceError(error, 'open a channel'))
      },
    )
  }

  #confirmed(tag: number, multiple: boolean, verdict: Verdict): void {
    this.#unconfirmed.confirm(tag, multiple, verdict)
    if (this.#unconfirmed.count === 0) this.#idle?.()
    if (this.#line.length > 0) this.#pump()
  }

  /**
   * The server closed the channel over one message, or with its connection. Messages to the exchange it names share its
   * reason; of the others it is not known whether they were stored.
   */
  #channelClosed(channel: ConfirmChannel, cause: Error | undefined): void {
    if (this.#channel !== channel) return
    this.#channel = undefined
    if (cause === undefined) return
    const exchange = /exchange '(?<name>.*)' in vhost/.exec(cause.message)?.groups?.['name']
    const reason = asMillraceError(cause, exchange === undefined ? 'publish' : `publish to ${exchange}`)
    const unknown = new MillraceError(
      'CONNECTION_LOST',
      `The channel was closed over another message (${cause.message}) before this one was confirmed: it may be stored or not`,
      { cause },
    )
    const named = exchange === 'amq.default' ? '' : exchange
    const isOfAll = replyCodeOf(cause) === undefined
    this.#unconfirmed.abandon((wire) => (isOfAll || wire.exchange === named ? reason : unknown))
    if (this.#line.length > 0) this.#wake()
  }

  #follow(parcel: Parcel, signal: AbortSignal): void {
    const abort = (): void => {
      parcel.fail(aborted(signal))
      this.#callOff(parcel)
    }
    signal.addEventListener('abort', abort, { once: true })
    const { settled } = parcel.shipment
    parcel.shipment.settled = () => {
      signal.removeEventListener('abort', abort)
      settled()
    }
  }

  /** What is not written yet will not be. */
  #callOff(parcel: Parcel): void {
    parcel.next = parcel.shipment.wires.length
  }
}

function closed(): ClosedError {
  return new ClosedError('The connection was closed before the message was sent')
}
