/** How handlers fail: with an Error, or with anything else that JavaScript can throw. */
import { types } from 'node:util'
import { MillraceError } from '../model/errors.ts'
import type { Delivery } from './driver.ts'

/** Thrown by a handler for what no retry can mend: the job is dead-lettered at once. */
export class NonRetryableError extends Error {
  constructor(message: string, options?: { cause?: unknown }) {
    super(message, options)
    this.name = 'NonRetryableError'
  }
}

/** It came back without a verdict once too often: the processes that took it died. */
export function exhausted(delivery: Delivery): Error {
  return new MillraceError(
    'HANDLER_FAILED',
    `Handed out ${delivery.attempt - 1} times and never settled: the process died or the connection was lost each time`,
  )
}

/** What was thrown where it is an Error whose message is text; else an Error that tells of it, with it as the cause. */
export function asError(thrown: unknown): Error {
  const isError = attempt(() => types.isNativeError(thrown) || thrown instanceof Error) === true
  const message = isError ? attempt(() => (thrown as Error).message) : undefined
  if (typeof message === 'string') return thrown as Error
  const what = isError ? `an Error whose message is ${written(message)}` : `no Error but ${written(thrown)}`
  return new MillraceError('HANDLER_FAILED', `The handler threw ${what}`, { cause: thrown })
}

/** A value for people: its JSON where it is an object. */
function written(value: unknown): string {
  const json = typeof value === 'object' && value !== null ? attempt(() => JSON.stringify(value)) : undefined
  return json ?? attempt(() => String(value)) ?? `a value of type ${typeof value} that cannot be written`
}

/** What it comes to, or undefined: what was thrown may run code of its own, which may throw again. */
function attempt<T>(look: () => T): T | undefined {
  try {
    return look()
  } catch {
    return undefined
  }
}
