/** Pull style: the messages of a queue as an async iterator; each is settled by who takes it. */
import { Deque } from '../std/deque.ts'
import { MillraceError } from '../model/errors.ts'
import type { Consumer, Delivery, Driver } from './driver.ts'
import { asError } from './handler-error.ts'
import { Job, openJob } from './job.ts'
import type { Closable } from './link.ts'
import { checkOptions } from './options.ts'
import type { StandardSchema } from './schema.ts'
import { within } from './timer.ts'
import { abortError, untilAborted, waitChecks } from './wait.ts'
import type { WaitOptions } from './wait.ts'

export interface ConsumeSettings {
  /** Messages taken and not settled at most, 1 to 65,535 (default 100). */
  readonly prefetch?: number
  readonly exclusive?: boolean
  readonly priority?: number
  /** Ends the iteration: it throws ABORTED. */
  readonly signal?: AbortSignal
}

interface MessagesSetup<Data> {
  readonly driver: Driver
  readonly queue: string
  readonly schema: StandardSchema<unknown, Data> | undefined
  readonly settings: ConsumeSettings
  readonly prepare: () => Promise<void>
  readonly onClosed: (messages: Messages<Data>) => void
}

/**
 * Leaving the loop (break, return, throw) or `close` ends it: messages not yet taken go back to the queue untouched,
 * those taken stay to be settled.
 */
export class Messages<Data> implements AsyncIterableIterator<Job<Data>>, Closable {
  readonly #setup: MessagesSetup<Data>
  readonly #waiting = new Deque<Delivery>()
  readonly #takers = new Deque<() => void>()
  #opened: Promise<Consumer> | undefined
  #ended = false
  #failure: Error | undefined
  #closed: Promise<void> | undefined
  readonly #abort: (() => void) | undefined

  /** @internal */
  constructor(setup: MessagesSetup<Data>) {
    this.#setup = setup
    const signal = setup.settings.signal
    if (signal === undefined) return
    this.#abort = () => this.#end(abortError(signal))
    if (signal.aborted) this.#abort()
    else signal.addEventListener('abort', this.#abort, { once: true })
  }

  [Symbol.asyncIterator](): this {
    return this
  }

  async next(): Promise<IteratorResult<Job<Data>, undefined>> {
    for (;;) {
      if (this.#failure !== undefined) throw this.#failure
      if (this.#ended) return { done: true, value: undefined }
      this.#opened ??= this.#open()
      const delivery = this.#waiting.shift()
      if (delivery !== undefined) {
        const job = await this.#read(delivery)
        if (job !== undefined) return { done: false, value: job }
      } else await new Promise<void>((resolve) => this.#takers.push(resolve))
    }
  }

  async return(): Promise<IteratorResult<Job<Data>, undefined>> {
    await this.close()
    return { done: true, value: undefined }
  }

  /** Ends the iteration. Idempotent. Called off by a signal, it goes on all the same. */
  close(options: WaitOptions = {}): Promise<void> {
    checkOptions('messages.close', options, waitChecks)
    return untilAborted(options.signal, this.closeWithConnection(undefined))
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close()
  }

  /** @internal */
  closeWithConnection(timeoutMs: number | undefined): Promise<void> {
    return (this.#closed ??= this.#close(timeoutMs))
  }

  #open(): Promise<Consumer> {
    const opened = this.#consume()
    // A loop that could not begin is over: `for await` calls no `return` then.
    opened.catch((error: unknown) => this.#end(asError(error)))
    return opened
  }

  async #consume(): Promise<Consumer> {
    const { driver, queue, settings, prepare } = this.#setup
    await prepare()
    return driver.consume(
      queue,
      {
        prefetch: settings.prefetch ?? 100,
        ...(settings.exclusive !== undefined && { exclusive: settings.exclusive }),
        ...(settings.priority !== undefined && { priority: settings.priority }),
        onCancelled: (error) =>
          this.#end(error ?? new MillraceError('NOT_FOUND', `The queue ${queue} was deleted`)),
      },
      (delivery) => this.#arrived(delivery),
    )
  }

  #arrived(delivery: Delivery): void {
    if (this.#ended) {
      delivery.settle({ type: 'release' }).catch(() => undefined)
      return
    }
    this.#waiting.push(delivery)
    this.#takers.shift()?.()
  }

  /** What cannot be read or breaks the schema is dead-lettered; the iteration goes on with the next. */
  async #read(delivery: Delivery): Promise<Job<Data> | undefined> {
    try {
      return await openJob(delivery, this.#setup.schema)
    } catch (error) {
      await delivery.settle({ type: 'dead', reason: 'invalid', error: asError(error).message })
      return undefined
    }
  }

  #end(failure: Error | undefined): void {
    this.#failure ??= failure
    this.#ended = true
    for (let taker = this.#takers.shift(); taker !== undefined; taker = this.#takers.shift()) taker()
    if (failure !== undefined) this.close().catch(() => undefined)
  }

  async #close(timeoutMs: number | undefined): Promise<void> {
    if (this.#abort !== undefined) this.#setup.settings.signal?.removeEventListener('abort', this.#abort)
    this.#end(undefined)
    const cancelled = this.#opened?.then((consumer) => consumer.cancel()).catch(() => undefined)
    if (cancelled !== undefined) await within(timeoutMs, cancelled)
    const released: Promise<boolean>[] = []
    for (let delivery = this.#waiting.shift(); delivery !== undefined; delivery = this.#waiting.shift()) {
      released.push(delivery.settle({ type: 'release' }))
    }
    await Promise.allSettled(released)
    this.#setup.onClosed(this)
  }
}
