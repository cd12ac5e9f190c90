/** A work queue, as users hold it. */
import { MillraceError, ValidationError } from '../model/errors.ts'
import { encodeBody } from './codec.ts'
import { DeadLetters } from './dead-letters.ts'
import type { AnyExchange } from './exchange.ts'
import { BrowsedJob, browse, browseChecks } from './browse.ts'
import type { BrowseSettings } from './browse.ts'
import type { Outgoing, PublishResult, QueueStats } from './driver.ts'
import type { Link } from './link.ts'
import { Messages } from './messages.ts'
import type { ConsumeSettings } from './messages.ts'
import {
  assertExchange,
  assertHandler,
  checkOptions,
  isBoolean,
  isHeaders,
  isInteger,
  isOneOf,
} from './options.ts'
import { deadLetterOf, queueTopology } from './queue-options.ts'
import type { QueueOptions } from './queue-options.ts'
import { validate } from './schema.ts'
import { envelope, envelopeOfEach } from './send-options.ts'
import type { Address, SendManyOptions, SendOptions } from './send-options.ts'
import { assertNotAborted, unlessAborted, waitChecks, waitOf } from './wait.ts'
import type { WaitOptions } from './wait.ts'
import { workChecks } from './work-options.ts'
import type { Handler, WorkOptions } from './work-options.ts'
import { Worker } from './worker.ts'

/** What `send` resolves with. */
export interface Sent {
  /** The message's id; of the first one, where this was a duplicate. */
  readonly id: string
  /** A message with the same dedupe key came inside the window: this one was not stored. */
  readonly duplicate: boolean
}

export interface QueueReport extends QueueStats {
  /** Messages in the dead-letter queue, from whichever queue they came. */
  readonly dead: number
}

export interface BindOptions extends WaitOptions {
  /** Headers to match, for a headers exchange; `'x-match': 'any'` for one of them. */
  readonly headers?: Readonly<Record<string, string | number | boolean>>
}

/** `Input` is what may be sent, `Output` what handlers are given: they differ where a schema transforms. */
export class Queue<Input = unknown, Output = Input> {
  readonly name: string
  /** The dead-letter queue. */
  readonly dead: DeadLetters<Output>
  readonly #link: Link
  readonly #options: QueueOptions<Input, Output>
  readonly #address: Address
  #declared = false
  /** Sends that still check or declare: later ones must not overtake them. */
  #firstUnderWay = 0
  #redeclaring: Promise<void> | undefined

  /** @internal */
  constructor(link: Link, name: string, options: QueueOptions<Input, Output>) {
    this.name = name
    this.#link = link
    this.#options = options
    this.#address = { call: `queue ${name}: send`, exchange: '', routingKey: name, mandatory: true }
    this.dead = new DeadLetters(link, this, deadLetterOf(name, options))
  }

  /**
   * Resolves once the message is stored as durably as the engine promises.
   * @throws ValidationError, ConflictError, MillraceError QUEUE_FULL, DISK_FULL, STORE_FAILED, CLOSED, ABORTED
   */
  send(data: Input, options?: SendOptions): Promise<Sent> {
    if (this.#declared && this.#firstUnderWay === 0 && this.#options.schema === undefined) {
      try {
        return this.#put(envelope(this.#address, data, options), options?.signal)
      } catch (error) {
        return Promise.reject(error)
      }
    }
    return this.#sendFirst(data, options)
  }

