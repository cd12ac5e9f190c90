/**
 * A session: the state of one AMQP channel, and all that a client can do. The in-process client, the AMQP server and the
 * HTTP API are adapters over it. Method names are the protocol's verbs; errors are those of RabbitMQ.
 */
import { assert } from '../std/assert.ts'
import { ClosedError } from '../model/errors.ts'
import type { Message } from '../model/message.ts'
import type { Consumer } from './consumer.ts'
import type { EngineDelivery } from './delivery.ts'
import { handOver } from './dispatch.ts'
import { expireHeads, takeDeliverable } from './head.ts'
import type { Kernel } from './kernel.ts'
import { checkPublish, giveBack, publish, publishBuffered } from './publish.ts'
import type { PublishExtras, PublishOutcome } from './publish.ts'
import type { Queue } from './queue.ts'
import { preconditionFailed, recoverWithoutRequeue } from './refusals.ts'
import { SessionTopology } from './session-topology.ts'
import type { BindExchange, BindQueue, QueueDeclared } from './session-topology.ts'
import { acknowledge, reject, requeue, retry, settle } from './settle.ts'
import type { SessionSink } from './sink.ts'
import { deleteIfUnused, subscribe, unsubscribe } from './subscribe.ts'
import type { Consume } from './subscribe.ts'
import { touch } from './topology.ts'
import type { DeclareExchange, DeclareQueue } from './topology.ts'
import { Transaction } from './transaction.ts'
import type { BufferedSettlement } from './transaction.ts'
import { takeKnown, takeKnownThrough, Unacked } from './unacked.ts'
import type { VirtualHost } from './virtual-host.ts'

const awaitsCommit: PublishOutcome = Object.freeze({ type: 'routed', queues: 0, messageId: '' })

