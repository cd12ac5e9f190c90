/** What the port says of a queue, as the arguments that AMQP and RabbitMQ have for it. */
import { MillraceError, ValidationError } from '../model/errors.ts'
import type { FieldTable } from '../model/field-table.ts'
import type { QueueSpec } from '../client/driver.ts'

export function queueArguments(spec: QueueSpec): FieldTable {
  return {
    ...(spec.expiresMs !== undefined && { 'x-expires': spec.expiresMs }),
    ...(spec.messageTtlMs !== undefined && { 'x-message-ttl': spec.messageTtlMs }),
    ...(spec.maxPriority !== undefined && spec.maxPriority > 0 && { 'x-max-priority': spec.maxPriority }),
    ...(spec.maxLength !== undefined && { 'x-max-length': spec.maxLength }),
    ...(spec.maxLengthBytes !== undefined && { 'x-max-length-bytes': spec.maxLengthBytes }),
    ...(spec.overflow !== undefined && { 'x-overflow': spec.overflow }),
    ...(spec.deadLetter !== undefined && { 'x-dead-letter-exchange': spec.deadLetter.exchange }),
    ...(spec.deadLetter?.routingKey !== undefined && {
      'x-dead-letter-routing-key': spec.deadLetter.routingKey,
    }),
    ...(spec.deliveryLimit !== undefined && { 'x-delivery-limit': spec.deliveryLimit }),
    ...(spec.singleActiveConsumer === true && { 'x-single-active-consumer': true }),
  }
}

/** What AMQP calls a failed precondition is, for who calls us, a wrong argument. */
export function readArguments(parse: () => unknown): void {
  try {
    parse()
  } catch (error) {
    if (!(error instanceof MillraceError) || error.code !== 'PRECONDITION_FAILED') throw error
    throw new ValidationError('INVALID_ARGUMENT', error.message, { cause: error })
  }
}
