/** A connection to an engine, as users hold it: the `mq` of the README. */
import { ValidationError } from '../model/errors.ts'
import { assertExchangeName, assertQueueName } from '../model/names.ts'
import type { ExchangeKind } from '../model/record.ts'
import { Declarations } from './declarations.ts'
import type { Capabilities, Driver, DriverEventMap } from './driver.ts'
import { durationMs } from './duration.ts'
import type { Duration } from './duration.ts'
import { Exchange, exchangeChecks } from './exchange.ts'
import type { ExchangeOptions } from './exchange.ts'
import { closedError } from './link.ts'
import type { Closable, Link } from './link.ts'
import { assertHandler, checkOptions, isDuration, isInteger, isOneOf } from './options.ts'
import { Outbox } from './outbox.ts'
import { Queue } from './queue.ts'
import { queueChecks } from './queue-options.ts'
import type { QueueOptions } from './queue-options.ts'
import { Requests } from './requests.ts'
import { within } from './timer.ts'
import type { RequestOptions, Untyped } from './requests.ts'
import { unlessAborted, untilAborted, waitChecks } from './wait.ts'
import type { WaitOptions } from './wait.ts'
import { workChecks } from './work-options.ts'
import type { Handler, WorkOptions } from './work-options.ts'
import type { Worker } from './worker.ts'

export interface CloseOptions extends WaitOptions {
  /**
   * How long running jobs may take to end; then their signals are aborted and they go back to their place, no attempt used
   * up (default: they are waited for).
   * As long once more for what was sent to be stored, where the disk is full; then those sends reject with CLOSED.
   */
  readonly timeout?: Duration
}

export class Client {
  /** What the engine can do. */
  readonly capabilities: Capabilities
  readonly #driver: Driver
  readonly #link: Link
  readonly #requests: Requests
  readonly #queues = new Map<string, { queue: Queue; options: QueueOptions }>()
  readonly #owned = new Set<Closable>()
  #closed: Promise<void> | undefined
  /** The jobs have ended: nothing is sent any more. */
  #ended = false

