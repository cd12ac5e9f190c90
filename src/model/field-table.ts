/**
 * AMQP 0-9-1 field tables (section 4.2.5.5), with RabbitMQ's type letters where they differ from the text
 * (https://www.rabbitmq.com/amqp-0-9-1-errata).
 *
 * ```text
 * table  length u32 | (name: length u8, bytes | value)*
 * array  length u32 | value*
 * value  letter | S, x, F, A: length u32, bytes
 *               | t bool  b i8  B u8  s i16  u u16  I i32  i u32  l, L i64  f f32  d f64
 *               | D scale u8, u32  T seconds i64  V nothing
 * ```
 *
 * The object form does not remember the width of a number: one that was read as `s` is written as `I`, a decimal becomes
 * a double, and a double without a fraction an integer. Where a table is passed through, its bytes are.
 */
import { FieldReader } from './field-reader.ts'
import type { FieldTable } from './field-value.ts'
import { borrowFieldWriter, returnFieldWriter } from './field-writer.ts'

export { emptyFieldTable, maximumFieldDepth } from './field-value.ts'
export type { FieldTable, FieldValue } from './field-value.ts'

/**
 * A table's bytes, its own length in front. An integer is written as `I` or, where that is too narrow, as `l`; a bigint
 * always as `l`; any other number as `d`. A field that is undefined is left out.
 *
 * Throws ValidationError INVALID_ARGUMENT for what no field can hold, a name of more than 255 bytes, and depth.
 */
export function encodeFieldTable(table: FieldTable): Uint8Array {
  const writer = borrowFieldWriter()
  try {
    writer.table(table, 1)
    return writer.take()
  } finally {
    returnFieldWriter(writer)
  }
}

/**
 * Throws as `encodeFieldTable` does, for what is to be put on record later. A name that was read from bytes which are no
 * UTF-8 may be longer when it is written.
 */
export function checkEncodable(table: FieldTable): void {
  if (Object.keys(table).length > 0) encodeFieldTable(table)
}

/**
 * @param bytes one table, its own length in front, and nothing after it
 *
 * An integer that JavaScript's numbers cannot hold becomes a bigint, and a string that is not UTF-8 becomes bytes.
 * Throws MillraceError INVALID_ARGUMENT for bytes that are no table.
 */
export function decodeFieldTable(bytes: Uint8Array): FieldTable {
  const reader = new FieldReader(bytes)
  const table = reader.table(1)
  reader.end()
  return table
}
