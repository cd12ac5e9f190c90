/** Durations as people write them: `'250ms' | '5s' | '5m' | '1h' | '7d'`, or a number of milliseconds. */
import { ValidationError } from '../model/errors.ts'

const unitMs = { ms: 1, s: 1_000, m: 60_000, h: 3_600_000, d: 86_400_000 } as const

/** A number of milliseconds from 0, or a decimal number and its unit. */
export type Duration = number | `${number}${keyof typeof unitMs}`

/** The longest duration: 10 years. Longer ones are mistakes of the unit. */
export const maximumDurationMs = 3_650 * unitMs.d

/**
 * @param name the option, for the message
 * @throws ValidationError INVALID_OPTION for what is negative, not a number, over ten years or has no known unit
 */
export function durationMs(value: unknown, name: string): number {
  const ms = typeof value === 'string' ? parse(value) : value
  if (typeof ms !== 'number' || !(ms >= 0)) {
    throw new ValidationError(
      'INVALID_OPTION',
      `${name} must be a duration such as '250ms', '5s', '5m', '1h', '7d' or a number of milliseconds from 0, ` +
        `not ${describe(value)}`,
    )
  }
  if (ms > maximumDurationMs) {
    throw new ValidationError('INVALID_OPTION', `${name} must be at most 3650d, not ${describe(value)}`)
  }
  return Math.round(ms)
}

function parse(text: string): number | undefined {
  const match = /^(\d+(?:\.\d+)?)(ms|s|m|h|d)$/.exec(text)
  if (match === null) return undefined
  return Number(match[1]) * unitMs[match[2] as keyof typeof unitMs]
}

/** A value as an error message shows it. */
export function describe(value: unknown): string {
  if (typeof value === 'string') return `'${value.length > 60 ? `${value.slice(0, 60)}…` : value}'`
  if (typeof value === 'object' && value !== null) return Array.isArray(value) ? 'an array' : 'an object'
  if (typeof value === 'function') return 'a function'
  return String(value)
}