  /** As one batch: all bodies are checked before any is stored; one result per message, in order. */
  async sendMany(messages: readonly Input[], options?: SendManyOptions<Input>): Promise<Sent[]> {
    if (!Array.isArray(messages)) {
      throw new ValidationError('INVALID_OPTION', `queue ${this.name}: sendMany takes an array of messages`)
    }
    const call = `queue ${this.name}: sendMany`
    const envelopeOf = envelopeOfEach(this.#address, call, messages.length, options)
    const batch: Outgoing[] = []
    for (const [index, data] of messages.entries()) {
      await this.#check(data, options?.signal)
      batch.push(envelopeOf(data, index))
    }
    await this.declare(waitOf(options ?? {}))
    return Promise.all(batch.map((outgoing) => this.#put(outgoing, options?.signal)))
  }

  /** Starts a worker. It takes jobs until it is closed, or the connection is. */
  work(handler: Handler<Output>, options: WorkOptions = {}): Worker<Output> {
    assertHandler(`queue ${this.name}: work`, handler)
    checkOptions(`queue ${this.name}: work`, options, workChecks)
    const { attempts, backoff, timeout } = this.#options
    return this.#link.keep(
      (onClosed) =>
        new Worker<Output>({
          driver: this.#link.driver,
          queue: this.name,
          handler,
          schema: this.#options.schema,
          options: {
            ...(attempts !== undefined && { attempts }),
            ...(backoff !== undefined && { backoff }),
            ...(timeout !== undefined && { timeout }),
            ...options,
          },
          prepare: () => this.declare(),
          onClosed,
        }),
    )
  }

  /** Pull style: an async iterator whose jobs you settle yourself. */
  consume(settings: ConsumeSettings = {}): Messages<Output> {
    checkOptions(`queue ${this.name}: consume`, settings, {
      prefetch: isInteger(1, 65_535),
      exclusive: isBoolean,
      priority: workChecks['priority'] as never,
      ...waitChecks,
    })
    return this.#link.keep(
      (onClosed) =>
        new Messages<Output>({
          driver: this.#link.driver,
          queue: this.name,
          schema: this.#options.schema,
          settings,
          prepare: () => this.declare(),
          onClosed,
        }),
    )
  }

  async stats(options: WaitOptions = {}): Promise<QueueReport> {
    checkOptions(`queue ${this.name}: stats`, options, waitChecks)
    await this.declare(options)
    const stats = await unlessAborted(options.signal, () => this.#link.driver.stats(this.name))
    return { ...stats, dead: await this.dead.count(options) }
  }

  /** Looks at messages without touching them, in the order they would be delivered. */
  async browse(settings: BrowseSettings = {}): Promise<BrowsedJob[]> {
    checkOptions(`queue ${this.name}: browse`, settings, browseChecks)
    await this.declare(waitOf(settings))
    if (settings.state !== 'dead')
      return browse(this.#link.driver, this.name, settings.state ?? 'ready', settings)
    return this.dead.browse(settings)
  }

  /** Drops messages and says how many: ready ones by default. Those in a handler's hands stay. */
  async purge(options: { state?: 'ready' | 'delayed' | 'all' } & WaitOptions = {}): Promise<number> {
    checkOptions(`queue ${this.name}: purge`, options, {
      state: isOneOf('ready', 'delayed', 'all'),
      ...waitChecks,
    })
    await this.declare(waitOf(options))
    return unlessAborted(options.signal, () => this.#link.driver.purge(this.name, options.state))
  }

  /** Calls off a delayed message; false where it is not there, or not delayed any more. */
  async cancel(id: string, options: WaitOptions = {}): Promise<boolean> {
    checkOptions(`queue ${this.name}: cancel`, options, waitChecks)
    await this.declare(options)
    const count = await unlessAborted(options.signal, () => this.#link.driver.cancelDelayed(this.name, id))
    return count > 0
  }

  /** No deliveries until `resume`; sending goes on. It holds for all programs and over restarts. */
  async pause(options: WaitOptions = {}): Promise<void> {
    checkOptions(`queue ${this.name}: pause`, options, waitChecks)
    await this.declare(options)
    await unlessAborted(options.signal, () => this.#link.driver.pause(this.name))
  }

  async resume(options: WaitOptions = {}): Promise<void> {
    checkOptions(`queue ${this.name}: resume`, options, waitChecks)
    await this.declare(options)
    await unlessAborted(options.signal, () => this.#link.driver.resume(this.name))
  }

  /** Routes what the exchange takes under this key to the queue as well; `headers` for a headers exchange. */
  async bind(exchange: AnyExchange, routingKey = '', options: BindOptions = {}): Promise<void> {
    assertExchange(`queue ${this.name}: bind`, exchange)
    checkOptions(`queue ${this.name}: bind`, options, bindChecks)
    await Promise.all([this.declare(waitOf(options)), exchange.declare(waitOf(options))])
    const bindings = [this.#binding(exchange.name, routingKey, options.headers)]
    await unlessAborted(options.signal, () => this.#link.driver.declare({ bindings }))
  }

  async unbind(exchange: AnyExchange, routingKey = '', options: BindOptions = {}): Promise<void> {
    assertExchange(`queue ${this.name}: unbind`, exchange)
    checkOptions(`queue ${this.name}: unbind`, options, bindChecks)
    const bindings = [this.#binding(exchange.name, routingKey, options.headers)]
    await unlessAborted(options.signal, () => this.#link.driver.undeclare({ bindings }))
  }

  /** Deletes the queue and what is in it, not its dead-letter queue. With `ifEmpty`, PRECONDITION_FAILED where it holds messages. */
  async delete(options: { ifEmpty?: boolean } & WaitOptions = {}): Promise<void> {
    const { signal, ...conditions } = options
    checkOptions(`queue ${this.name}: delete`, options, { ifEmpty: isBoolean, ...waitChecks })
    const queues = [{ name: this.name }]
    await unlessAborted(signal, () => this.#link.driver.undeclare({ queues }, conditions))
    this.#declared = false
    this.#link.declarations.forget(`queue ${this.name}`)
  }

  /** Declares the queue now instead of on its first use. */
  async declare(options: WaitOptions = {}): Promise<void> {
    checkOptions(`queue ${this.name}: declare`, options, waitChecks)
    assertNotAborted(options.signal)
    if (this.#declared) return
    this.#link.assertOpen()
    await unlessAborted(options.signal, () => this.#declare())
    this.#declared = true
  }

  async #declare(): Promise<void> {
    if (this.#options.declare === false) await this.#link.driver.stats(this.name)
    else await this.#link.declarations.declare(`queue ${this.name}`, queueTopology(this.name, this.#options))
  }

  async #sendFirst(data: Input, options: SendOptions | undefined): Promise<Sent> {
    this.#link.assertOpen()
    let outgoing: Outgoing
    this.#firstUnderWay += 1
    try {
      await this.#check(data, options?.signal)
      outgoing = envelope(this.#address, data, options)
      await this.declare(waitOf(options ?? {}))
    } finally {
      this.#firstUnderWay -= 1
    }
    return this.#put(outgoing, options?.signal)
  }

  async #check(data: Input, signal: AbortSignal | undefined): Promise<void> {
    const { schema } = this.#options
    if (schema === undefined) return
    encodeBody(data)
    await unlessAborted(signal, async () => validate(schema as never, data, `the queue ${this.name}`))
  }

  #put(outgoing: Outgoing, signal: AbortSignal | undefined): Promise<Sent> {
    return this.#link.outbox.send(outgoing, this.#outcome, signal)
  }

  readonly #outcome = (
    outgoing: Outgoing,
    result: PublishResult,
    signal: AbortSignal | undefined,
  ): Sent | Promise<Sent> => {
    if (result.type === 'stored') return stored(outgoing)
    const isMissing = result.type === 'unroutable' || result.type === 'dropped'
    return isMissing ? this.#sendAgain(outgoing, signal) : this.#sent(outgoing, result)
  }

  /** Somebody deleted the queue since we declared it: declare it again, once. */
  async #sendAgain(outgoing: Outgoing, signal: AbortSignal | undefined): Promise<Sent> {
    await unlessAborted(signal, () => this.#redeclare())
    return this.#sent(outgoing, await this.#link.outbox.put(outgoing, signal))
  }

  #sent(outgoing: Outgoing, result: PublishResult): Sent {
    switch (result.type) {
      case 'stored':
        return stored(outgoing)
      case 'duplicate':
        return { id: result.messageId, duplicate: true }
      case 'rejected':
        throw result.error
      case 'unroutable':
      case 'dropped':
        throw new MillraceError('NOT_FOUND', `The queue ${this.name} does not exist`)
    }
  }

  /** One declaration for all who found at the same time that the queue is gone. */
  #redeclare(): Promise<void> {
    this.#redeclaring ??= this.#declareAnew().finally(() => (this.#redeclaring = undefined))
    return this.#redeclaring
  }

  async #declareAnew(): Promise<void> {
    this.#declared = false
    this.#link.declarations.forget(`queue ${this.name}`)
    await this.declare()
  }

  #binding(
    source: string,
    routingKey: string,
    headers?: Readonly<Record<string, string | number | boolean>>,
  ) {
    return {
      source,
      destination: this.name,
      destinationType: 'queue' as const,
      routingKey,
      ...(headers !== undefined && { arguments: headers }),
    }
  }
}

const bindChecks = { headers: isHeaders, ...waitChecks }

function stored(outgoing: Outgoing): Sent {
  return { id: outgoing.properties.messageId ?? '', duplicate: false }
}