  /** @param driver opened, with these capabilities */
  constructor(driver: Driver, capabilities: Capabilities) {
    this.#driver = driver
    this.capabilities = capabilities
    this.#link = {
      driver,
      capabilities,
      outbox: new Outbox(driver),
      declarations: new Declarations(driver),
      keep: (make) => this.#keep(make),
      assertOpen: () => this.#assertOpen(),
    }
    this.#requests = new Requests(this.#link)
  }

  /**
   * A work queue; declared on its first use. Called again without options it is the same queue as before.
   * @throws ValidationError INVALID_NAME (empty, over 255 bytes, beginning with 'amq.'), INVALID_OPTION
   */
  queue<Input = unknown, Output = Input>(
    name: string,
    options?: QueueOptions<Input, Output>,
  ): Queue<Input, Output> {
    assertQueueName(name)
    checkOptions(`queue ${name}`, options, queueChecks)
    const known = this.#queues.get(name)
    if (known !== undefined && (options === undefined || known.options === options)) {
      return known.queue as unknown as Queue<Input, Output>
    }
    const queue = new Queue<Input, Output>(this.#link, name, options ?? {})
    const entry = { queue: queue as unknown as Queue, options: (options ?? {}) as unknown as QueueOptions }
    if (known === undefined) this.#queues.set(name, entry)
    return queue
  }

  /** An exchange; declared on its first use. */
  exchange<Input = unknown, Output = Input>(
    name: string,
    kind: ExchangeKind,
    options: ExchangeOptions<Input, Output> = {},
  ): Exchange<Input, Output> {
    assertExchangeName(name)
    const wrong = isOneOf('fanout', 'direct', 'topic', 'headers')(kind, 'kind')
    if (wrong !== undefined) throw new ValidationError('INVALID_OPTION', `exchange ${name}: kind ${wrong}`)
    checkOptions(`exchange ${name}`, options, exchangeChecks)
    return new Exchange<Input, Output>(this.#link, name, kind, options)
  }

  /** Sends a request to whoever replies under this name and waits for the answer. */
  async request<Result = unknown>(
    name: string,
    data: unknown,
    options: RequestOptions = {},
  ): Promise<Result> {
    assertQueueName(name)
    checkOptions(`request ${name}`, options, { timeout: isDuration, ...waitChecks })
    this.#assertOpen()
    return (await this.#requests.request(name, data, options)) as Result
  }

  /**
   * Answers requests of this name; what the handler returns is the reply. `Data` says what a request holds; without it
   * nothing is checked, as with `JSON.parse`.
   */
  reply<Data = Untyped>(name: string, handler: Handler<Data>, options: WorkOptions = {}): Worker<Data> {
    assertQueueName(name)
    assertHandler(`reply ${name}`, handler)
    checkOptions(`reply ${name}`, options, workChecks)
    return this.#requests.reply(name, handler, options)
  }

  /** The names of every queue of this namespace. */
  async queues(options: WaitOptions = {}): Promise<readonly string[]> {
    checkOptions('queues', options, waitChecks)
    this.#assertOpen()
    return unlessAborted(options.signal, () => this.#driver.queues())
  }

  /**
   * Moves ready messages to the tail of another queue, the oldest first, attempts reset; says how many. At any crash each
   * message is in exactly one of the two queues, where the engine can (see its capabilities).
   */
  async move(from: string, to: string, options: { limit?: number } & WaitOptions = {}): Promise<number> {
    assertQueueName(from)
    assertQueueName(to)
    checkOptions(`move from ${from} to ${to}`, options, {
      limit: isInteger(1, Number.MAX_SAFE_INTEGER),
      ...waitChecks,
    })
    if (from === to)
      throw new ValidationError('INVALID_OPTION', `move: ${from} is both ends; give two queues`)
    this.#assertOpen()
    return unlessAborted(options.signal, () => this.#driver.move(from, to, options))
  }

  /** The connection's own events: up, down, blocked, unblocked, topologyLost, warning. */
  on<Name extends keyof DriverEventMap>(
    name: Name,
    listener: (...facts: DriverEventMap[Name]) => void,
  ): this {
    this.#driver.events.on(name, listener)
    return this
  }

  off<Name extends keyof DriverEventMap>(
    name: Name,
    listener: (...facts: DriverEventMap[Name]) => void,
  ): this {
    this.#driver.events.off(name, listener)
    return this
  }

  /**
   * Lets running jobs end, stores what was sent, and closes the engine. Idempotent. Called off by a signal, it goes on all
   * the same.
   */
  close(options: CloseOptions = {}): Promise<void> {
    checkOptions('close', options, { timeout: isDuration, ...waitChecks })
    return untilAborted(options.signal, (this.#closed ??= this.#close(options)))
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close()
  }

  async #close(options: CloseOptions): Promise<void> {
    const timeoutMs =
      options.timeout === undefined ? undefined : durationMs(options.timeout, 'close: timeout')
    const { outbox } = this.#link
    try {
      const closed = Promise.all([...this.#owned].map((owned) => owned.closeWithConnection(timeoutMs)))
      // To stop taking, to wait for jobs and to hand them back, so long each: a server that is away answers none of them.
      await within(timeoutMs === undefined ? undefined : 3 * timeoutMs, closed)
      this.#ended = true
      this.#requests.close(closedError())
      await within(timeoutMs, outbox.drain())
    } finally {
      this.#ended = true
      await this.#driver.close()
    }
  }

  #keep<T extends Closable>(make: (onClosed: (closed: T) => void) => T): T {
    if (this.#closed !== undefined) throw closedError()
    const made = make((closed) => this.#owned.delete(closed))
    this.#owned.add(made)
    return made
  }

  /** While the connection closes, its running jobs may go on sending. */
  #assertOpen(): void {
    if (this.#ended) throw closedError()
  }
}
