/** A job: one message in a handler's hands. */
import { setMaxListeners } from 'node:events'
import { decodeBody } from './codec.ts'
import type { Delivery, Outcome } from './driver.ts'
import { validate } from './schema.ts'
import type { StandardSchema } from './schema.ts'
import { newId } from './id.ts'
import type { FieldTable } from '../model/field-table.ts'
import { durationMs } from './duration.ts'
import type { Duration } from './duration.ts'
import { checkOptions, isDuration } from './options.ts'
import type { Check } from './options.ts'
import { unlessAborted, waitChecks } from './wait.ts'
import type { WaitOptions } from './wait.ts'

const noHeaders: FieldTable = {}
const isText: Check = (value) => (typeof value === 'string' ? undefined : 'must be a string')
const acknowledged: Outcome = { type: 'ack' }

/** What a handler is given. `Data` is the schema's output where the queue has one. */
export class Job<Data = unknown> {
  readonly data: Data
  /** @internal */
  readonly delivery: Delivery
  #controller: AbortController | undefined
  #unfollow: (() => void) | undefined
  #settled = false
  #madeId: string | undefined

  /** @internal */
  constructor(delivery: Delivery, data: Data) {
    this.delivery = delivery
    this.data = data
  }

  /** The id that `send` resolved with; one made here for a message from elsewhere that has none. */
  get id(): string {
    return this.delivery.message.properties.messageId ?? (this.#madeId ??= newId())
  }

  /** From 1; kept by the engine, so that it counts a process that died with the job in its hands. */
  get attempt(): number {
    return this.delivery.attempt
  }

  get headers(): FieldTable {
    return this.delivery.message.properties.headers ?? noHeaders
  }

  /** The queue it came from. */
  get queue(): string {
    return this.delivery.queue
  }

  /** The exchange it was published to; '' where it was sent to the queue. */
  get exchange(): string {
    return this.delivery.message.exchange
  }

  get routingKey(): string {
    return this.delivery.message.routingKey
  }

  get correlationId(): string | undefined {
    return this.delivery.message.properties.correlationId
  }

  /** When the engine took the message. */
  get sentAt(): Date {
    return new Date(this.delivery.message.publishedAtMs)
  }

  /** Aborts when the timeout passed, the lease was lost or the worker is closed without waiting. Made on first use. */
  get signal(): AbortSignal {
    if (this.#controller === undefined) {
      this.#controller = new AbortController()
      const { lost } = this.delivery
      if (lost.aborted) this.#controller.abort(lost.reason)
      else if (!this.#settled) this.#follow(lost)
    }
    return this.#controller.signal
  }

  /** Settled already, by this handle. */
  get settled(): boolean {
    return this.#settled
  }

  /** Done: it leaves the queue. False: it was settled before, or the lease was lost. */
  ack(options?: WaitOptions): Promise<boolean> {
    if (options === undefined) return this.settle(acknowledged)
    checkOptions('job.ack', options, waitChecks)
    return unlessAborted(options.signal, () => this.settle(acknowledged))
  }

  /** Back into the queue after the delay (default none), attempt + 1. */
  retry(options: { delay?: Duration } & WaitOptions = {}): Promise<boolean> {
    checkOptions('job.retry', options, { delay: isDuration, ...waitChecks })
    const delayMs = options.delay === undefined ? 0 : durationMs(options.delay, 'job.retry: delay')
    return unlessAborted(options.signal, () => this.settle({ type: 'retry', delayMs }))
  }

  /** Back into the queue, attempt unchanged; to its original place where there is no delay. */
  release(options: { delay?: Duration } & WaitOptions = {}): Promise<boolean> {
    checkOptions('job.release', options, { delay: isDuration, ...waitChecks })
    const delayMs = options.delay === undefined ? 0 : durationMs(options.delay, 'job.release: delay')
    return unlessAborted(options.signal, () => this.settle({ type: 'release', delayMs }))
  }

  /**
   * To the dead-letter queue, or dropped where the queue has none. The reason and the error stand in the dead letter's headers
   * `x-millrace-reason` and `x-millrace-error`.
   */
  dead(reason = 'rejected', options: { error?: string } & WaitOptions = {}): Promise<boolean> {
    checkOptions('job.dead', { ...options, reason }, { reason: isText, error: isText, ...waitChecks })
    const error = options.error !== undefined && { error: options.error }
    return unlessAborted(options.signal, () => this.settle({ type: 'dead', reason, ...error }))
  }

  /** Keeps the lease for so long, where the engine has leases. */
  extend(duration: Duration, options: WaitOptions = {}): Promise<boolean> {
    checkOptions('job.extend', options, waitChecks)
    const ms = durationMs(duration, 'job.extend')
    return unlessAborted(options.signal, () => this.delivery.extend(ms))
  }

  /** @internal */
  settle(outcome: Outcome): Promise<boolean> {
    if (this.#settled) return Promise.resolve(false)
    this.#settled = true
    this.#unfollow?.()
    return this.delivery.settle(outcome)
  }

  /** @internal */
  abort(reason: Error): void {
    if (this.#controller === undefined) void this.signal
    this.#controller?.abort(reason)
  }

  /** `lost` may be one signal for all deliveries of a connection, so a job lets go of it when it is settled. */
  #follow(lost: AbortSignal): void {
    const abort = (): void => this.#controller?.abort(lost.reason)
    // As many listeners as there are jobs at once are no leak.
    setMaxListeners(0, lost)
    lost.addEventListener('abort', abort, { once: true })
    this.#unfollow = () => lost.removeEventListener('abort', abort)
  }
}

/** Decodes and checks a delivery, at once where the schema is synchronous. Throws or rejects with SCHEMA_MISMATCH. */
export function openJob<Data>(
  delivery: Delivery,
  schema: StandardSchema<unknown, Data> | undefined,
): Job<Data> | Promise<Job<Data>> {
  const data = decodeBody(delivery.message)
  if (schema === undefined) return new Job(delivery, data as Data)
  const checked = validate(schema, data, delivery.queue)
  return checked instanceof Promise
    ? checked.then((value) => new Job(delivery, value))
    : new Job(delivery, checked)
}
