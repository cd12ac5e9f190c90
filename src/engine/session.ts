/**
 * A session: the state of one AMQP channel, and all that a client can do. The in-process client, the AMQP server and the
 * HTTP API are adapters over it. Method names are the protocol's verbs; errors are those of RabbitMQ.
 */
import { assert } from '../std/assert.ts'
import { describeResource, parseConsumerArguments } from '../model/arguments.ts'
import { ClosedError, MillraceError, UnsupportedError } from '../model/errors.ts'
import { emptyFieldTable } from '../model/field-value.ts'
import type { FieldTable } from '../model/field-value.ts'
import type { Message } from '../model/message.ts'
import { stripLineBreaks } from '../model/names.ts'
import { Consumer } from './consumer.ts'
import type { EngineDelivery } from './delivery.ts'
import { handOver } from './dispatch.ts'
import type { Exchange } from './exchange.ts'
import { takeDeliverable } from './head.ts'
import type { Kernel } from './kernel.ts'
import { checkExtras, checkPublishable, publish } from './publish.ts'
import type { PublishExtras, PublishOutcome } from './publish.ts'
import { purgeQueue } from './purge.ts'
import type { Queue } from './queue.ts'
import { exclusivelyUsed, locked, notFound, tooMany } from './refusals.ts'
import { acknowledge, reject, requeue, retry } from './settle.ts'
import type { SessionSink } from './sink.ts'
import * as topology from './topology.ts'
import type { DeclareExchange, DeclareQueue } from './topology.ts'
import { Transaction } from './transaction.ts'
import type { BufferedSettlement } from './transaction.ts'
import { Unacked } from './unacked.ts'
import type { VirtualHost } from './virtual-host.ts'

export interface QueueDeclared {
  readonly name: string
  /** Ready messages. */
  readonly messageCount: number
  readonly consumerCount: number
}

export interface BindQueue {
  /** '' for the last one declared on this session. */
  readonly queue: string
  readonly exchange: string
  readonly routingKey: string
  readonly arguments?: FieldTable
}

export interface BindExchange {
  readonly source: string
  readonly destination: string
  readonly routingKey: string
  readonly arguments?: FieldTable
}

export interface Consume {
  readonly queue: string
  /** '' has the broker make one. */
  readonly tag: string
  readonly noAck?: boolean
  readonly exclusive?: boolean
  readonly arguments?: FieldTable
  /** Instead of what `qos` said. */
  readonly prefetch?: number
}

const buffered: PublishOutcome = Object.freeze({ type: 'routed', queues: 0, messageId: '' })
const noReturn = 312

export class Session {
  readonly vhost: VirtualHost
  readonly connectionId: number
  readonly sink: SessionSink
  readonly unacked: Unacked
  readonly consumers: Map<string, Consumer>
  nextDeliveryTag: number
  /** Deliveries are taken: the peer reads, and the session is open. */
  flowing: boolean
  /** Unacked deliveries made to consumers, not by `get`. */
  consumerUnacked: number
  /** The most of those, over all consumers. */
  creditLimit: number
  /** A consumer was passed over because of that limit. */
  outOfCredit: boolean
  closed: boolean
  readonly #kernel: Kernel
  #prefetch: number
  #lastQueueName: string
  #confirming: boolean
  #transaction: Transaction | undefined

  constructor(kernel: Kernel, vhost: VirtualHost, connectionId: number, sink: SessionSink) {
    this.vhost = vhost
    this.connectionId = connectionId
    this.sink = sink
    this.unacked = new Unacked()
    this.consumers = new Map()
    this.nextDeliveryTag = 1
    this.flowing = true
    this.consumerUnacked = 0
    this.creditLimit = kernel.limits.unackedPerSession
    this.outOfCredit = false
    this.closed = false
    this.#kernel = kernel
    this.#prefetch = 0
    this.#lastQueueName = ''
    this.#confirming = false
    this.#transaction = undefined
  }

  /** Publisher confirms were asked for. */
  get confirming(): boolean {
    return this.#confirming
  }

  get transactional(): boolean {
    return this.#transaction !== undefined
  }

  // --- exchanges and queues -----------------------------------------------------------------------------------

