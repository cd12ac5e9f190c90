/** Definitions to bytes and back: an AMQP field table of their fields. */
import type { FieldTable } from '../model/field-table.ts'
import { decodeFieldTable, encodeFieldTable } from '../model/field-table.ts'
import type { Definition } from '../model/record.ts'

/** The arguments go as bytes of their own, so that what is at the limit of nesting still fits. */
export function encodeDefinition(definition: Definition): Uint8Array {
  const table: FieldTable =
    'arguments' in definition
      ? { ...definition, arguments: encodeFieldTable(definition.arguments) }
      : { ...definition }
  return encodeFieldTable(table)
}

/** Undefined when it is none. */
export function decodeDefinition(bytes: Uint8Array): Definition | undefined {
  const table = decodeFieldTable(bytes)
  const encoded = table['arguments']
  const facts = encoded instanceof Uint8Array ? { ...table, arguments: decodeFieldTable(encoded) } : table
  return isDefinition(facts) ? facts : undefined
}

const binding = { vhost: 'string', source: 'string', destination: 'string', destinationType: 'string' }

/** The fields of each kind, and what `typeof` says of them. */
const fieldsOf: { readonly [Type in Definition['type']]: Readonly<Record<string, string>> } = {
  'vhost.declared': { vhost: 'string' },
  'vhost.deleted': { vhost: 'string' },
  'exchange.declared': { vhost: 'string', name: 'string', kind: 'string', arguments: 'object' },
  'exchange.deleted': { vhost: 'string', name: 'string' },
  'queue.declared': { id: 'number', vhost: 'string', name: 'string', arguments: 'object' },
  'queue.deleted': { id: 'number' },
  'queue.paused': { id: 'number', paused: 'boolean' },
  bound: { ...binding, routingKey: 'string', arguments: 'object' },
  unbound: { ...binding, routingKey: 'string', arguments: 'object' },
  deduplicated: { queueId: 'number', key: 'string', messageId: 'string', untilMs: 'number' },
}

function isDefinition(value: FieldTable): value is FieldTable & Definition {
  const { type } = value
  if (typeof type !== 'string' || !isDefinitionType(type)) return false
  for (const [name, kind] of Object.entries(fieldsOf[type])) if (typeof value[name] !== kind) return false
  return true
}

function isDefinitionType(type: string): type is Definition['type'] {
  return Object.hasOwn(fieldsOf, type)
}
