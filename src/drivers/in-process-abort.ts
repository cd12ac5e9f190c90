/** Waits that a signal can call off. */
import { MillraceError } from '../model/errors.ts'

/** What the work comes to, unless the signal says ABORTED before. */
export function untilAborted<T>(signal: AbortSignal, work: () => Promise<T>): Promise<T> {
  return new Promise<T>((resolve, reject) => {
    const abort = (): void => reject(aborted(signal))
    if (signal.aborted) return abort()
    signal.addEventListener('abort', abort, { once: true })
    work()
      .then(resolve, reject)
      .finally(() => signal.removeEventListener('abort', abort))
  })
}

export function aborted(signal: AbortSignal): MillraceError {
  return new MillraceError('ABORTED', 'It was called off by its signal', { cause: signal.reason })
}
