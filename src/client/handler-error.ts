/** How handlers fail. */
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

/** A handler may throw anything. */
export function asError(thrown: unknown): Error {
  if (thrown instanceof Error) return thrown
  return new MillraceError('HANDLER_FAILED', `The handler threw no Error but ${String(thrown)}`, {
    cause: thrown,
  })
}
