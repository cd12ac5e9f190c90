/**
 * A method as an object: `type` is its name in AMQP, the rest its fields in camel case, without the reserved ones.
 *
 * ```ts
 * { type: 'queue.purge', queue: 'emails', nowait: false }
 * ```
 *
 * The types are derived from the generated table in methods.ts.
 */
import type { FieldTable } from '../model/field-table.ts'
import { methodFields, methodIds, methodsWithContent } from './methods.ts'

/** A method's name, such as `basic.publish`. */
export type MethodName = keyof typeof methodFields

/** What a field of each type is in JavaScript (section 4.2.5). */
export interface FieldTypes {
  /** 8 bits, unsigned. */
  octet: number
  /** 16 bits, unsigned. */
  short: number
  /** 32 bits, unsigned. */
  long: number
  /** 64 bits, unsigned; beyond 2 ** 53 the nearest number. */
  longlong: number
  bit: boolean
  /** 255 bytes of UTF-8 at most. */
  shortstr: string
  /** Bytes, such as what a SASL mechanism says. */
  longstr: Uint8Array
  /** A long string that is text. */
  longtext: string
  table: FieldTable
}

type FieldsOf<Name extends MethodName> = (typeof methodFields)[Name]

/** The method of one name. */
export type MethodOf<Name extends MethodName> = { readonly type: Name } & {
  readonly [
    Field in keyof FieldsOf<Name> as FieldsOf<Name>[Field] extends keyof FieldTypes ? Field : never
  ]: FieldsOf<Name>[Field] extends keyof FieldTypes ? FieldTypes[FieldsOf<Name>[Field]] : never
}

/** Any method; switch on `type`. */
export type Method = { [Name in MethodName]: MethodOf<Name> }[MethodName]

/** A method that a content header and body follow. */
export type ContentMethod = Extract<Method, { readonly type: (typeof methodsWithContent)[number] }>

const nameById: ReadonlyMap<number, MethodName> = new Map(
  Object.entries(methodIds).map(([name, id]) => [id, name as MethodName]),
)

/** The name that belongs to `class << 16 | method`, or undefined where there is none. */
export function methodNameOf(id: number): MethodName | undefined {
  return nameById.get(id)
}
