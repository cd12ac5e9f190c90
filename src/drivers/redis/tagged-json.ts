/**
 * Field tables as JSON that any language reads: what JSON has no word for is an object with one member whose name begins
 * with a dollar sign.
 *
 * ```text
 * {"$bytes": "AAH/"}   base64        {"$time": 1700000000000}   ms since the epoch
 * {"$integer": "9007199254740993"}   {"$number": "NaN"}
 * {"$table": {…}}      a table whose own first name begins with a dollar sign
 * ```
 */
import type { FieldTable, FieldValue } from '../../model/field-table.ts'
import { isFieldArray } from '../../model/field-value.ts'

type Json = string | number | boolean | null | readonly Json[] | { readonly [name: string]: Json }

export function toJson(value: FieldValue): Json {
  if (typeof value === 'bigint') return { $integer: value.toString() }
  if (typeof value === 'number') return Number.isFinite(value) ? value : { $number: String(value) }
  if (typeof value !== 'object' || value === null) return value
  if (value instanceof Date) return { $time: value.getTime() }
  if (value instanceof Uint8Array) return { $bytes: Buffer.from(value).toString('base64') }
  if (isFieldArray(value)) return value.map(toJson)
  const table = tableToJson(value)
  return Object.keys(value)[0]?.startsWith('$') === true ? { $table: table } : table
}

export function tableToJson(table: FieldTable): { [name: string]: Json } {
  const result: { [name: string]: Json } = {}
  for (const [name, value] of Object.entries(table)) {
    // What is undefined is left out, as in a field table's bytes.
    if (value !== undefined) result[name] = toJson(value)
  }
  return result
}

export function fromJson(json: unknown): FieldValue {
  if (Array.isArray(json)) return json.map(fromJson)
  if (typeof json !== 'object' || json === null) return json as FieldValue
  const [first] = Object.entries(json)
  if (first?.[0].startsWith('$') === true) return special(first[0], first[1])
  return tableFromJson(json as { [name: string]: unknown })
}

export function tableFromJson(json: { readonly [name: string]: unknown }): FieldTable {
  const result: Record<string, FieldValue> = {}
  for (const [name, value] of Object.entries(json)) result[name] = fromJson(value)
  return result
}

function special(name: string, value: unknown): FieldValue {
  switch (name) {
    case '$bytes':
      return Buffer.from(String(value), 'base64')
    case '$time':
      return new Date(Number(value))
    case '$integer':
      // What another program wrote wrong is a table like others.
      return /^-?\d{1,20}$/.test(String(value)) ? BigInt(String(value)) : { [name]: fromJson(value) }
    case '$number':
      return Number(value)
    case '$table':
      return tableFromJson(Object(value) as { [name: string]: unknown })
    default:
      return { [name]: fromJson(value) }
  }
}
