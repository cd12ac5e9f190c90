/**
 * A worker: takes jobs from one queue, runs the handler on up to `concurrency` of them at once, and settles each.
 *
 *   opening -> open -> closing -> closed
 *
 *   delivery -> job -> handler returns        -> ack                         completed
 *                   -> handler throws, or the timeout passes,
 *                        attempts left        -> retry after the backoff     failed, retrying
 *                        none left            -> dead                        failed, dead
 *           -> not readable, or against schema -> dead                       failed, dead
 */
import { Emitter } from '../std/emitter.ts'
import { Slots } from '../std/slots.ts'
import { ClosedError, MillraceError, TimeoutError, ValidationError } from '../model/errors.ts'
import { backoffFunction, defaultBackoff } from './backoff.ts'
import type { Consumer, Delivery, Driver } from './driver.ts'
import { describe, durationMs } from './duration.ts'
import type { Duration } from './duration.ts'
import { Job, openJob } from './job.ts'
import type { Closable } from './link.ts'
import { asError, exhausted, NonRetryableError } from './handler-error.ts'
import { checkOptions, isDuration } from './options.ts'
import type { StandardSchema } from './schema.ts'
import { after, within } from './timer.ts'
import { assertNotAborted, untilAborted, waitChecks } from './wait.ts'
import type { WaitOptions } from './wait.ts'
import { workChecks } from './work-options.ts'
import type { Handler, WorkOptions } from './work-options.ts'

/** What happens in a worker, as facts. */
export interface WorkerEvents<Data> {
  /** The handler returned and the job is acknowledged. */
  completed: [job: Job<Data>, result: unknown]
  /** An attempt failed; `retrying` or `dead` follows. */
  failed: [job: Job<Data>, error: Error]
  retrying: [job: Job<Data>, error: Error, delayMs: number]
  dead: [job: Job<Data>, error: Error]
  /** Something that is no fault of a job: the queue was deleted, the store failed. Without a listener it is thrown. */
  error: [error: Error]
  /** No job is running, and none came in the turn of the event loop after the last one. */
  idle: []
}

/** How a worker is made; by `Queue.work`, a subscription or a replier. */
interface WorkerSetup<Data> {
  readonly driver: Driver
  readonly queue: string
  readonly handler: Handler<Data>
  readonly schema: StandardSchema<unknown, Data> | undefined
  readonly options: WorkOptions
  /** Declares what the worker needs. */
  readonly prepare: () => Promise<void>
  readonly onClosed: (worker: Worker<Data>) => void
}

type State = 'opening' | 'open' | 'closing' | 'closed'

export class Worker<Data = unknown> implements Closable {
  /** Resolves when the worker takes jobs; rejects (and `error` is emitted) where it cannot. */
  readonly ready: Promise<void>
  readonly #events = new Emitter<WorkerEvents<Data>>()
  readonly #setup: WorkerSetup<Data>
  readonly #attempts: number
  readonly #backoff: (attempt: number, error: unknown) => number
  readonly #timeoutMs: number
  /** What is in hand, and its job as soon as it is read. */
  readonly #running = new Slots<Delivery | Job<Data>>()
  #state: State = 'opening'
  #concurrency: number
  readonly #opened: Promise<void>
  #consumer: Consumer | undefined
  #unfollow: (() => void) | undefined
  #drained: (() => void) | undefined
  #idleComing = false
  #watched: Promise<boolean> | undefined
  #closed: Promise<void> | undefined

