/** A promise with its two ends in the open, for where the one who waits and the one who answers are far apart. */
export class Deferred<T> {
  readonly promise: Promise<T>
  readonly resolve: (value: T | PromiseLike<T>) => void
  readonly reject: (reason: unknown) => void

  constructor() {
    let resolvePromise!: (value: T | PromiseLike<T>) => void
    let rejectPromise!: (reason: unknown) => void
    this.promise = new Promise<T>((resolve, reject) => {
      resolvePromise = resolve
      rejectPromise = reject
    })
    this.resolve = resolvePromise
    this.reject = rejectPromise
  }
}
