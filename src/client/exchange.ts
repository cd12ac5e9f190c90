/** An exchange, as users hold it: publish to it, subscribe to it. */
import { MillraceError, ValidationError } from '../model/errors.ts'
import { assertRoutingKey } from '../model/names.ts'
import type { ExchangeKind } from '../model/record.ts'
import { encodeBody } from './codec.ts'
import type { BindingSpec, ExchangeSpec, Outgoing, PublishResult, QueueSpec } from './driver.ts'
import { newId } from './id.ts'
import type { Link } from './link.ts'
import { assertExchange, assertHandler, checkOptions, isBoolean, isHeaders, isString } from './options.ts'
import type { Check } from './options.ts'
import { queueChecks, queueTopology } from './queue-options.ts'
import type { DeclarationOptions } from './queue-options.ts'
import { isSchema, validate } from './schema.ts'
import type { StandardSchema } from './schema.ts'
import { checkedEnvelope, sendChecks } from './send-options.ts'
import type { SendOptions } from './send-options.ts'
import { assertNotAborted, unlessAborted, waitChecks, waitOf } from './wait.ts'
import type { WaitOptions } from './wait.ts'
import { workChecks } from './work-options.ts'
import type { Handler, WorkOptions } from './work-options.ts'
import { Worker } from './worker.ts'

export interface ExchangeOptions<Input = unknown, Output = Input> {
  /** Checked on publish and on receipt. */
  readonly schema?: StandardSchema<Input, Output>
  /** Survives a restart (default true). */
  readonly durable?: boolean
  /** Takes what this exchange routes nowhere. */
  readonly alternate?: string
}

export const exchangeChecks: Readonly<Record<string, Check>> = {
  schema: isSchema,
  durable: isBoolean,
  alternate: isString,
}

export interface PublishSettings extends SendOptions {
  /** True: a message that no queue takes rejects with UNROUTABLE instead of being dropped and counted. */
  readonly mandatory?: boolean
}

const publishChecks: Readonly<Record<string, Check>> = { ...sendChecks, mandatory: isBoolean }

/** What `publish` resolves with. */
export interface Published {
  readonly id: string
  /** At least one queue took it. */
  readonly routed: boolean
}

/** What the queue of a group is declared with is refused without one: the queue of a subscriber of its own is fixed. */
export interface SubscribeOptions extends WorkOptions, Omit<DeclarationOptions, 'declare'> {
  /**
   * The members of a group share one durable queue, `exchange.group`: each message goes to one of them, and waits
   * while none is there. Without a group the subscriber gets its own copy while it is connected.
   */
  readonly group?: string
  /** Headers to match, for a headers exchange; `'x-match': 'any'` for one of them. */
  readonly headers?: Readonly<Record<string, string | number | boolean>>
}

const { schema: _schema, declare: _declare, ...sharedQueueChecks } = queueChecks

const subscribeChecks: Readonly<Record<string, Check>> = {
  ...sharedQueueChecks,
  ...workChecks,
  group: isString,
  headers: isHeaders,
}

/** An exchange of any type of message. */
export type AnyExchange = Pick<Exchange, 'name' | 'declare'>

export class Exchange<Input = unknown, Output = Input> {
  readonly name: string
  readonly kind: ExchangeKind
  readonly #link: Link
  readonly #options: ExchangeOptions<Input, Output>
  #declared = false

  /** @internal */
  constructor(link: Link, name: string, kind: ExchangeKind, options: ExchangeOptions<Input, Output>) {
    this.#link = link
    this.name = name
    this.kind = kind
    this.#options = options
  }

  /**
   * Resolves once every queue that takes the message has it, as durably as the engine promises.
   * @throws ValidationError, MillraceError UNROUTABLE (with `mandatory`), QUEUE_FULL
   */
  async publish(routingKey: string, data: Input, options: PublishSettings = {}): Promise<Published> {
    const call = `exchange ${this.name}: publish`
    assertRoutingKey(routingKey)
    checkOptions(call, options, publishChecks)
    const { mandatory = false, ...rest } = options
    const { schema } = this.#options
    if (schema !== undefined) {
      encodeBody(data)
      await unlessAborted(options.signal, async () =>
        validate(schema as never, data, `the exchange ${this.name}`),
      )
    }
    const outgoing = checkedEnvelope({ call, exchange: this.name, routingKey, mandatory }, data, rest)
    await this.declare(waitOf(options))
    const result = await this.#link.outbox.put(outgoing, options.signal)
    if (result.type !== 'rejected' || !isNotFound(result.error)) return this.#outcome(outgoing, result)
    // Somebody deleted the exchange since we declared it: declare it again, once.
    this.#forget()
    await this.declare(waitOf(options))
    return this.#outcome(outgoing, await this.#link.outbox.put(outgoing, options.signal))
  }

