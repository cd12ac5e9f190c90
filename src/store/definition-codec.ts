/** Definitions to bytes and back: an AMQP field table of their fields. */
import type { FieldTable } from '../model/field-table.ts'
import { decodeFieldTable, encodeFieldTable } from '../model/field-table.ts'
import { fieldOf } from '../model/field-value.ts'
import type { Definition } from '../model/record.ts'

/** Tables inside go as bytes of their own, so that what is at the limit of nesting still fits. */
export function encodeDefinition(definition: Definition): Uint8Array {
  let table: FieldTable = { ...definition }
  if ('arguments' in definition) table = { ...table, arguments: encodeFieldTable(definition.arguments) }
  if ('definition' in definition) table = { ...table, definition: encodeFieldTable(definition.definition) }
  return encodeFieldTable(table)
}

/** Undefined when it is none. */
export function decodeDefinition(bytes: Uint8Array): Definition | undefined {
  let facts = decodeFieldTable(bytes)
  for (const name of ['arguments', 'definition']) {
    const encoded = fieldOf(facts, name)
    if (encoded instanceof Uint8Array) facts = { ...facts, [name]: decodeFieldTable(encoded) }
  }
  return isDefinition(facts) ? facts : undefined
}

const binding = { vhost: 'string', source: 'string', destination: 'string', destinationType: 'string' }

const grantee = { vhost: 'string', user: 'string' }
const policy = { vhost: 'string', name: 'string', operator: 'boolean' }
const limit = { scope: 'string', name: 'string', limit: 'string' }
const parameter = { vhost: 'string', component: 'string', name: 'string' }

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
  'user.defined': { name: 'string', passwordHash: 'string', hashing: 'string', tags: 'object' },
  'user.deleted': { name: 'string' },
  'permission.granted': { ...grantee, configure: 'string', write: 'string', read: 'string' },
  'permission.revoked': grantee,
  'topicPermission.granted': { ...grantee, exchange: 'string', write: 'string', read: 'string' },
  'topicPermission.revoked': { ...grantee, exchange: 'string' },
  'policy.defined': {
    ...policy,
    pattern: 'string',
    applyTo: 'string',
    priority: 'number',
    definition: 'object',
  },
  'policy.deleted': policy,
  'limit.set': { ...limit, value: 'number' },
  'limit.cleared': limit,
  'parameter.set': { ...parameter, value: 'string' },
  'parameter.cleared': parameter,
  'vhost.described': { vhost: 'string', description: 'string', tags: 'object', defaultQueueType: 'string' },
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
