/**
 * Options as users pass them: each name and type is checked before anything happens, so that a typing mistake is an
 * error at the call and not a setting that silently did nothing.
 */
import { ValidationError } from '../model/errors.ts'
import { describe, durationMs } from './duration.ts'

/** Returns what is wrong with a value ("must be …"), or undefined. */
export type Check = (value: unknown, name: string) => string | undefined

/** @throws ValidationError INVALID_OPTION naming the call, the option and what it takes */
export function checkOptions(call: string, options: unknown, known: Readonly<Record<string, Check>>): void {
  if (options === undefined) return
  if (typeof options !== 'object' || options === null || Array.isArray(options)) {
    throw new ValidationError(
      'INVALID_OPTION',
      `${call}: options must be an object, not ${describe(options)}`,
    )
  }
  for (const [name, value] of Object.entries(options)) {
    const check = Object.hasOwn(known, name) ? known[name] : undefined
    if (check === undefined) throw unknownOption(call, name, Object.keys(known))
    if (value === undefined) continue
    const wrong = check(value, `${call}: ${name}`)
    if (wrong !== undefined) {
      throw new ValidationError('INVALID_OPTION', `${call}: ${name} ${wrong}, not ${describe(value)}`)
    }
  }
}

/** Apart from the options: what is left out there passes. @throws ValidationError INVALID_OPTION */
export function assertHandler(call: string, handler: unknown): void {
  if (typeof handler === 'function') return
  throw new ValidationError('INVALID_OPTION', `${call}: handler must be a function, not ${describe(handler)}`)
}

/** @throws ValidationError INVALID_OPTION for what is no exchange, a name of one for instance */
export function assertExchange(call: string, exchange: unknown): void {
  const { name, declare } = Object(exchange) as { name?: unknown; declare?: unknown }
  if (typeof name === 'string' && typeof declare === 'function') return
  throw new ValidationError(
    'INVALID_OPTION',
    `${call}: exchange must be one of mq.exchange(name, kind), not ${describe(exchange)}`,
  )
}

function unknownOption(call: string, name: string, known: readonly string[]): ValidationError {
  const distances = known.map((candidate) => distance(candidate.toLowerCase(), name.toLowerCase()))
  const least = Math.min(...distances)
  const near = least <= 2 ? known[distances.indexOf(least)] : undefined
  const hint = near === undefined ? `it takes ${known.join(', ')}` : `did you mean ${near}?`
  return new ValidationError('INVALID_OPTION', `${call}: unknown option ${name}; ${hint}`)
}

/** Levenshtein's distance, row by row. */
function distance(a: string, b: string): number {
  let row = Array.from({ length: b.length + 1 }, (_, index) => index)
  for (let i = 1; i <= a.length; i++) {
    const next = [i]
    for (let j = 1; j <= b.length; j++) {
      const substitution = (row[j - 1] as number) + (a[i - 1] === b[j - 1] ? 0 : 1)
      next.push(Math.min((row[j] as number) + 1, (next[j - 1] as number) + 1, substitution))
    }
    row = next
  }
  return row[b.length] as number
}

export const isBoolean: Check = (value) => (typeof value === 'boolean' ? undefined : 'must be true or false')

export const isFunction: Check = (value) => (typeof value === 'function' ? undefined : 'must be a function')

export const isString: Check = (value) =>
  typeof value === 'string' && value !== '' ? undefined : 'must be a string that is not empty'

/** What AMQP calls a short string. */
export const isShortString: Check = (value) =>
  typeof value === 'string' && value !== '' && Buffer.byteLength(value) <= 255
    ? undefined
    : 'must be a string of 1 to 255 bytes'

export const isDate: Check = (value) =>
  value instanceof Date && !Number.isNaN(value.getTime()) ? undefined : 'must be a valid Date'

export const isSignal: Check = (value) =>
  value instanceof AbortSignal ? undefined : 'must be an AbortSignal'

export const isHeaders: Check = (value) =>
  typeof value === 'object' && value !== null && !Array.isArray(value)
    ? undefined
    : 'must be an object of names and values'

/** Throws by itself, with the units that are understood. */
export const isDuration: Check = (value, name) => {
  durationMs(value, name)
  return undefined
}

export function isInteger(minimum: number, maximum: number): Check {
  return (value) =>
    Number.isInteger(value) && (value as number) >= minimum && (value as number) <= maximum
      ? undefined
      : `must be a whole number from ${minimum} to ${maximum}`
}

export function isOneOf(...values: readonly string[]): Check {
  return (value) => (values.includes(value as string) ? undefined : `must be one of '${values.join("', '")}'`)
}

export function isEither(...checks: readonly Check[]): Check {
  return (value, name) => {
    const wrong: string[] = []
    for (const check of checks) {
      const answer = check(value, name)
      if (answer === undefined) return undefined
      wrong.push(answer)
    }
    return wrong.join(' or ')
  }
}

/** A nested options object. */
export function isObjectOf(known: Readonly<Record<string, Check>>): Check {
  return (value, name) => {
    checkOptions(name, value, known)
    return undefined
  }
}

export const isFalse: Check = (value) => (value === false ? undefined : 'must be false')