  /**
   * Starts a worker on what the exchange takes under this pattern: a key for direct, `*` one word and `#` any words
   * for topic; fanout and headers take no notice of it. Await `.ready` before you publish what it must not miss.
   */
  subscribe(pattern: string, handler: Handler<Output>, options: SubscribeOptions = {}): Worker<Output> {
    assertHandler(`exchange ${this.name}: subscribe`, handler)
    checkOptions(`exchange ${this.name}: subscribe`, options, subscribeChecks)
    const { group, headers, signal, concurrency, exclusive, priority, ...others } = options
    const { attempts, backoff, timeout, ...shared } = others
    const [misplaced] = group === undefined ? Object.keys(defined(shared)) : []
    if (misplaced !== undefined) {
      throw new ValidationError(
        'INVALID_OPTION',
        `exchange ${this.name}: subscribe: ${misplaced} is an option of a group's queue; give a group, or leave it out`,
      )
    }
    const work = { signal, concurrency, exclusive, priority, attempts, backoff, timeout }
    const queue = group === undefined ? `millrace.sub.${newId()}` : `${this.name}.${group}`
    return this.#link.keep(
      (onClosed) =>
        new Worker<Output>({
          driver: this.#link.driver,
          queue,
          handler,
          schema: this.#options.schema,
          options: defined(work),
          prepare: () => this.#prepare({ queue, pattern, group, headers, shared }),
          onClosed,
        }),
    )
  }

  /** Routes what the other exchange takes under this key into this one. */
  async bind(source: AnyExchange, routingKey = '', options: WaitOptions = {}): Promise<void> {
    assertExchange(`exchange ${this.name}: bind`, source)
    checkOptions(`exchange ${this.name}: bind`, options, waitChecks)
    await Promise.all([this.declare(options), source.declare(options)])
    const bindings = [this.#exchangeBinding(source.name, routingKey)]
    await unlessAborted(options.signal, () => this.#link.driver.declare({ bindings }))
  }

  async unbind(source: AnyExchange, routingKey = '', options: WaitOptions = {}): Promise<void> {
    assertExchange(`exchange ${this.name}: unbind`, source)
    checkOptions(`exchange ${this.name}: unbind`, options, waitChecks)
    const bindings = [this.#exchangeBinding(source.name, routingKey)]
    await unlessAborted(options.signal, () => this.#link.driver.undeclare({ bindings }))
  }

  /** Deletes the exchange and its bindings; queues stay. */
  async delete(options: WaitOptions = {}): Promise<void> {
    checkOptions(`exchange ${this.name}: delete`, options, waitChecks)
    const exchanges = [{ name: this.name, kind: this.kind }]
    await unlessAborted(options.signal, () => this.#link.driver.undeclare({ exchanges }))
    this.#forget()
  }

  /** Declares the exchange now instead of on its first use. */
  async declare(options: WaitOptions = {}): Promise<void> {
    checkOptions(`exchange ${this.name}: declare`, options, waitChecks)
    assertNotAborted(options.signal)
    if (this.#declared) return
    this.#link.assertOpen()
    const { durable = true, alternate } = this.#options
    const exchange: ExchangeSpec = {
      name: this.name,
      kind: this.kind,
      durable,
      ...(alternate !== undefined && { alternate }),
    }
    await unlessAborted(options.signal, () =>
      this.#link.declarations.declare(`exchange ${this.name}`, { exchanges: [exchange] }),
    )
    this.#declared = true
  }

  #forget(): void {
    this.#declared = false
    this.#link.declarations.forget(`exchange ${this.name}`)
  }

  #outcome(outgoing: Outgoing, result: PublishResult): Published {
    const id = outgoing.properties.messageId ?? ''
    switch (result.type) {
      case 'stored':
        return { id, routed: true }
      case 'duplicate':
        return { id: result.messageId, routed: true }
      case 'dropped':
        return { id, routed: false }
      case 'unroutable':
        throw new MillraceError(
          'UNROUTABLE',
          `No queue takes '${outgoing.routingKey}' from the exchange ${this.name}; bind one first`,
        )
      case 'rejected':
        throw result.error
    }
  }

  async #prepare(subscription: {
    queue: string
    pattern: string
    group: string | undefined
    headers: Readonly<Record<string, string | number | boolean>> | undefined
    shared: Omit<DeclarationOptions, 'declare'>
  }): Promise<void> {
    const { queue, pattern, group, headers, shared } = subscription
    await this.declare()
    const binding: BindingSpec = {
      source: this.name,
      destination: queue,
      routingKey: pattern,
      ...(headers !== undefined && { arguments: headers }),
    }
    const own: QueueSpec = { name: queue, durable: false, exclusive: true, autoDelete: true }
    const queues = group === undefined ? [own] : (queueTopology(queue, shared).queues ?? [])
    await this.#link.driver.declare({ queues, bindings: [binding] })
  }

  #exchangeBinding(source: string, routingKey: string): BindingSpec {
    return { source, destination: this.name, destinationType: 'exchange', routingKey }
  }
}

function isNotFound(error: Error): boolean {
  return error instanceof MillraceError && error.code === 'NOT_FOUND'
}

/** Without the names whose value is undefined. */
function defined<T extends object>(options: T): { [Name in keyof T]: Exclude<T[Name], undefined> } {
  return Object.fromEntries(Object.entries(options).filter(([, value]) => value !== undefined)) as never
}
