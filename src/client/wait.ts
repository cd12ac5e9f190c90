/**
 * Waits that a signal calls off: whoever waits is told ABORTED, and what was begun may be done all the same. A signal that
 * is aborted before the call has nothing done at all.
 */
import { MillraceError } from '../model/errors.ts'
import { isSignal } from './options.ts'
import type { Check } from './options.ts'

/** What everything that waits takes. */
export interface WaitOptions {
  /** Calls the wait off: it rejects with ABORTED, and what was begun may be done all the same. */
  readonly signal?: AbortSignal
}

/** The part of a call's options that its steps take too. */
export function waitOf({ signal }: WaitOptions): WaitOptions {
  return signal === undefined ? {} : { signal }
}

export const waitChecks = { signal: isSignal } satisfies Readonly<Record<string, Check>>

/**
 * Begins the work and waits for it.
 * @throws MillraceError ABORTED, without having begun where the signal was aborted before
 */
export function unlessAborted<T>(signal: AbortSignal | undefined, begin: () => Promise<T>): Promise<T> {
  if (signal === undefined) return begin()
  return signal.aborted ? Promise.reject(abortError(signal)) : untilAborted(signal, begin())
}

/**
 * Waits for what is under way.
 * @throws MillraceError ABORTED
 */
export function untilAborted<T>(signal: AbortSignal | undefined, work: Promise<T>): Promise<T> {
  if (signal === undefined) return work
  return new Promise<T>((resolve, reject) => {
    const abort = (): void => reject(abortError(signal))
    const settle = (how: () => void): void => {
      signal.removeEventListener('abort', abort)
      how()
    }
    work.then(
      (value) => settle(() => resolve(value)),
      (error: unknown) => settle(() => reject(error)),
    )
    if (signal.aborted) abort()
    else signal.addEventListener('abort', abort, { once: true })
  })
}

/** @throws MillraceError ABORTED */
export function assertNotAborted(signal: AbortSignal | undefined): void {
  if (signal?.aborted === true) throw abortError(signal)
}

/** What a wait that was called off rejects with: code ABORTED, the signal's reason as cause. */
export function abortError(signal: AbortSignal): MillraceError {
  return new MillraceError('ABORTED', 'The wait was called off by its signal', { cause: signal.reason })
}
