/**
 * Gathers what is sent in one turn and hands it to the driver as one batch: a thousand concurrent `send` calls cost one
 * call of the driver and one wait for the disk or the network.
 */
import { MillraceError } from '../model/errors.ts'
import type { Driver, Outgoing, PublishResult } from './driver.ts'

/** Messages in one batch at most, so that one slow batch does not hold up the first results. */
export const maximumBatch = 10_000

type Settle = (result: PublishResult) => void
type Fail = (error: unknown) => void

export class Outbox {
  readonly #driver: Driver
  #batch: Outgoing[] = []
  #settle: Settle[] = []
  #fail: Fail[] = []
  #scheduled = false
  #underWay = 0
  #idle: (() => void)[] = []

  constructor(driver: Driver) {
    this.#driver = driver
  }

  /** Resolves with the driver's result for this message; rejects where none can be told. */
  put(outgoing: Outgoing, signal?: AbortSignal): Promise<PublishResult> {
    if (signal !== undefined) return this.#putAbortable(outgoing, signal)
    return new Promise((resolve, reject) => {
      this.#batch.push(outgoing)
      this.#settle.push(resolve)
      this.#fail.push(reject)
      if (!this.#scheduled) this.#schedule()
      else if (this.#batch.length >= maximumBatch) this.#flush()
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
    queueMicrotask(() => this.#flush())
  }

  #flush(): void {
    this.#scheduled = false
    const batch = this.#batch
    if (batch.length === 0) return
    const settle = this.#settle
    const fail = this.#fail
    this.#batch = []
    this.#settle = []
    this.#fail = []
    this.#underWay += 1
    this.#driver.publish(batch).then(
      (results) => {
        for (let index = 0; index < settle.length; index++) settle[index]?.(results[index] as PublishResult)
        this.#finished()
      },
      (error: unknown) => {
        for (const reject of fail) reject(error)
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

/** What a wait that was called off rejects with: code ABORTED, the signal's reason as cause. */
export function abortError(signal: AbortSignal): MillraceError {
  return new MillraceError('ABORTED', 'The wait was called off by its signal', { cause: signal.reason })
}
