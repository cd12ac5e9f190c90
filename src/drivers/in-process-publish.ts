/** One message of the port into the engine, and what the engine says of it. */
import { persistentPublish, transientPublish } from '../broker/broker.ts'
import type { Broker, PublishExtras, PublishOutcome, VirtualHost } from '../broker/broker.ts'
import type { BrokerLimits } from '../broker/limits.ts'
import type { Outgoing, PublishResult } from '../client/driver.ts'
import { MillraceError, ValidationError } from '../model/errors.ts'
import { Message } from '../model/message.ts'

const stored: PublishResult = Object.freeze({ type: 'stored' })
const dropped: PublishResult = Object.freeze({ type: 'dropped' })
const unroutable: PublishResult = Object.freeze({ type: 'unroutable' })

/** The batch in parts of about so many bytes of bodies: between two of them its publisher can be held back. */
export function partsOf(batch: readonly Outgoing[], partBytes: number): readonly (readonly Outgoing[])[] {
  const parts: (readonly Outgoing[])[] = []
  let from = 0
  let bytes = 0
  for (let index = 0; index < batch.length; index += 1) {
    // Of text its characters: near enough, and nothing to count.
    bytes += batch[index]!.body.length
    if (bytes < partBytes) continue
    parts.push(batch.slice(from, index + 1))
    from = index + 1
    bytes = 0
  }
  if (parts.length === 0) return [batch]
  if (from < batch.length) parts.push(batch.slice(from))
  return parts
}

/** What is wrong with the message alone is its result, not an exception. */
export function publishOne(
  broker: Broker,
  vhost: VirtualHost,
  outgoing: Outgoing,
  nowMs: number,
): PublishResult {
  try {
    const message = messageOf(broker.limits, outgoing)
    return resultOf(vhost.publish(message, extrasOf(outgoing), nowMs), outgoing)
  } catch (error) {
    if (error instanceof MillraceError) return rejected(error)
    throw error
  }
}

/** @throws ValidationError MESSAGE_TOO_LARGE, HEADERS_TOO_LARGE, and for headers that cannot be encoded */
export function messageOf(limits: BrokerLimits, outgoing: Outgoing): Message {
  const message = Message.of(outgoing.exchange, outgoing.routingKey, outgoing.properties, outgoing.body)
  const bytes = message.bodyLength
  if (bytes > limits.maximumBodyBytes) throw tooLarge(bytes, limits.maximumBodyBytes)
  if (outgoing.properties.headers === undefined) return message
  const headerBytes = message.propertyBytes.byteLength
  if (headerBytes > limits.maximumHeaderBytes) throw headersTooLarge(headerBytes, limits.maximumHeaderBytes)
  return message
}

/** The common cases are constants: no object per message. */
export function extrasOf(outgoing: Outgoing): PublishExtras {
  const { properties, delayMs = 0, ttlMs = Infinity, key = '', dedupe } = outgoing
  const persistent = properties.deliveryMode !== 1
  const priority = properties.priority ?? 0
  const hasHeaders = properties.headers !== undefined
  if (
    delayMs === 0 &&
    ttlMs === Infinity &&
    key === '' &&
    dedupe === undefined &&
    priority === 0 &&
    !hasHeaders
  ) {
    return persistent ? persistentPublish : transientPublish
  }
  return { persistent, priority, mandatory: false, delayMs, ttlMs, key, dedupe, hasHeaders }
}

function resultOf(outcome: PublishOutcome, outgoing: Outgoing): PublishResult {
  switch (outcome.type) {
    case 'routed':
      return stored
    case 'unroutable':
      return outgoing.mandatory === true ? unroutable : dropped
    case 'duplicate':
      return { type: 'duplicate', messageId: outcome.messageId }
    case 'rejected':
      return rejected(queueFull(outgoing))
  }
}

export function queueFull(outgoing: Outgoing): MillraceError {
  return new MillraceError(
    'QUEUE_FULL',
    `The queue is full (routing key '${outgoing.routingKey}'); consume from it, raise its maxLength, or send later`,
  )
}

function rejected(error: Error): PublishResult {
  return { type: 'rejected', error }
}

function tooLarge(bytes: number, limit: number): ValidationError {
  return new ValidationError(
    'MESSAGE_TOO_LARGE',
    `The message's body has ${bytes} bytes and the limit is ${limit}; store it elsewhere and send its address`,
  )
}

function headersTooLarge(bytes: number, limit: number): ValidationError {
  return new ValidationError(
    'HEADERS_TOO_LARGE',
    `The message's headers and properties have ${bytes} bytes and the limit is ${limit}; put them into the body`,
  )
}
