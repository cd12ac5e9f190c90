/** What a worker is made with: its handler and its options. */
import type { Job } from './job.ts'
import { isBoolean, isInteger } from './options.ts'
import type { Check } from './options.ts'
import { retryChecks } from './queue-options.ts'
import type { RetryOptions } from './queue-options.ts'
import { waitChecks } from './wait.ts'

/** May return a promise; throwing is a failed attempt. */
export type Handler<Data, Result = unknown> = (job: Job<Data>) => Result | Promise<Result>

export interface WorkOptions extends RetryOptions {
  /** Jobs at once, 1 to 65,535 (default 1). */
  readonly concurrency?: number
  /** Refuse to share the queue with another consumer. */
  readonly exclusive?: boolean
  /** Higher goes first among the consumers of the queue (default 0). */
  readonly priority?: number
  /** Closes the worker when it aborts; one that is not ready yet rejects its `ready` with ABORTED. */
  readonly signal?: AbortSignal
}

export const workChecks: Readonly<Record<string, Check>> = {
  ...retryChecks,
  concurrency: isInteger(1, 65_535),
  exclusive: isBoolean,
  priority: isInteger(-2_147_483_648, 2_147_483_647),
  ...waitChecks,
}
