/** The routing keys of a message: its own, and those in its headers CC and BCC (https://www.rabbitmq.com/docs/sender-selected). */
import { typeName } from '../model/argument-reader.ts'
import { MillraceError } from '../model/errors.ts'
import { emptyFieldTable, fieldOf, isFieldArray } from '../model/field-value.ts'
import type { FieldTable } from '../model/field-value.ts'
import type { Message } from '../model/message.ts'

/** The message's routing key, then those of CC and BCC; what is no text there is passed over. */
export function routingKeysOf(message: Message): readonly string[] {
  const headers = message.properties.headers
  if (headers === undefined) return [message.routingKey]
  const keys = [message.routingKey]
  addKeys(headers, 'CC', keys)
  addKeys(headers, 'BCC', keys)
  return keys
}

/**
 * Throws PRECONDITION_FAILED where CC or BCC is no array, or there are more than `limit` keys in them.
 */
export function checkRoutingKeys(message: Message, limit: number): void {
  const headers = message.properties.headers
  if (headers === undefined) return
  const count = checkKeys(headers, 'CC') + checkKeys(headers, 'BCC')
  if (count <= limit) return
  throw new MillraceError(
    'PRECONDITION_FAILED',
    `the message has ${count} CC and BCC keys; ${limit} is the most`,
  )
}

/** The message as its receivers see it: without BCC. */
export function withoutBlindCopies(message: Message): Message {
  const headers = message.properties.headers
  if (headers === undefined || !Object.hasOwn(headers, 'BCC')) return message
  return message.changed(message.exchange, message.routingKey, blind)
}

const blind = { set: emptyFieldTable, remove: ['BCC'], dropsExpiration: false }

function addKeys(headers: FieldTable, name: 'CC' | 'BCC', keys: string[]): void {
  const value = fieldOf(headers, name)
  if (value === undefined || !isFieldArray(value)) return
  for (const key of value) if (typeof key === 'string') keys.push(key)
}

function checkKeys(headers: FieldTable, name: 'CC' | 'BCC'): number {
  const value = fieldOf(headers, name)
  if (value === undefined) return 0
  if (isFieldArray(value)) return value.length
  throw new MillraceError(
    'PRECONDITION_FAILED',
    `invalid message: {unacceptable_type_in_header,"${name}",${typeName(value)}}`,
  )
}