export class Session {
  readonly vhost: VirtualHost
  readonly connectionId: number
  readonly sink: SessionSink
  /** What its methods about exchanges, queues and bindings go through. */
  readonly topology: SessionTopology
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
    this.topology = new SessionTopology(kernel, vhost, connectionId)
    this.#prefetch = 0
    this.#confirming = false
    this.#transaction = undefined
  }

  /** Publisher confirms were asked for. */
  get confirming(): boolean {
    return this.#confirming
  }

  /** What waits for a commit; undefined for a session that is not transactional. */
  get transaction(): Pick<Transaction, 'bytes'> | undefined {
    return this.#transaction
  }

  // --- exchanges and queues -----------------------------------------------------------------------------------

  declareExchange(wanted: DeclareExchange): void {
    this.#open().declareExchange(wanted)
  }

  /** Passive declare: throws NOT_FOUND if it is not there. */
  checkExchange(name: string): void {
    this.#open().checkExchange(name)
  }

  deleteExchange(name: string, options: { ifUnused?: boolean } = {}): void {
    this.#open().deleteExchange(name, options.ifUnused ?? false)
  }

  bindExchange(terms: BindExchange): void {
    this.#open().bindExchange(terms)
  }

  unbindExchange(terms: BindExchange): void {
    this.#open().unbindExchange(terms)
  }

  declareQueue(wanted: DeclareQueue, nowMs: number): QueueDeclared {
    return this.#open().declareQueue(wanted, nowMs)
  }

  /** Passive declare: throws NOT_FOUND, RESOURCE_LOCKED. */
  checkQueue(name: string, nowMs: number): QueueDeclared {
    return this.#open().checkQueue(name, nowMs)
  }

  /** Says how many messages were ready; 0 if there is no such queue. */
  deleteQueue(name: string, options: { ifUnused?: boolean; ifEmpty?: boolean } = {}): number {
    const { ifUnused = false, ifEmpty = false } = options
    return this.#open().deleteQueue(name, { ifUnused, ifEmpty })
  }

  bindQueue(terms: BindQueue): void {
    this.#open().bindQueue(terms)
  }

  unbindQueue(terms: BindQueue): void {
    this.#open().unbindQueue(terms)
  }

  /** Drops the ready messages and says how many. */
  purgeQueue(name: string): number {
    return this.#open().purgeQueue(name)
  }

  /** The queue of that name ('' for the last one declared here). Throws NOT_FOUND, RESOURCE_LOCKED. */
  queue(name: string): Queue {
    return this.topology.queue(name)
  }

  // --- publishing ---------------------------------------------------------------------------------------------

  /** Throws NOT_FOUND, ACCESS_REFUSED (internal exchange), PRECONDITION_FAILED (CC, BCC), INVALID_ARGUMENT. */
  publish(message: Message, extras: PublishExtras, nowMs: number): PublishOutcome {
    this.#enter()
    const vhost = this.vhost
    const exchange = message.exchange === '' ? vhost.defaultExchange : vhost.exchange(message.exchange)
    checkPublish(this.#kernel, exchange, message, extras)
    if (this.#transaction !== undefined) {
      this.#transaction.publish({ exchange, message, extras })
      return awaitsCommit
    }
    const outcome = publish(this.#kernel, exchange, message, extras, nowMs)
    if (extras.mandatory && outcome.type === 'unroutable') giveBack(this.#kernel, this.sink, message)
    return outcome
  }

  confirmSelect(): void {
    this.#enter()
    if (this.#transaction !== undefined) throw preconditionFailed('cannot switch from tx to confirm mode')
    this.#confirming = true
  }

  txSelect(): void {
    this.#enter()
    if (this.#confirming) throw preconditionFailed('cannot switch from confirm to tx mode')
    this.#transaction ??= new Transaction(this.#kernel)
  }

  /** Does all that was buffered, in this one call: at a crash, all of it or nothing. False if a queue refused a message. */
  txCommit(nowMs: number): boolean {
    this.#enter()
    const kernel = this.#kernel
    const { publishes, settlements } = this.#currentTransaction().take()
    const refused = publishes.filter((buffered) => !publishBuffered(kernel, this.sink, buffered, nowMs))
    for (const settlement of settlements) settle(kernel, settlement, nowMs)
    return refused.length === 0
  }

  /** Forgets what was published; what was settled is unacked again. */
  txRollback(): void {
    this.#enter()
    for (const { delivery } of this.#currentTransaction().take().settlements) this.unacked.restore(delivery)
  }

  // --- consuming ----------------------------------------------------------------------------------------------

  /** Unacked deliveries at most, 0 for no limit: of each consumer to come, or of the session as a whole. */
  qos(options: { prefetchCount: number; global: boolean }): void {
    this.#enter()
    const { prefetchCount, global } = options
    const limit = this.#kernel.limits.unackedPerSession
    if (!global) this.#prefetch = prefetchCount
    // A limit of consumers to come lifts that of the session, as in RabbitMQ.
    this.creditLimit = !global || prefetchCount === 0 ? limit : Math.min(limit, prefetchCount)
    this.wakeConsumers()
  }

  /** Gives the consumer's tag. Throws NOT_FOUND, RESOURCE_LOCKED, ACCESS_REFUSED (exclusive), NOT_ALLOWED (tag in use). */
  consume(wanted: Consume, nowMs: number): string {
    this.#enter()
    const prefetch = wanted.prefetch ?? this.#prefetch
    return subscribe(this.#kernel, this, { ...wanted, prefetch }, nowMs).tag
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
    unsubscribe(this.#kernel, consumer, nowMs)
    deleteIfUnused(this.#kernel, consumer.queue)
  }

  /** Takes one message, whatever the prefetch; `queue.isReading` says whether to come again. */
  get(
    wanted: { queue: string; noAck: boolean },
    nowMs: number,
  ): { delivery: EngineDelivery; messageCount: number } | undefined {
    this.#enter()
    const kernel = this.#kernel
    const queue = this.topology.queueToGet(wanted.queue)
    touch(kernel, queue, nowMs)
    if (queue.paused) return undefined
    kernel.work = kernel.limits.workPerAdvance
    const entry = takeDeliverable(kernel, queue, nowMs, false)
    if (entry === undefined) return undefined
    const delivery = handOver(kernel, queue, entry, this, undefined, wanted.noAck)
    // What is said to be left does not count what has run out; of a quorum queue, only where nothing is to be acknowledged.
    if (queue.settings.type === 'classic' || wanted.noAck) expireHeads(kernel, queue, nowMs)
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
    acknowledge(this.#kernel, takeKnown(this.unacked, tag))
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
    if (!options.requeue) throw recoverWithoutRequeue()
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
      unsubscribe(this.#kernel, consumer, nowMs)
    }
    if (this.#transaction !== undefined) {
      for (const { delivery } of this.#transaction.settlements) this.unacked.restore(delivery)
      this.#transaction.clear()
    }
    for (const delivery of this.unacked.takeThrough(0)) requeue(this.#kernel, delivery, nowMs, true)
    for (const queue of queues) deleteIfUnused(this.#kernel, queue)
    this.#kernel.removeSession(this)
  }

  /** The limit of the session as a whole leaves room (again). For the engine. */
  wakeConsumers(): void {
    this.outOfCredit = false
    for (const consumer of this.consumers.values()) this.#wake(consumer)
  }

  /** For the engine: visits every delivery that is outstanding, those settled in an open transaction too. */
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
    for (const consumer of this.consumers.values())
      assert(!consumer.cancelled && consumer.session === this, 'a consumer is in its own session')
    const isEmpty = this.unacked.length === 0 && this.consumers.size === 0
    assert(!this.closed || isEmpty, 'a closed session is empty')
  }

  #enter(): void {
    this.#kernel.enter()
    if (this.closed) throw new ClosedError('the session is closed; open another one')
  }

  #open(): SessionTopology {
    this.#enter()
    return this.topology
  }

  #takeOne(tag: number): EngineDelivery | undefined {
    this.#kernel.enter()
    return this.unacked.take(tag)
  }

  #settleTags(tag: number, multiple: boolean, type: BufferedSettlement['type'], nowMs: number): void {
    const deliveries = multiple ? takeKnownThrough(this.unacked, tag) : [takeKnown(this.unacked, tag)]
    for (const delivery of deliveries) {
      if (this.#transaction !== undefined) this.#transaction.settle(delivery, type)
      else settle(this.#kernel, { delivery, type }, nowMs)
    }
  }

  #currentTransaction(): Transaction {
    if (this.#transaction === undefined) throw preconditionFailed('channel is not transactional')
    return this.#transaction
  }

  #wake(consumer: Consumer): void {
    consumer.queue.consumers.wake(consumer)
    if (consumer.queue.readyMessages > 0) this.#kernel.markDirty(consumer.queue)
  }

  #clampDelay(delayMs: number): number {
    return Math.min(Math.max(0, delayMs), this.#kernel.limits.delayMs)
  }
}
