/** Reads the arguments of a declaration by type, and refuses in RabbitMQ's words. Part of arguments.ts. */
import { MillraceError } from './errors.ts'
import { isFieldArray } from './field-value.ts'
import type { FieldTable, FieldValue } from './field-value.ts'
import { isShortString } from './names.ts'

const maximumPriority = 255

/** Reads one table's arguments by type. Each gives undefined, or Infinity for a limit, where the argument is absent. */
export class ArgumentReader {
  readonly #table: FieldTable
  readonly #resource: string

  constructor(table: FieldTable, resource: string) {
    this.#table = table
    this.#resource = resource
  }

  integer(name: string): number | undefined {
    const value = this.#value(name)
    if (value === undefined) return undefined
    if (typeof value === 'bigint') return Number(value)
    if (typeof value === 'number' && Number.isInteger(value)) return value
    throw this.invalid(name, `"expected integer, got ${typeName(value)}"`)
  }

  limit(name: string): number {
    const value = this.integer(name) ?? Infinity
    if (value < 0) throw this.invalid(name, `{value_negative,${value}}`)
    return value
  }

  positive(name: string): number {
    const value = this.limit(name)
    if (value === 0) throw this.invalid(name, '{value_zero,0}')
    return value
  }

  priority(name: string): number {
    const value = this.integer(name) === undefined ? 0 : this.limit(name)
    if (value > maximumPriority) throw this.invalid(name, `{max_value_exceeded,${value}}`)
    return value
  }

  timeout(name: string): number | undefined {
    const value = this.limit(name)
    return value === Infinity ? undefined : value
  }

  /** A negative one stands for no limit, as in RabbitMQ 4. */
  deliveryLimit(name: string): number {
    const value = this.integer(name) ?? Infinity
    return value < 0 ? Infinity : value
  }

  boolean(name: string): boolean | undefined {
    const value = this.#value(name)
    if (value === undefined || typeof value === 'boolean') return value
    throw this.invalid(name, `{unacceptable_type,${typeName(value)}}`)
  }

  text(name: string): string | undefined {
    const value = this.#value(name)
    if (value === undefined || typeof value === 'string') return value
    throw this.invalid(name, `{unacceptable_type,${typeName(value)}}`)
  }

  /** RabbitMQ takes a longer one too, and loses every connection that a message under it is delivered to. */
  routingKey(name: string): string | undefined {
    const value = this.text(name)
    if (value === undefined || isShortString(value)) return value
    throw this.invalid(name, `{max_bytes_exceeded,${Buffer.byteLength(value)}}`)
  }

  choice<Choice extends string>(name: string, choices: readonly Choice[], error: string): Choice | undefined {
    const value = this.text(name)
    if (value === undefined) return undefined
    const choice = choices.find((known) => known === value)
    if (choice === undefined) throw this.invalid(name, error)
    return choice
  }

  exchangeName(name: string): string | undefined {
    const value = this.#value(name)
    if (value === undefined || typeof value === 'string') return value
    throw failed(`invalid type '${typeName(value)}' for arg '${name}' in ${this.#resource}`)
  }

  /** Refuses arguments that this type of queue does not take: the first in the table is told of. */
  refuse(names: readonly string[], type: 'classic' | 'quorum'): void {
    const refused = Object.keys(this.#table).find((name) => names.includes(name))
    if (refused === undefined) return
    throw failed(`invalid arg '${refused}' for ${this.#resource} of queue type rabbit_${type}_queue`)
  }

  invalid(name: string, why: string): MillraceError {
    return failed(`invalid arg '${name}' for ${this.#resource}: ${why}`)
  }

  #value(name: string): FieldValue | undefined {
    return Object.hasOwn(this.#table, name) ? this.#table[name] : undefined
  }
}

/** RabbitMQ's name for the type of a field. */
export function typeName(value: FieldValue): string {
  if (typeof value === 'string') return 'longstr'
  if (typeof value === 'boolean') return 'bool'
  if (typeof value === 'bigint') return 'long'
  if (typeof value === 'number') {
    if (!Number.isInteger(value)) return 'double'
    return (value | 0) === value ? 'signedint' : 'long'
  }
  if (value === null) return 'void'
  if (isFieldArray(value)) return 'array'
  if (value instanceof Date) return 'timestamp'
  return value instanceof Uint8Array ? 'binary' : 'table'
}

/** A value as errors show it. */
export function print(value: FieldValue): string {
  if (value === null) return 'undefined'
  if (typeof value !== 'object') return String(value)
  if (value instanceof Uint8Array) return Buffer.from(value).toString('latin1')
  return term(value)
}

/** As Erlang prints it. */
function term(value: FieldValue): string {
  if (typeof value === 'string') return `<<"${value}">>`
  if (value === null || typeof value !== 'object') return print(value)
  if (value instanceof Date) return String(value.getTime() / 1000)
  if (value instanceof Uint8Array) return `<<${value.join(',')}>>`
  const typed = (item: FieldValue): string => `${typeName(item)},${term(item)}`
  if (isFieldArray(value)) return `[${value.map((item) => `{${typed(item)}}`).join(',')}]`
  const fields = Object.entries(value).map(([name, item]) => `{<<"${name}">>,${typed(item)}}`)
  return `[${fields.join(',')}]`
}

export function failed(message: string): MillraceError {
  return new MillraceError('PRECONDITION_FAILED', message)
}
