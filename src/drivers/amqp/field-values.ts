/**
 * Header values between Millrace's form (model/field-value.ts) and amqplib's, which writes what JavaScript has no type
 * for as `{ '!': type, value }`.
 *
 * amqplib reads every 64-bit integer as a number, so one beyond 2^53 would come back rounded: its digits go along in
 * a header of their own.
 */
import { ValidationError } from '../../model/errors.ts'
import type { FieldTable, FieldValue } from '../../model/field-value.ts'
import { isFieldArray } from '../../model/field-value.ts'

/** Where in the headers which large integer stands: `{ '["a","b"]': '9007199254740993' }`. */
export const integersHeader = 'x-millrace-integers'

export type WireTable = Record<string, unknown>

/**
 * Headers as amqplib takes them; the table itself where there is nothing to change.
 * @throws ValidationError INVALID_ARGUMENT
 */
export function wireHeaders(headers: FieldTable): WireTable {
  if (isPlain(headers)) return headers
  const large: Record<string, string> = {}
  const table = wireTable(headers, [], large)
  if (Object.keys(large).length > 0) table[integersHeader] = large
  return table
}

/** Headers as they came from amqplib. */
export function fieldHeaders(headers: WireTable): FieldTable {
  const { [integersHeader]: large, ...rest } = headers
  const table = fieldTable(rest)
  if (typeof large !== 'object' || large === null) return table
  for (const [path, digits] of Object.entries(large)) restore(table, path, digits)
  return table
}

/** Nothing but text, booleans and integers that need no thought. */
function isPlain(table: FieldTable): boolean {
  for (const name in table) {
    const value = table[name]
    if (typeof value === 'string' || typeof value === 'boolean' || value === null) continue
    if (typeof value !== 'number' || !Number.isSafeInteger(value)) return false
  }
  return true
}

function wireTable(
  table: FieldTable,
  path: readonly (string | number)[],
  large: Record<string, string>,
): WireTable {
  const result: WireTable = {}
  for (const [name, value] of Object.entries(table)) result[name] = wireValue(value, [...path, name], large)
  if (path.length === 0 || !Object.hasOwn(result, '!')) return result
  throw new ValidationError(
    'INVALID_ARGUMENT',
    "a table among the headers has a field named '!', which amqplib takes for a type; name it otherwise",
  )
}

function wireValue(
  value: FieldValue,
  path: readonly (string | number)[],
  large: Record<string, string>,
): unknown {
  if (typeof value === 'bigint') {
    if (!Number.isSafeInteger(Number(value))) large[JSON.stringify(path)] = value.toString()
    return { '!': 'int64', value }
  }
  if (typeof value === 'number' && !Number.isSafeInteger(value)) return { '!': 'double', value }
  if (typeof value !== 'object' || value === null) return value
  if (value instanceof Date) return { '!': 'timestamp', value: Math.floor(value.getTime() / 1_000) }
  if (value instanceof Uint8Array) return Buffer.from(value.buffer, value.byteOffset, value.byteLength)
  if (isFieldArray(value)) return value.map((item, index) => wireValue(item, [...path, index], large))
  return wireTable(value, path, large)
}

function fieldTable(table: WireTable): Record<string, FieldValue> {
  const result: Record<string, FieldValue> = {}
  for (const [name, value] of Object.entries(table)) result[name] = fieldValue(value)
  return result
}

function fieldValue(value: unknown): FieldValue {
  if (typeof value !== 'object' || value === null) return value as FieldValue
  if (value instanceof Uint8Array) return value
  if (Array.isArray(value)) return value.map(fieldValue)
  const table = value as WireTable
  if (table['!'] === 'timestamp') return new Date(Number(table['value']) * 1_000)
  if (table['!'] === 'decimal') {
    const { places, digits } = table['value'] as { places: number; digits: number }
    return digits / 10 ** places
  }
  return fieldTable(table)
}

function restore(table: Record<string, FieldValue>, path: string, digits: unknown): void {
  if (typeof digits !== 'string' || !/^-?\d{1,20}$/.test(digits)) return
  let names: unknown
  try {
    names = JSON.parse(path)
  } catch {
    return
  }
  if (!Array.isArray(names)) return
  let at: unknown = table
  for (const name of names.slice(0, -1)) at = step(at, name)
  const last: unknown = names.at(-1)
  if (typeof step(at, last) === 'number') (at as Record<string, FieldValue>)[String(last)] = BigInt(digits)
}

/** What stands there, own fields only: the path comes from outside. */
function step(from: unknown, name: unknown): unknown {
  if (typeof from !== 'object' || from === null || !Object.hasOwn(from, String(name))) return undefined
  return (from as Record<string, unknown>)[String(name)]
}
