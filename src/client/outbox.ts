/**
 * Gathers what is sent in one turn and hands it to the driver as one batch: a thousand concurrent `send` calls cost one
 * call of the driver and one wait for the disk or the network.
 */
import { MillraceError } from '../model/errors.ts'
import type { Driver, Outgoing, PublishResult } from './driver.ts'

/** Messages in one batch at most, so that one slow batch does not hold up the first results. */
export const maximumBatch = 10_000

/** Makes what the sender is told of what the driver said; may be a promise, may throw. */
type Convert<T> = (outgoing: Outgoing, result: PublishResult) => T | Promise<T>
type Resolve = (value: unknown) => void
type Reject = (error: unknown) => void

interface Batch {
  readonly outgoing: Outgoing[]
  readonly convert: Convert<unknown>[]
  readonly resolve: Resolve[]
  readonly reject: Reject[]
}

export class Outbox {
  readonly #driver: Driver
  #batch: Batch = newBatch()
  #scheduled = false
  #underWay = 0
  #idle: (() => void)[] = []

  constructor(driver: Driver) {
    this.#driver = driver
  }

  /** Resolves with the driver's result for this message; rejects where none can be told. */
  put(outgoing: Outgoing, signal?: AbortSignal): Promise<PublishResult> {
    if (signal !== undefined) return this.#putAbortable(outgoing, signal)
    return this.send(outgoing, same)
  }

  /** As `put`, resolving with what is made of the result: one promise per message (benchmark P1). */
  send<T>(outgoing: Outgoing, convert: Convert<T>): Promise<T> {
    return new Promise<T>((resolve, reject) => {
      const batch = this.#batch
      batch.outgoing.push(outgoing)
      batch.convert.push(convert)
      batch.resolve.push(resolve as Resolve)
      batch.reject.push(reject)
      if (!this.#scheduled) this.#schedule()
      else if (batch.outgoing.length >= maximumBatch) this.#flush()
    })
  }

  /** Sends what has gathered and waits for all results. */
  async drain(): Promise<void> {
    this.#flush()
    if (this.#underWay > 0) await new Promise<void>((resolve) => this.#idle.push(resolve))
  }

  #putAbortable(outgoing: Outgoing, signal: AbortSignal): Promise<PublishResult> {
    if (signal.aborted) return Promise.reject(abortError(signal))
    return new Promise((resolve, reject) => {
      const abort = (): void => reject(abortError(signal))
      signal.addEventListener('abort', abort, { once: true })
      this.put(outgoing)
        .then(resolve, reject)
        .finally(() => signal.removeEventListener('abort', abort))
    })
  }

  #schedule(): void {
    this.#scheduled = true
    queueMicrotask(this.#flush)
  }

  readonly #flush = (): void => {
    this.#scheduled = false
    const batch = this.#batch
    if (batch.outgoing.length === 0) return
    this.#batch = newBatch()
    this.#underWay += 1
    this.#driver.publish(batch.outgoing).then(
      (results) => {
        settle(batch, results)
        this.#finished()
      },
      (error: unknown) => {
        for (const reject of batch.reject) reject(error)
        this.#finished()
      },
    )
  }

  #finished(): void {
    this.#underWay -= 1
    if (this.#underWay > 0) return
    const idle = this.#idle
    this.#idle = []
    for (const resolve of idle) resolve()
  }
}

function settle(batch: Batch, results: readonly PublishResult[]): void {
  const { outgoing, convert, resolve, reject } = batch
  for (let index = 0; index < outgoing.length; index++) {
    try {
      resolve[index]?.(convert[index]?.(outgoing[index] as Outgoing, results[index] as PublishResult))
    } catch (error) {
      reject[index]?.(error)
    }
  }
}

function newBatch(): Batch {
  return { outgoing: [], convert: [], resolve: [], reject: [] }
}

function same(_outgoing: Outgoing, result: PublishResult): PublishResult {
  return result
}

/** What a wait that was called off rejects with: code ABORTED, the signal's reason as cause. */
export function abortError(signal: AbortSignal): MillraceError {
  return new MillraceError('ABORTED', 'The wait was called off by its signal', { cause: signal.reason })
}
