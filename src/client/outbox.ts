/**
 * Gathers what is sent in one turn and hands it to the driver as one batch: a thousand concurrent `send` calls cost one
 * call of the driver and one wait for the disk or the network.
 */
import { Deferred } from '../std/deferred.ts'
import type { Driver, Outgoing, PublishResult } from './driver.ts'

/**
 * Messages in one batch at most. The disk begins with the first while the next ones are still being encoded: with all that is
 * sent in a turn in one batch, disk and program waited for each other in turns (benchmarks P2, P3).
 */
const maximumBatch = 256
/** Those under one signal: each batch listens to it, and Node.js warns of more than ten listeners. */
const maximumBatchUnderSignal = 10_000

/** Makes what the sender is told of what the driver said; may be a promise, may throw. */
type Convert<T> = (
  outgoing: Outgoing,
  result: PublishResult,
  signal: AbortSignal | undefined,
) => T | Promise<T>

interface Batch {
  /** Calls off all of it: messages of one batch have one signal, or none. */
  readonly signal: AbortSignal | undefined
  readonly outgoing: Outgoing[]
  /** What all senders of the batch wait for. */
  readonly results: Deferred<readonly PublishResult[]>
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

  /** As `put`, resolving with what is made of the result. One promise and one closure per message (benchmark P1). */
  send<T>(outgoing: Outgoing, convert: Convert<T>, signal?: AbortSignal): Promise<T> {
    if (signal !== this.#batch.signal) this.#flush(signal)
    const batch = this.#batch
    const index = batch.outgoing.push(outgoing) - 1
    if (!this.#scheduled) this.#schedule()
    else if (index + 1 >= (signal === undefined ? maximumBatch : maximumBatchUnderSignal)) this.#flush(signal)
    return batch.results.promise.then((results) =>
      convert(outgoing, results[index] as PublishResult, batch.signal),
    )
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
    batch.results.promise.then(this.#finished, this.#finished)
    batch.results.resolve(this.#driver.publish(batch.outgoing, signal === undefined ? undefined : { signal }))
  }

  readonly #finished = (): void => {
    this.#underWay -= 1
    if (this.#underWay > 0) return
    const idle = this.#idle
    this.#idle = []
    for (const resolve of idle) resolve()
  }
}

function newBatch(signal: AbortSignal | undefined): Batch {
  return { signal, outgoing: [], results: new Deferred() }
}

function same(_outgoing: Outgoing, result: PublishResult): PublishResult {
  return result
}
