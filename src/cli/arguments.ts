/** Readers of option values: each throws with what it takes, and the command line says which option it was. */
import { InvalidArgumentError } from 'commander'
import { durationMs } from '../client/duration.ts'
import { messageOf } from './exit-code.ts'

export function integer(minimum: number, maximum = Number.MAX_SAFE_INTEGER): (text: string) => number {
  return (text) => {
    const value = /^-?\d+$/.test(text) ? Number(text) : Number.NaN
    if (value >= minimum && value <= maximum) return value
    const range = maximum === Number.MAX_SAFE_INTEGER ? `from ${minimum}` : `from ${minimum} to ${maximum}`
    throw new InvalidArgumentError(`It takes a whole number ${range}.`)
  }
}

/** A duration in milliseconds: '5s', '2m', or a plain number of milliseconds. */
export function duration(text: string): number {
  try {
    return durationMs(/^\d+$/.test(text) ? Number(text) : text, 'It')
  } catch (error) {
    throw new InvalidArgumentError(messageOf(error))
  }
}

/** Gathers `name=value` of a repeated option. */
export function header(
  text: string,
  gathered: Readonly<Record<string, string>> = {},
): Record<string, string> {
  const at = text.indexOf('=')
  if (at <= 0) throw new InvalidArgumentError('It takes name=value.')
  return { ...gathered, [text.slice(0, at)]: text.slice(at + 1) }
}
