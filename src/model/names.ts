/**
 * Names of queues and exchanges, and routing keys: what every engine takes. AMQP carries each as a short string, 255 bytes
 * of UTF-8 at most; RabbitMQ keeps names beginning `amq.` for itself and strips line breaks.
 */
import { ValidationError } from './errors.ts'

/** Bytes of UTF-8 in a name or routing key. */
const maximumNameBytes = 255

/** Names of the broker's own begin with this. */
const reservedPrefix = 'amq.'

/** Line breaks, and halves of a character that UTF-8 cannot hold. */
const unfitForNames = /[\r\n]|\p{Surrogate}/u

const unfitForKeys = /\p{Surrogate}/u

/** Throws ValidationError INVALID_NAME for a name that no queue of a client can have. */
export function assertQueueName(name: string): void {
  assertName(name, 'queue')
}

/** Throws ValidationError INVALID_NAME for a name that no exchange of a client can have. */
export function assertExchangeName(name: string): void {
  assertName(name, 'exchange')
}

/** Throws ValidationError INVALID_NAME for what is no routing key; it may be empty. */
export function assertRoutingKey(key: string): void {
  if (typeof key !== 'string') throw invalid(`a routing key must be text, not ${typeOf(key)}`)
  assertLength(key, 'a routing key')
  if (unfitForKeys.test(key))
    throw invalid(`the routing key ${show(key)} is no valid Unicode text; encode it first`)
}

/** Whether the name is one of those that only the broker itself gives. */
export function isReservedName(name: string): boolean {
  return name.startsWith(reservedPrefix)
}

/** A name as a broker declares it: RabbitMQ strips CR and LF. */
export function stripLineBreaks(name: string): string {
  return name.includes('\n') || name.includes('\r') ? name.replaceAll(/[\r\n]/g, '') : name
}

/** Whether AMQP can carry it as a short string. */
export function isShortString(text: string): boolean {
  return text.length * 3 <= maximumNameBytes || Buffer.byteLength(text) <= maximumNameBytes
}

function assertName(name: string, kind: 'queue' | 'exchange'): void {
  if (typeof name !== 'string') throw invalid(`the name of the ${kind} must be text, not ${typeOf(name)}`)
  if (name === '') throw invalid(`the name of the ${kind} is empty; give it one`)
  assertLength(name, `the name of the ${kind}`)
  if (isReservedName(name)) {
    throw invalid(`${kind} names beginning '${reservedPrefix}' are the broker's own; rename ${show(name)}`)
  }
  if (unfitForNames.test(name)) {
    throw invalid(
      `the ${kind} name ${show(name)} has a line break or is no valid Unicode text; leave that out`,
    )
  }
}

function assertLength(text: string, what: string): void {
  if (isShortString(text)) return
  const bytes = Buffer.byteLength(text)
  throw invalid(`${what} has ${bytes} bytes; shorten it to ${maximumNameBytes} at most: ${show(text)}`)
}

function show(text: string): string {
  return JSON.stringify(text.length > 40 ? `${text.slice(0, 40)}…` : text)
}

function typeOf(value: unknown): string {
  return value === null ? 'null' : typeof value
}

function invalid(message: string): ValidationError {
  return new ValidationError('INVALID_NAME', message)
}