  declareExchange(wanted: DeclareExchange): void {
    this.#enter()
    topology.declareExchange(this.#kernel, this.vhost, { ...wanted, name: stripLineBreaks(wanted.name) })
  }

  /** Passive declare: throws NOT_FOUND if it is not there. */
  checkExchange(name: string): void {
    this.#enter()
    this.vhost.exchange(stripLineBreaks(name))
  }

  deleteExchange(name: string, options: { ifUnused?: boolean } = {}): void {
    this.#enter()
    const ifUnused = options.ifUnused ?? false
    topology.deleteExchange(this.#kernel, this.vhost, stripLineBreaks(name), { ifUnused })
  }

  bindExchange(terms: BindExchange): void {
    this.#enter()
    topology.bind(this.#kernel, this.vhost, this.#exchangeTerms(terms))
  }

  unbindExchange(terms: BindExchange): void {
    this.#enter()
    topology.unbind(this.#kernel, this.vhost, this.#exchangeTerms(terms))
  }

  declareQueue(wanted: DeclareQueue, nowMs: number): QueueDeclared {
    this.#enter()
    const given = stripLineBreaks(wanted.name)
    const serverNamed = given === ''
    const name = serverNamed ? this.#newQueueName() : given
    const { connectionId } = this
    const settled = { ...wanted, name, connectionId, serverNamed }
    return this.#declared(topology.declareQueue(this.#kernel, this.vhost, settled, nowMs))
  }

  /** Passive declare: throws NOT_FOUND, RESOURCE_LOCKED. */
  checkQueue(name: string, nowMs: number): QueueDeclared {
    this.#enter()
    const queue = this.queue(name)
    topology.touch(this.#kernel, queue, nowMs)
    return this.#declared(queue)
  }

  /** Says how many messages were ready; 0 if there is no such queue. */
  deleteQueue(name: string, options: { ifUnused?: boolean; ifEmpty?: boolean } = {}): number {
    this.#enter()
    const queue = this.vhost.queues.get(this.#queueName(name))
    if (queue === undefined) return 0
    this.#checkAccess(queue)
    const { ifUnused = false, ifEmpty = false } = options
    return topology.deleteQueue(this.#kernel, queue, { ifUnused, ifEmpty })
  }

  bindQueue(terms: BindQueue): void {
    this.#enter()
    topology.bind(this.#kernel, this.vhost, this.#queueTerms(terms))
  }

  unbindQueue(terms: BindQueue): void {
    this.#enter()
    topology.unbind(this.#kernel, this.vhost, this.#queueTerms(terms))
  }

  /** Drops the ready messages and says how many. */
  purgeQueue(name: string): number {
    this.#enter()
    return purgeQueue(this.#kernel, this.queue(name), 'ready')
  }

  /** The queue of that name ('' for the last one declared here). Throws NOT_FOUND, RESOURCE_LOCKED. */
  queue(name: string): Queue {
    const queue = this.vhost.queue(this.#queueName(name))
    this.#checkAccess(queue)
    return queue
  }

  // --- publishing ---------------------------------------------------------------------------------------------

  /** Throws NOT_FOUND, ACCESS_REFUSED (internal exchange), PRECONDITION_FAILED (CC, BCC), INVALID_ARGUMENT. */
  publish(message: Message, extras: PublishExtras, nowMs: number): PublishOutcome {
    this.#enter()
    const vhost = this.vhost
    const exchange = message.exchange === '' ? vhost.defaultExchange : vhost.exchange(message.exchange)
    checkPublishable(exchange)
    checkExtras(this.#kernel, extras)
    if (this.#transaction !== undefined) {
      this.#transaction.publish({ exchange, message, extras })
      return buffered
    }
    return this.#publish(exchange, message, extras, nowMs)
  }

  confirmSelect(): void {
    this.#enter()
    if (this.#transaction !== undefined) throw failed('cannot switch from tx to confirm mode')
    this.#confirming = true
  }

  txSelect(): void {
    this.#enter()
    if (this.#confirming) throw failed('cannot switch from confirm to tx mode')
    this.#transaction ??= new Transaction(this.#kernel.limits.operationsPerTransaction)
  }

  /** Does all that was buffered, in one turn. */
  txCommit(nowMs: number): void {
    this.#enter()
    const transaction = this.#currentTransaction()
    const { publishes, settlements } = transaction
    transaction.clear()
    for (const { exchange, message, extras } of publishes) {
      this.#publish(exchange, message, extras, nowMs)
    }
    for (const settlement of settlements) this.#settle(settlement, nowMs)
  }

  /** Forgets what was published; what was settled is unacked again. */
  txRollback(): void {
    this.#enter()
    const transaction = this.#currentTransaction()
    for (const { delivery } of transaction.settlements) this.unacked.restore(delivery)
    transaction.clear()
  }

  // --- consuming ----------------------------------------------------------------------------------------------

  /** Unacked deliveries at most, 0 for no limit: of each consumer to come, or of the session as a whole. */
  qos(options: { prefetchCount: number; global: boolean }): void {
    this.#enter()
    if (!options.global) {
      this.#prefetch = options.prefetchCount
      return
    }
    const limit = this.#kernel.limits.unackedPerSession
    this.creditLimit = options.prefetchCount === 0 ? limit : Math.min(limit, options.prefetchCount)
    this.wakeConsumers()
  }

  /** Gives the consumer's tag. Throws NOT_FOUND, RESOURCE_LOCKED, ACCESS_REFUSED (exclusive), NOT_ALLOWED (tag in use). */
  consume(wanted: Consume, nowMs: number): string {
    this.#enter()
    const tag = wanted.tag === '' ? `amq.ctag-${this.#kernel.name()}` : wanted.tag
    if (this.consumers.has(tag)) {
      throw new MillraceError('NOT_ALLOWED', `attempt to reuse consumer tag '${tag}'`)
    }
    const queue = this.queue(wanted.queue)
    const where = { name: queue.name, vhost: this.vhost.name }
    const table = wanted.arguments ?? emptyFieldTable
    const { priority } = parseConsumerArguments(table, describeResource('queue', where))
    const exclusive = wanted.exclusive ?? false
    const taken = exclusive && (queue.consumers.size > 0 || queue.settings.singleActiveConsumer)
    if (taken || queue.consumers.exclusive) throw exclusivelyUsed(where)
    const limit = this.#kernel.limits.consumersPerSession
    if (this.consumers.size >= limit) throw tooMany('consumers', limit)
    const consumer = new Consumer({
      session: this,
      queue,
      tag,
      noAck: wanted.noAck ?? false,
      exclusive,
      priority,
      arguments: table,
      prefetch: wanted.prefetch ?? this.#prefetch,
    })
    this.consumers.set(tag, consumer)
    queue.consumers.add(consumer)
    queue.hadConsumer = true
    topology.touch(this.#kernel, queue, nowMs)
    this.#kernel.markDirty(queue)
    return tag
  }

  /** Changes the credit of a running consumer; false if there is none of that tag. */
  setPrefetch(tag: string, prefetch: number): boolean {
    this.#enter()
    const consumer = this.consumers.get(tag)
    if (consumer === undefined) return false
    consumer.prefetch = prefetch
    this.#wake(consumer)
    return true
  }

  /** Ends a consumer; what it holds stays to be settled. A tag that is not there is ok. */
  cancel(tag: string, nowMs: number): void {
    this.#enter()
    const consumer = this.consumers.get(tag)
    if (consumer === undefined) return
    this.#detach(consumer, nowMs)
    this.#deleteIfUnused(consumer.queue)
  }

  /** Takes one message, whatever the prefetch. */
  get(
    wanted: { queue: string; noAck: boolean },
    nowMs: number,
  ): { delivery: EngineDelivery; messageCount: number } | undefined {
    this.#enter()
    const kernel = this.#kernel
    const queue = this.queue(wanted.queue)
    topology.touch(kernel, queue, nowMs)
    if (queue.paused) return undefined
    kernel.work = kernel.limits.workPerAdvance
    const entry = takeDeliverable(kernel, queue, nowMs, false)
    if (entry === undefined) return undefined
    const delivery = handOver(kernel, queue, entry, this, undefined, wanted.noAck)
    return { delivery, messageCount: queue.readyMessages }
  }

  /** Stops or resumes deliveries: its peer does not read, or reads again. */
  setFlow(flowing: boolean): void {
    this.#enter()
    this.flowing = flowing
    if (flowing) this.wakeConsumers()
  }

  // --- settling, as AMQP has it: throws PRECONDITION_FAILED for an unknown tag --------------------------------

  /** With `multiple`, all up to and with that tag; all there are for tag 0. */
  ack(tag: number, multiple: boolean, nowMs: number): void {
    this.#enter()
    if (multiple || this.#transaction !== undefined) {
      this.#settleTags(tag, multiple, 'ack', nowMs)
      return
    }
    const delivery = this.unacked.take(tag)
    if (delivery === undefined) throw unknownTag(tag)
    acknowledge(this.#kernel, delivery)
  }

  nack(tag: number, options: { multiple: boolean; requeue: boolean }, nowMs: number): void {
    this.#enter()
    this.#settleTags(tag, options.multiple, options.requeue ? 'requeue' : 'reject', nowMs)
  }

  reject(tag: number, options: { requeue: boolean }, nowMs: number): void {
    this.nack(tag, { multiple: false, requeue: options.requeue }, nowMs)
  }

  /** Puts back everything unacked. Throws UNSUPPORTED without `requeue`, as RabbitMQ does. */
  recover(options: { requeue: boolean }, nowMs: number): void {
    this.#enter()
    if (!options.requeue) {
      throw new UnsupportedError({
        feature: 'recover without requeue',
        driver: 'this broker',
        hint: 'recover with requeue=true',
      })
    }
    for (const delivery of this.unacked.takeThrough(0)) requeue(this.#kernel, delivery, nowMs, true)
  }

  // --- settling, as Millrace has it: false if the delivery is not outstanding (any more) ----------------------

  settleAck(tag: number): boolean {
    const delivery = this.#takeOne(tag)
    if (delivery === undefined) return false
    acknowledge(this.#kernel, delivery)
    return true
  }

  /** Back into its queue, at the tail, after the delay; counts as an attempt. */
  settleRetry(tag: number, delayMs: number, nowMs: number): boolean {
    const delivery = this.#takeOne(tag)
    if (delivery === undefined) return false
    retry(this.#kernel, delivery, { delayMs: this.#clampDelay(delayMs), nowMs }, true)
    return true
  }

  /** Back into its queue, not counting as an attempt: to its original position, or after the delay to the tail. */
  settleRelease(tag: number, delayMs: number, nowMs: number): boolean {
    const delivery = this.#takeOne(tag)
    if (delivery === undefined) return false
    if (delayMs > 0) retry(this.#kernel, delivery, { delayMs: this.#clampDelay(delayMs), nowMs }, false)
    else requeue(this.#kernel, delivery, nowMs, false)
    return true
  }

  /** To the dead-letter exchange with the reason and error in its headers, or away where there is none. */
  settleDead(tag: number, account: { reason: string; error?: string | undefined }, nowMs: number): boolean {
    const delivery = this.#takeOne(tag)
    if (delivery === undefined) return false
    reject(this.#kernel, delivery, nowMs, { reason: account.reason, error: account.error })
    return true
  }

  /** Ends the session: its consumers go, its unacked deliveries return to their positions. Idempotent. */
  close(nowMs: number): void {
    this.#kernel.enter()
    if (this.closed) return
    this.closed = true
    this.flowing = false
    const queues = new Set<Queue>()
    for (const consumer of this.consumers.values()) {
      queues.add(consumer.queue)
      this.#detach(consumer, nowMs)
    }
    if (this.#transaction !== undefined) {
      for (const { delivery } of this.#transaction.settlements) this.unacked.restore(delivery)
      this.#transaction.clear()
    }
    for (const delivery of this.unacked.takeThrough(0)) requeue(this.#kernel, delivery, nowMs, true)
    for (const queue of queues) this.#deleteIfUnused(queue)
    this.#kernel.removeSession(this)
  }

  /** The limit of the session as a whole leaves room (again). For the engine. */
  wakeConsumers(): void {
    this.outOfCredit = false
    for (const consumer of this.consumers.values()) this.#wake(consumer)
  }

  /** Visits every delivery that is outstanding, those settled in an open transaction too. For the engine. */
  forEachOutstanding(visit: (delivery: EngineDelivery) => void): void {
    this.unacked.forEach(visit)
    for (const { delivery } of this.#transaction?.settlements ?? []) visit(delivery)
  }

  invariants(): void {
    this.unacked.invariants()
    let ofConsumers = 0
    this.forEachOutstanding((delivery) => {
      assert(delivery.session === this, 'a session holds its own deliveries')
      assert(delivery.deliveryTag < this.nextDeliveryTag, 'tags ascend')
      if (delivery.consumer !== undefined) ofConsumers += 1
    })
    assert(ofConsumers === this.consumerUnacked, 'deliveries to consumers are counted')
    for (const consumer of this.consumers.values()) {
      assert(!consumer.cancelled && consumer.session === this, 'a consumer is in its own session')
    }
    assert(
      !this.closed || (this.unacked.length === 0 && this.consumers.size === 0),
      'a closed session is empty',
    )
  }

  #enter(): void {
    this.#kernel.enter()
    if (this.closed) throw new ClosedError('the session is closed; open another one')
  }

  #publish(exchange: Exchange, message: Message, extras: PublishExtras, nowMs: number): PublishOutcome {
    const kernel = this.#kernel
    const outcome = publish(kernel, exchange, message, extras, nowMs)
    if (extras.mandatory && outcome.type === 'unroutable') {
      kernel.insideSink = true
      try {
        this.sink.returned(message, noReturn, 'NO_ROUTE')
      } finally {
        kernel.insideSink = false
      }
    }
    return outcome
  }

  #takeOne(tag: number): EngineDelivery | undefined {
    this.#kernel.enter()
    return this.unacked.take(tag)
  }

  #settleTags(tag: number, multiple: boolean, type: BufferedSettlement['type'], nowMs: number): void {
    const deliveries = this.#takeTags(tag, multiple)
    for (const delivery of deliveries) {
      if (this.#transaction !== undefined) this.#transaction.settle(delivery, type)
      else this.#settle({ delivery, type }, nowMs)
    }
  }

  #takeTags(tag: number, multiple: boolean): EngineDelivery[] {
    if (multiple) {
      if (tag !== 0 && this.unacked.get(tag) === undefined) throw unknownTag(tag)
      return this.unacked.takeThrough(tag)
    }
    const delivery = this.unacked.take(tag)
    if (delivery === undefined) throw unknownTag(tag)
    return [delivery]
  }

  #settle(settlement: BufferedSettlement, nowMs: number): void {
    const { delivery, type } = settlement
    switch (type) {
      case 'ack':
        return acknowledge(this.#kernel, delivery)
      case 'requeue':
        return requeue(this.#kernel, delivery, nowMs, true)
      case 'reject':
        return reject(this.#kernel, delivery, nowMs)
    }
  }

  #currentTransaction(): Transaction {
    if (this.#transaction === undefined) throw failed('channel is not transactional')
    return this.#transaction
  }

  #wake(consumer: Consumer): void {
    consumer.queue.consumers.wake(consumer)
    if (consumer.queue.readyMessages > 0) this.#kernel.markDirty(consumer.queue)
  }

  #detach(consumer: Consumer, nowMs: number): void {
    consumer.cancelled = true
    this.consumers.delete(consumer.tag)
    const queue = consumer.queue
    queue.consumers.remove(consumer)
    if (queue.consumers.size === 0) topology.touch(this.#kernel, queue, nowMs)
    if (queue.readyMessages > 0) this.#kernel.markDirty(queue)
  }

  #deleteIfUnused(queue: Queue): void {
    if (queue.autoDelete && queue.hadConsumer && queue.consumers.size === 0 && !queue.deleted) {
      topology.removeQueue(this.#kernel, queue)
    }
  }

  #declared(queue: Queue): QueueDeclared {
    this.#lastQueueName = queue.name
    return { name: queue.name, messageCount: queue.readyMessages, consumerCount: queue.consumers.size }
  }

  #newQueueName(): string {
    for (;;) {
      const name = `amq.gen-${this.#kernel.name()}`
      if (!this.vhost.queues.has(name)) return name
    }
  }

  #queueName(name: string): string {
    const stripped = stripLineBreaks(name)
    if (stripped !== '') return stripped
    if (this.#lastQueueName === '') {
      throw new MillraceError('NOT_FOUND', `no previously declared queue in vhost '${this.vhost.name}'`)
    }
    return this.#lastQueueName
  }

  #checkAccess(queue: Queue): void {
    if (queue.ownerConnectionId !== 0 && queue.ownerConnectionId !== this.connectionId) {
      throw locked({ name: queue.name, vhost: this.vhost.name })
    }
  }

  #queueTerms(terms: BindQueue): topology.BindTerms {
    const destination = this.queue(terms.queue)
    const routingKey = terms.queue === '' && terms.routingKey === '' ? destination.name : terms.routingKey
    const source = stripLineBreaks(terms.exchange)
    return { source, destination, routingKey, arguments: terms.arguments ?? emptyFieldTable }
  }

  #exchangeTerms(terms: BindExchange): topology.BindTerms {
    const name = stripLineBreaks(terms.destination)
    const destination = this.vhost.exchanges.get(name)
    if (destination === undefined) throw notFound('exchange', { name, vhost: this.vhost.name })
    const source = stripLineBreaks(terms.source)
    return {
      source,
      destination,
      routingKey: terms.routingKey,
      arguments: terms.arguments ?? emptyFieldTable,
    }
  }

  #clampDelay(delayMs: number): number {
    return Math.min(Math.max(0, delayMs), this.#kernel.limits.delayMs)
  }
}

function failed(message: string): MillraceError {
  return new MillraceError('PRECONDITION_FAILED', message)
}

function unknownTag(tag: number): MillraceError {
  return new MillraceError('PRECONDITION_FAILED', `unknown delivery tag ${tag}`)
}
