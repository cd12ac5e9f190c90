/** What the fields of an AMQP table hold, as JavaScript has it. Their bytes are field-table.ts. */

/** What a field holds. Integers have 64 bits at most, a Date the precision of a second; null is AMQP's "void". */
export type FieldValue =
  string | number | bigint | boolean | null | Date | Uint8Array | readonly FieldValue[] | FieldTable

/** Fields by name. Ask for a name that comes from outside with `Object.hasOwn`. */
export interface FieldTable {
  readonly [name: string]: FieldValue
}

/** The table of no fields. */
export const emptyFieldTable: FieldTable = Object.freeze({})

/** How deep tables and arrays may stand in each other. */
export const maximumFieldDepth = 32
