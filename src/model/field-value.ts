/** What the fields of an AMQP table hold, as JavaScript has it. Their bytes are field-table.ts. */

/** What a field holds. Integers have 64 bits at most, a Date the precision of a second; null is AMQP's "void". */
export type FieldValue =
  string | number | bigint | boolean | null | Date | Uint8Array | readonly FieldValue[] | FieldTable

/** Fields by name. Ask for a name that comes from outside with `Object.hasOwn`. */
export interface FieldTable {
  readonly [name: string]: FieldValue
}

/** The field of that name; undefined if there is none, were it a name that every object knows. */
export function fieldOf(table: FieldTable, name: string): FieldValue | undefined {
  return Object.hasOwn(table, name) ? table[name] : undefined
}

/** The table of no fields. */
export const emptyFieldTable: FieldTable = Object.freeze({})

/** How deep tables and arrays may stand in each other. */
export const maximumFieldDepth = 32

/**
 * Whether two values are the same: numbers by what they count, whatever their width (as RabbitMQ compares them), dates,
 * bytes, arrays and tables by what they hold.
 */
export function equalFieldValues(a: FieldValue, b: FieldValue): boolean {
  if (a === b) return true
  if (typeof a === 'bigint' || typeof b === 'bigint') return equalIntegers(a, b)
  if (typeof a !== 'object' || typeof b !== 'object' || a === null || b === null) return false
  if (a instanceof Date || b instanceof Date) {
    return a instanceof Date && b instanceof Date && a.getTime() === b.getTime()
  }
  if (a instanceof Uint8Array || b instanceof Uint8Array) {
    return a instanceof Uint8Array && b instanceof Uint8Array && Buffer.compare(a, b) === 0
  }
  if (isFieldArray(a) || isFieldArray(b)) {
    return isFieldArray(a) && isFieldArray(b) && equalArrays(a, b)
  }
  return equalFieldTables(a, b)
}

/** Whether two tables hold the same fields, in whatever order. */
function equalFieldTables(a: FieldTable, b: FieldTable): boolean {
  const names = Object.keys(a)
  if (names.length !== Object.keys(b).length) return false
  return names.every((name) => Object.hasOwn(b, name) && equalFieldValues(a[name]!, b[name]!))
}

export function isFieldArray(value: FieldValue): value is readonly FieldValue[] {
  return Array.isArray(value)
}

function equalIntegers(a: FieldValue, b: FieldValue): boolean {
  if (typeof a === 'number' && Number.isInteger(a)) return BigInt(a) === b
  if (typeof b === 'number' && Number.isInteger(b)) return BigInt(b) === a
  return false
}

function equalArrays(a: readonly FieldValue[], b: readonly FieldValue[]): boolean {
  return a.length === b.length && a.every((item, index) => equalFieldValues(item, b[index]!))
}
