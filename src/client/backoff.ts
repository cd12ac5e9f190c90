/** How long a failed job waits before its next attempt. */
import { durationMs, maximumDurationMs } from './duration.ts'
import type { Duration } from './duration.ts'
import { isDuration, isEither, isFunction, isObjectOf, isOneOf } from './options.ts'
import type { Check } from './options.ts'

export type Backoff =
  | {
      /** 'exponential' doubles the delay with each attempt; 'fixed' keeps it. */
      readonly type: 'exponential' | 'fixed'
      /** After the first failure (default 1s). */
      readonly delay?: Duration
      /** At most (default 1h). */
      readonly max?: Duration
      /** The part of the delay that is random, 0 to 1 (default 0.2): 0.2 spreads 10 s over 8 to 12 s. */
      readonly jitter?: number
    }
  /** From the attempt that failed (1, 2, …) and its error to a delay in milliseconds. */
  | ((attempt: number, error: unknown) => number)

export const isBackoff: Check = isEither(
  isFunction,
  isObjectOf({
    type: isOneOf('exponential', 'fixed'),
    delay: isDuration,
    max: isDuration,
    jitter: (value) =>
      typeof value === 'number' && value >= 0 && value <= 1 ? undefined : 'must be a number from 0 to 1',
  }),
)

export const defaultBackoff: Backoff = { type: 'exponential', delay: '1s', max: '1h', jitter: 0.2 }

/** From the attempt that failed and its error to a delay in ms, jitter applied. */
export function backoffFunction(backoff: Backoff): (attempt: number, error: unknown) => number {
  if (typeof backoff === 'function') {
    return (attempt, error) => durationMs(backoff(attempt, error), 'the delay that backoff returned')
  }
  const delayMs = durationMs(backoff.delay ?? '1s', 'backoff.delay')
  const maxMs = durationMs(backoff.max ?? '1h', 'backoff.max')
  const jitter = backoff.jitter ?? 0.2
  return (attempt) => {
    const factor = backoff.type === 'fixed' ? 1 : 2 ** Math.min(attempt - 1, 60)
    const spread = 1 + jitter * (2 * Math.random() - 1)
    return Math.min(Math.round(Math.min(delayMs * factor, maxMs) * spread), maximumDurationMs)
  }
}
