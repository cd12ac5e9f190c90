/**
 * Methods from bytes to objects and back, by the generated table (section 4.2.5: fields stand one after another, neighbouring
 * bits share a byte, lowest first). This is the way of every method but the few that come with each message: those have ways of
 * their own that make no object, in message-methods.ts and frame-writer.ts.
 */
import { MillraceError, ProtocolError } from '../model/errors.ts'
import { FieldReader } from '../model/field-reader.ts'
import type { FieldTable } from '../model/field-table.ts'
import { borrowFieldWriter, returnFieldWriter } from '../model/field-writer.ts'
import type { FieldWriter } from '../model/field-writer.ts'
import { longAt } from './frame-bytes.ts'
import { methodNameOf } from './method.ts'
import type { FieldTypes, Method, MethodName } from './method.ts'
import { methodFields, methodIds } from './methods.ts'
import { undecodable } from './wire-errors.ts'

/** Class and method number in front of a method's payload, as `class << 16 | method`; see `methodIds`. */
export function methodIdAt(buffer: Buffer, start: number): number {
  return longAt(buffer, start)
}

/**
 * The method whose payload lies from `start` to `end`, class and method number in front. It shares no memory with the buffer.
 *
 * Throws ProtocolError: 501 where the fields end early or late or a short string is no UTF-8, 502 for a malformed table, 503
 * for a method that does not exist (at the last two RabbitMQ drops the connection without a word).
 */
export function decodeMethod(buffer: Buffer, start: number, end: number): Method {
  const id = methodIdAt(buffer, start)
  const name = methodNameOf(id)
  if (name === undefined) throw new ProtocolError(503, 'unimplemented method', id)
  const reader = new FieldReader(buffer.subarray(start + 4, end))
  try {
    return decodeFields(reader, name)
  } catch (error) {
    if (error instanceof ProtocolError || !(error instanceof MillraceError)) throw error
    throw undecodable(id, buffer.subarray(start + 4, end))
  }
}

/** A method's payload, class and method number in front. Throws ValidationError for a value that its field cannot hold. */
export function encodeMethod(method: Method): Uint8Array {
  const writer = borrowFieldWriter()
  try {
    writer.long(methodIds[method.type])
    encodeFields(writer, method)
    return writer.take()
  } finally {
    returnFieldWriter(writer)
  }
}

interface Field {
  readonly name: string
  readonly type: keyof FieldTypes
  /** Not in the object; written as nothing. */
  readonly isReserved: boolean
  /** Which bit of its byte, for a bit. */
  readonly bit: number
}

const fieldsByMethod: ReadonlyMap<MethodName, readonly Field[]> = new Map(
  Object.entries(methodFields).map(([name, fields]) => [name as MethodName, planOf(fields)]),
)

function planOf(fields: Readonly<Record<string, string>>): readonly Field[] {
  let bit = -1
  return Object.entries(fields).map(([name, kind]) => {
    const type = kind.replace('reserved ', '') as keyof FieldTypes
    bit = type === 'bit' ? (bit + 1) % 8 : -1
    return { name, type, isReserved: kind.startsWith('reserved '), bit }
  })
}

function decodeFields(reader: FieldReader, name: MethodName): Method {
  const method: Record<string, unknown> = { type: name }
  let bits = 0
  for (const field of fieldsByMethod.get(name) as readonly Field[]) {
    if (field.bit === 0) bits = reader.octet()
    const value = field.type === 'bit' ? (bits & (1 << field.bit)) !== 0 : decodeField(reader, field, name)
    if (!field.isReserved) method[field.name] = value
  }
  reader.end()
  return method as Method
}

function decodeField(reader: FieldReader, field: Field, name: MethodName): FieldTypes[keyof FieldTypes] {
  switch (field.type) {
    case 'octet':
    case 'bit':
      return reader.octet()
    case 'short':
      return reader.short()
    case 'long':
      return reader.long()
    case 'longlong':
      return reader.longLong()
    case 'shortstr': {
      const text = reader.strictShortString()
      if (text === undefined) throw new ProtocolError(501, 'Malformed UTF-8 in shortstr')
      return text
    }
    case 'longstr':
      return reader.longBytes()
    case 'longtext':
      return Buffer.from(reader.longBytes()).toString()
    case 'table':
      return decodeTable(reader, field, name)
  }
}

function decodeTable(reader: FieldReader, field: Field, name: MethodName): FieldTable {
  try {
    return reader.table(1)
  } catch (error) {
    if (!(error instanceof MillraceError)) throw error
    throw new ProtocolError(502, `${field.name} of ${name}: ${error.message}`, methodIds[name])
  }
}

function encodeFields(writer: FieldWriter, method: Method): void {
  const values = method as unknown as Readonly<Record<string, FieldTypes[keyof FieldTypes]>>
  const fields = fieldsByMethod.get(method.type) as readonly Field[]
  let bits = 0
  for (const [index, field] of fields.entries()) {
    const value = field.isReserved ? nothing[field.type] : values[field.name]
    if (field.type === 'bit') {
      if (value === true) bits |= 1 << field.bit
      if (field.bit === 7 || fields[index + 1]?.type !== 'bit') {
        writer.octet(bits)
        bits = 0
      }
    } else {
      encodeField(writer, field, value as FieldTypes[keyof FieldTypes])
    }
  }
}

/** What is written for a reserved field. */
const nothing: FieldTypes = {
  octet: 0,
  short: 0,
  long: 0,
  longlong: 0,
  bit: false,
  shortstr: '',
  longstr: new Uint8Array(0),
  longtext: '',
  table: {},
}

function encodeField(writer: FieldWriter, field: Field, value: FieldTypes[keyof FieldTypes]): void {
  switch (field.type) {
    case 'octet':
    case 'bit':
      return writer.octet(value as number)
    case 'short':
      return writer.short(value as number)
    case 'long':
      return writer.long(value as number)
    case 'longlong':
      return writer.longLong(value as number)
    case 'shortstr':
      return writer.shortString(value as string, field.name)
    case 'longstr':
      writer.long((value as Uint8Array).length)
      return writer.raw(value as Uint8Array)
    case 'longtext':
      return writer.longString(value as string)
    case 'table':
      return writer.table(value as FieldTable, 1, field.name)
  }
}
