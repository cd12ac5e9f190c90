/**
 * What a message's properties say to the broker: how long it is to be kept, how urgent it is, who sent it.
 *
 * A publisher's messages mostly have the same properties, byte by byte: then the terms read for the one before serve again,
 * and nothing is made per message (benchmark P4).
 */
import { persistentPublish, transientPublish } from '../broker/broker.ts'
import type { PublishExtras } from '../broker/broker.ts'
import { MillraceError } from '../model/errors.ts'
import { decodeProperties, maximumStoredPropertyBytes } from '../model/properties.ts'
import { extrasWithHeaders } from './publish-headers.ts'
import { PropertyPlaces, scanProperties, textAt } from './property-scan.ts'

export class PublishTerms {
  /** The property flags and list. */
  readonly propertyBytes: Uint8Array
  readonly extras: PublishExtras
  /** '' where it is not said. */
  readonly userId: string
  /** '' where it is not said. */
  readonly replyTo: string
  /** Where in the bytes it stands. */
  readonly replyToAt: number
  /** What is wrong with them. */
  readonly refusal: MillraceError | undefined
  /** There is a user id to be checked, or a refusal. */
  readonly needsLook: boolean
  #mandatory: PublishExtras | undefined

  constructor(fields: {
    propertyBytes: Uint8Array
    extras: PublishExtras
    userId: string
    replyTo: string
    replyToAt: number
    refusal: MillraceError | undefined
  }) {
    this.propertyBytes = fields.propertyBytes
    this.extras = fields.extras
    this.userId = fields.userId
    this.replyTo = fields.replyTo
    this.replyToAt = fields.replyToAt
    this.refusal = fields.refusal
    this.needsLook = fields.userId !== '' || fields.refusal !== undefined
    this.#mandatory = undefined
  }

  /** As `extras`, for a message that comes back where no queue takes it. */
  get mandatory(): PublishExtras {
    return (this.#mandatory ??= { ...this.extras, mandatory: true })
  }
}

/** Reads the terms of one channel's messages. */
export class PublishTermsReader {
  readonly #places = new PropertyPlaces()
  #last: PublishTerms | undefined

  /**
   * Undefined for bytes that are no property list.
   *
   * @param propertyBytes the same object where they are those of the message before
   * @param buffer where they stand too, from `start` to `end`
   */
  read(propertyBytes: Uint8Array, buffer: Buffer, start: number, end: number): PublishTerms | undefined {
    const last = this.#last
    if (last !== undefined && last.propertyBytes === propertyBytes) return last
    const places = this.#places
    scanProperties(places, buffer, start, end)
    if (places.malformed) return undefined
    return (this.#last = termsOf(propertyBytes, places, buffer, start))
  }
}

function termsOf(
  propertyBytes: Uint8Array,
  places: PropertyPlaces,
  buffer: Buffer,
  start: number,
): PublishTerms {
  const priority = places.priority === -1 ? 0 : buffer[places.priority]!
  const persistent = places.deliveryMode !== -1 && buffer[places.deliveryMode] === 2
  const expiration = places.expiration === -1 ? undefined : textAt(buffer, places.expiration)
  const ttlMs = expiration === undefined ? Infinity : ttlOf(expiration)
  const hasHeaders = places.hasCopies
  const plain = priority === 0 && ttlMs === Infinity && !hasHeaders
  const common = persistent ? persistentPublish : transientPublish
  const extras = plain || ttlMs instanceof MillraceError ? common : { ...common, priority, ttlMs, hasHeaders }
  const own = places.hasOwnHeaders ? withOwnHeaders(extras, propertyBytes) : extras
  return new PublishTerms({
    propertyBytes,
    extras: own instanceof MillraceError ? extras : own,
    userId: places.userId === -1 ? '' : textAt(buffer, places.userId),
    replyTo: places.replyTo === -1 ? '' : textAt(buffer, places.replyTo),
    replyToAt: places.replyTo - start,
    refusal:
      errorIn(ttlMs) ??
      wrongDeliveryMode(buffer, places.deliveryMode) ??
      errorIn(own) ??
      tooLarge(propertyBytes),
  })
}

function errorIn(value: unknown): MillraceError | undefined {
  return value instanceof MillraceError ? value : undefined
}

function tooLarge({ length }: Uint8Array): MillraceError | undefined {
  if (length <= maximumStoredPropertyBytes) return undefined
  const what = `the properties have ${length} bytes, ${maximumStoredPropertyBytes} at most; put large values into the body`
  return new MillraceError('PRECONDITION_FAILED', what)
}

function withOwnHeaders(extras: PublishExtras, propertyBytes: Uint8Array): PublishExtras | MillraceError {
  try {
    return extrasWithHeaders(extras, decodeProperties(propertyBytes).headers ?? {})
  } catch (error) {
    if (error instanceof MillraceError) return error
    throw error
  }
}

function wrongDeliveryMode(buffer: Buffer, at: number): MillraceError | undefined {
  const mode = at === -1 ? 1 : buffer[at]!
  if (mode === 1 || mode === 2) return undefined
  return new MillraceError('PRECONDITION_FAILED', `invalid message: {delivery_mode_unknown,${mode}}`)
}

/** What Erlang's timers can wait: 49 days. */
const maximumTtlMs = 4_294_967_295

/** RabbitMQ takes a whole number of milliseconds, and says in Erlang's words what else it was. */
function ttlOf(expiration: string): number | MillraceError {
  const match = /^([+-]?\d+)(.*)$/s.exec(expiration)
  if (match === null) return invalid(expiration, 'no_integer')
  if (match[2] !== '') return invalid(expiration, `{leftover_string,"${match[2]}"}`)
  const ttlMs = Number(match[1])
  if (ttlMs < 0) return invalid(expiration, `{value_negative,${ttlMs}}`)
  if (ttlMs > maximumTtlMs) return invalid(expiration, `{value_too_large,${match[1]}}`)
  return ttlMs
}

function invalid(expiration: string, why: string): MillraceError {
  return new MillraceError('PRECONDITION_FAILED', `invalid expiration '${expiration}': ${why}`)
}
