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
  /** Calls off all of it: messages of one batch have one signal, or none. */
  readonly signal: AbortSignal | undefined
  readonly outgoing: Outgoing[]
  readonly convert: Convert<unknown>[]
  readonly resolve: Resolve[]
  readonly reject: Reject[]
}

export class Outbox {
  readonly #driver: Driver
  #batch: Batch = newBatch(undefined)
  #scheduled = false
  #underWay = 0
  #idle: (() => void)[] = []

  constructor(driver: Driver) {
    this.#driver = driver
  }

  /** Resolves with the driver's result for this message; rejects where none can be told. */
  put(outgoing: Outgoing, signal?: AbortSignal): Promise<PublishResult> {
    return this.send(outgoing, same, signal)
  }

  /** As `put`, resolving with what is made of the result: one promise per message (benchmark P1). */
  send<T>(outgoing: Outgoing, convert: Convert<T>, signal?: AbortSignal): Promise<T> {
    if (signal !== this.#batch.signal) this.#flush(signal)
    return new Promise<T>((resolve, reject) => {
      const batch = this.#batch
      batch.outgoing.push(outgoing)
      batch.convert.push(convert)
      batch.resolve.push(resolve as Resolve)
      batch.reject.push(reject)
      if (!this.#scheduled) this.#schedule()
      else if (batch.outgoing.length >= maximumBatch) this.#flush(signal)
    })
  }

  /** Sends what has gathered and waits for all results. */
  async drain(): Promise<void> {
    this.#flush(undefined)
    if (this.#underWay > 0) await new Promise<void>((resolve) => this.#idle.push(resolve))
  }

  #schedule(): void {
    this.#scheduled = true
    queueMicrotask(this.#flushNow)
  }

  readonly #flushNow = (): void => this.#flush(undefined)

  /** Hands over what has gathered; what gathers next has this signal. */
  #flush(nextSignal: AbortSignal | undefined): void {
    this.#scheduled = false
    const batch = this.#batch
    if (batch.outgoing.length === 0 && batch.signal === nextSignal) return
    this.#batch = newBatch(nextSignal)
    if (batch.outgoing.length === 0) return
    this.#underWay += 1
    const { signal } = batch
    this.#driver.publish(batch.outgoing, signal === undefined ? undefined : { signal }).then(
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

function newBatch(signal: AbortSignal | undefined): Batch {
  return { signal, outgoing: [], convert: [], resolve: [], reject: [] }
}

function same(_outgoing: Outgoing, result: PublishResult): PublishResult {
  return result
}

/** @throws MillraceError ABORTED */
export function assertNotAborted(signal: AbortSignal | undefined): void {
  if (signal?.aborted === true) throw abortError(signal)
}

/** What a wait that was called off rejects with: code ABORTED, the signal's reason as cause. */
export function abortError(signal: AbortSignal): MillraceError {
  return new MillraceError('ABORTED', 'The wait was called off by its signal', { cause: signal.reason })
}