  /** @internal */
  constructor(setup: WorkerSetup<Data>) {
    this.#setup = setup
    this.#attempts = setup.options.attempts ?? 5
    this.#backoff = backoffFunction(setup.options.backoff ?? defaultBackoff)
    this.#timeoutMs =
      setup.options.timeout === undefined ? 0 : durationMs(setup.options.timeout, 'work: timeout')
    this.#concurrency = setup.options.concurrency ?? 1
    const { signal } = setup.options
    this.#opened = this.#open()
    this.#opened.catch((error: unknown) => this.#report(error))
    this.ready = untilAborted(signal, this.#opened)
    this.ready.catch(() => undefined)
    if (signal !== undefined) this.#closeWith(signal)
  }

  get queue(): string {
    return this.#setup.queue
  }

  /** Jobs at once; may be changed while the worker runs. */
  get concurrency(): number {
    return this.#concurrency
  }

  set concurrency(value: number) {
    const wrong = workChecks['concurrency']?.(value, 'concurrency')
    if (wrong !== undefined) {
      throw new ValidationError('INVALID_OPTION', `concurrency ${wrong}, not ${describe(value)}`)
    }
    this.#concurrency = value
    this.#consumer?.setPrefetch(value)
  }

  /** Jobs in hand: their handler is running, or they are still being read or settled. */
  get running(): number {
    return this.#running.size
  }

  on<Name extends keyof WorkerEvents<Data>>(
    name: Name,
    listener: (...facts: WorkerEvents<Data>[Name]) => void,
  ): this {
    this.#events.on(name, listener)
    return this
  }

  off<Name extends keyof WorkerEvents<Data>>(
    name: Name,
    listener: (...facts: WorkerEvents<Data>[Name]) => void,
  ): this {
    this.#events.off(name, listener)
    return this
  }

  /**
   * Takes no more jobs and waits for those running. With `timeout`, jobs that run longer have their signal aborted and go
   * back to their place in the queue, no attempt used up. Idempotent. Called off by a signal, it goes on all the same.
   */
  close(options: { timeout?: Duration } & WaitOptions = {}): Promise<void> {
    checkOptions('worker.close', options, { timeout: isDuration, ...waitChecks })
    const timeoutMs =
      options.timeout === undefined ? undefined : durationMs(options.timeout, 'worker.close: timeout')
    return untilAborted(options.signal, this.closeWithConnection(timeoutMs))
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close()
  }

  /** @internal */
  closeWithConnection(timeoutMs: number | undefined): Promise<void> {
    return (this.#closed ??= this.#close(timeoutMs))
  }

  async #open(): Promise<void> {
    const { driver, queue, options, prepare } = this.#setup
    assertNotAborted(options.signal)
    await prepare()
    if (this.#state !== 'opening') return
    const prefetch = this.#concurrency
    const consumer = await driver.consume(
      queue,
      {
        prefetch,
        ...(options.exclusive !== undefined && { exclusive: options.exclusive }),
        ...(options.priority !== undefined && { priority: options.priority }),
        // Where one consumer goes before another, none may sit on what the other could take.
        readAhead: options.priority === undefined,
        onCancelled: (error) => this.#cancelled(error),
      },
      (delivery) => this.#take(delivery),
    )
    this.#consumer = consumer
    if (this.#concurrency !== prefetch) consumer.setPrefetch(this.#concurrency)
    if (this.#state === 'opening') this.#state = 'open'
  }

  #closeWith(signal: AbortSignal): void {
    const abort = (): void => void this.close().catch(this.#report)
    if (signal.aborted) return abort()
    signal.addEventListener('abort', abort, { once: true })
    this.#unfollow = () => signal.removeEventListener('abort', abort)
  }

  async #close(timeoutMs: number | undefined): Promise<void> {
    this.#state = 'closing'
    this.#unfollow?.()
    // An engine that failed cannot be told; that it did is told by `error`. Running jobs are waited for all the same.
    const cancelled = this.#opened.then(() => this.#consumer?.cancel()).catch(() => undefined)
    await within(timeoutMs, cancelled)
    if (this.#running.size > 0) await this.#drain(timeoutMs)
    this.#state = 'closed'
    this.#setup.onClosed(this)
  }

  /** Waits for the running jobs, or hands them back when the time is over. */
  async #drain(timeoutMs: number | undefined): Promise<void> {
    const drained = new Promise<void>((resolve) => (this.#drained = resolve))
    if (await within(timeoutMs, drained)) return
    const handedBack = [...this.#running.entries()].map(([slot, item]) => {
      if (item instanceof Job) item.abort(new ClosedError('The worker was closed before the job was done'))
      this.#running.remove(slot)
      // Not a retry: that who works on it stops is no failure of the job, and would cost it its place and an attempt.
      return item.settle({ type: 'release' })
    })
    // What cannot be handed back any more is handed back by the engine, with the connection.
    await Promise.allSettled(handedBack)
  }

  #cancelled(error: Error | undefined): void {
    if (this.#state === 'closing' || this.#state === 'closed') return
    this.#report(
      error ?? new MillraceError('NOT_FOUND', `The queue ${this.#setup.queue} was deleted under its worker`),
    )
  }

  #take(delivery: Delivery): void {
    if (this.#state === 'closed') {
      delivery.settle({ type: 'release' }).catch(() => undefined)
      return
    }
    let opened: Job<Data> | Promise<Job<Data>>
    try {
      if (delivery.attempt > this.#attempts) return this.#refuse(delivery, exhausted(delivery), 'attempts')
      opened = openJob(delivery, this.#setup.schema)
    } catch (error) {
      return this.#refuse(delivery, error, 'invalid')
    }
    if (!(opened instanceof Promise)) return this.#run(opened, this.#running.add(opened))
    const slot = this.#running.add(delivery)
    // Unless it was handed back while it was read.
    const isHeld = (): boolean => this.#running.at(slot) === delivery
    opened.then(
      (job) => {
        if (!isHeld()) return
        this.#running.replace(slot, job)
        this.#run(job, slot)
      },
      (error: unknown) => {
        if (!isHeld()) return
        this.#running.remove(slot)
        this.#refuse(delivery, error, 'invalid')
      },
    )
  }

  /** What goes wrong with the job ends in the queue, what goes wrong with the engine in `error`. */
  #run(job: Job<Data>, slot: number): void {
    let result: unknown
    try {
      result = this.#timeoutMs > 0 ? this.#timed(job) : this.#setup.handler(job)
    } catch (error) {
      return this.#failed(job, slot, error)
    }
    // Not an async function: its frame and promises were a tenth of what a message costs (benchmark P1).
    if (!(result instanceof Promise)) result = isThenable(result) ? Promise.resolve(result) : result
    if (result instanceof Promise) {
      result.then(
        (value) => this.#returned(job, slot, value),
        (error: unknown) => this.#failed(job, slot, error),
      )
    } else this.#returned(job, slot, result)
  }

  #returned(job: Job<Data>, slot: number, result: unknown): void {
    // Handed back meanwhile: the slot may be another's.
    if (this.#running.at(slot) !== job) return
    try {
      if (!job.settled) this.#complete(job, result)
    } catch (error) {
      this.#report(error)
    }
    this.#ended(slot)
  }

  #failed(job: Job<Data>, slot: number, thrown: unknown): void {
    if (this.#running.at(slot) !== job) return
    this.#fail(job, asError(thrown))
      .catch(this.#report)
      .finally(() => {
        if (this.#running.at(slot) === job) this.#ended(slot)
      })
  }

  #complete(job: Job<Data>, result: unknown): void {
    const acked = job.ack()
    if (this.#events.listenerCount('completed') === 0) {
      // Drivers share one promise among all who settle in a turn: one listener is enough (benchmark P1).
      if (acked !== this.#watched) acked.catch(this.#report)
      this.#watched = acked
    } else acked.then((held) => held && this.#events.emit('completed', job, result), this.#report)
  }

  /** What cannot be read or was tried too often is dead-lettered unhandled. */
  #refuse(delivery: Delivery, thrown: unknown, reason: 'invalid' | 'attempts'): void {
    const slot = this.#running.add(delivery)
    this.#bury(new Job(delivery, undefined as Data), asError(thrown), reason)
      .catch(this.#report)
      .finally(() => {
        if (this.#running.at(slot) === delivery) this.#ended(slot)
      })
  }

  #ended(slot: number): void {
    this.#running.remove(slot)
    if (this.#running.size > 0) return
    this.#drained?.()
    if (this.#idleComing || this.#events.listenerCount('idle') === 0) return
    this.#idleComing = true
    // The engine delivers within the turn what it has for the credit that was freed.
    setImmediate(() => {
      this.#idleComing = false
      if (this.#running.size === 0) this.#events.emit('idle')
    })
  }

  /** The handler, or its timeout, whichever comes first. What the handler does after that is nobody's concern. */
  async #timed(job: Job<Data>): Promise<unknown> {
    let callOff: () => void = () => undefined
    const late = new Promise<never>((_resolve, reject) => {
      callOff = after(this.#timeoutMs, () => {
        const error = new TimeoutError(`The handler took longer than ${this.#timeoutMs} ms`)
        job.abort(error)
        reject(error)
      })
    })
    try {
      return await Promise.race([this.#setup.handler(job), late])
    } finally {
      callOff()
    }
  }

  async #fail(job: Job<Data>, error: Error): Promise<void> {
    if (job.settled) return
    if (error instanceof NonRetryableError) return this.#bury(job, error, 'non-retryable')
    if (job.attempt >= this.#attempts) return this.#bury(job, error, 'attempts')
    let delayMs: number
    try {
      delayMs = this.#backoff(job.attempt, error)
    } catch (broken) {
      this.#report(broken)
      delayMs = 1_000
    }
    this.#events.emit('failed', job, error)
    if (await job.settle({ type: 'retry', delayMs })) {
      this.#events.emit('retrying', job, error, delayMs)
    }
  }

  async #bury(job: Job<Data>, error: Error, reason: string): Promise<void> {
    this.#events.emit('failed', job, error)
    if (await job.settle({ type: 'dead', reason, error: error.message }))
      this.#events.emit('dead', job, error)
  }

  readonly #report = (error: unknown): void => {
    if (error instanceof ClosedError && this.#state !== 'open' && this.#state !== 'opening') return
    if (error instanceof MillraceError && error.code === 'ABORTED') return
    if (this.#events.emit('error', asError(error))) return
    queueMicrotask(() => {
      throw asError(error)
    })
  }
}

function isThenable(value: unknown): boolean {
  return typeof value === 'object' && value !== null && 'then' in value && typeof value.then === 'function'
}
