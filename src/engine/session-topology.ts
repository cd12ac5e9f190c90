/**
 * What a session declares, binds and deletes: names as clients give them ('' for the last queue declared here, line breaks
 * stripped) become those of the virtual host, and another connection's exclusive queue is refused.
 */
import { checkBindingArguments } from '../model/arguments.ts'
import { MillraceError } from '../model/errors.ts'
import { emptyFieldTable } from '../model/field-value.ts'
import type { FieldTable } from '../model/field-value.ts'
import { stripLineBreaks } from '../model/names.ts'
import { withDefaultQueueType } from './default-queue-type.ts'
import type { Exchange } from './exchange.ts'
import type { Kernel } from './kernel.ts'
import { purgeQueue } from './purge.ts'
import type { Queue } from './queue.ts'
import { defaultExchangeRefused, getRefused, locked, notFound } from './refusals.ts'
import * as topology from './topology.ts'
import type { DeclareExchange, DeclareQueue } from './topology.ts'
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

export class SessionTopology {
  readonly #kernel: Kernel
  readonly #vhost: VirtualHost
  readonly #connectionId: number
  /** What an empty queue name stands for: the last that was declared here, or ''. */
  lastQueueName: string

  constructor(kernel: Kernel, vhost: VirtualHost, connectionId: number) {
    this.#kernel = kernel
    this.#vhost = vhost
    this.#connectionId = connectionId
    this.lastQueueName = ''
  }

  declareExchange(wanted: DeclareExchange): void {
    topology.declareExchange(this.#kernel, this.#vhost, { ...wanted, name: stripLineBreaks(wanted.name) })
  }

  checkExchange(name: string): void {
    const stripped = stripLineBreaks(name)
    if (stripped === '') throw defaultExchangeRefused()
    this.#vhost.exchange(stripped)
  }

  deleteExchange(name: string, ifUnused: boolean): void {
    topology.deleteExchange(this.#kernel, this.#vhost, stripLineBreaks(name), { ifUnused })
  }

  bindExchange(terms: BindExchange): void {
    this.#checkBindable(terms.source, terms.destination)
    topology.bind(this.#kernel, this.#vhost, this.#exchangeTerms(terms))
  }

  unbindExchange(terms: BindExchange): void {
    checkNotDefault(terms.source, terms.destination)
    if (!this.#vhost.exchanges.has(stripLineBreaks(terms.destination))) return
    topology.unbind(this.#kernel, this.#vhost, this.#exchangeTerms(terms))
  }

  declareQueue(wanted: DeclareQueue, nowMs: number): QueueDeclared {
    const given = stripLineBreaks(wanted.name)
    const serverNamed = given === ''
    const name = serverNamed ? this.#newQueueName() : given
    const table = withDefaultQueueType(this.#kernel, this.#vhost.name, { ...wanted, name: given })
    const settled = { ...wanted, name, arguments: table, connectionId: this.#connectionId, serverNamed }
    return this.#declared(topology.declareQueue(this.#kernel, this.#vhost, settled, nowMs))
  }

  checkQueue(name: string, nowMs: number): QueueDeclared {
    const queue = this.#vhost.queue(stripLineBreaks(name))
    this.#checkAccess(queue)
    topology.touch(this.#kernel, queue, nowMs)
    return this.#declared(queue)
  }

  deleteQueue(name: string, options: { ifUnused: boolean; ifEmpty: boolean }): number {
    const queue = this.#vhost.queues.get(this.#queueName(name))
    if (queue === undefined) return 0
    this.#checkAccess(queue)
    return topology.deleteQueue(this.#kernel, queue, options)
  }

  bindQueue(terms: BindQueue): void {
    const name = this.#queueName(terms.queue)
    const source = this.#checkBindable(terms.exchange, name)
    // Whose queue it is comes last.
    const queue = this.#vhost.queue(name)
    if (!this.#mayUse(queue)) checkBindingArguments(source.router.kind, terms.arguments ?? emptyFieldTable)
    topology.bind(this.#kernel, this.#vhost, this.#queueTerms(terms))
  }

  unbindQueue(terms: BindQueue): void {
    const name = this.#queueName(terms.queue)
    checkNotDefault(terms.exchange, name)
    const queue = this.#vhost.queues.get(name)
    const source = this.#vhost.exchanges.get(stripLineBreaks(terms.exchange))
    // Whose queue it is matters only where there is something to unbind.
    if (queue === undefined || source === undefined) return
    const routingKey = terms.queue === '' && terms.routingKey === '' ? name : terms.routingKey
    const table = terms.arguments ?? emptyFieldTable
    if (!source.router.has({ destination: queue, routingKey, arguments: table })) return
    topology.unbind(this.#kernel, this.#vhost, this.#queueTerms(terms))
  }

  purgeQueue(name: string): number {
    return purgeQueue(this.#kernel, this.queue(name), 'ready')
  }

  /** By its name as it is: purge, get and consume do not strip it. Throws NOT_FOUND, RESOURCE_LOCKED. */
  queue(name: string): Queue {
    const queue = this.#vhost.queue(this.#nameOrLast(name))
    this.#checkAccess(queue)
    return queue
  }

  /** As `queue`, for `get`. */
  queueToGet(name: string): Queue {
    const queue = this.queue(name)
    const { type, singleActiveConsumer } = queue.settings
    if (type === 'quorum' && singleActiveConsumer) {
      throw getRefused({ name: queue.name, vhost: this.#vhost.name })
    }
    return queue
  }

  #declared(queue: Queue): QueueDeclared {
    this.lastQueueName = queue.name
    return { name: queue.name, messageCount: queue.readyMessages, consumerCount: queue.consumers.size }
  }

  #newQueueName(): string {
    for (;;) {
      const name = `amq.gen-${this.#kernel.name()}`
      if (!this.#vhost.queues.has(name)) return name
    }
  }

  #queueName(name: string): string {
    return this.#nameOrLast(stripLineBreaks(name))
  }

  #nameOrLast(name: string): string {
    if (name !== '') return name
    if (this.lastQueueName === '') {
      throw new MillraceError('NOT_FOUND', 'no previously declared queue')
    }
    return this.lastQueueName
  }

  /** Of several things wrong with a binding, RabbitMQ tells of the source first. */
  #checkBindable(source: string, destination: string): Exchange {
    checkNotDefault(source, destination)
    return this.#vhost.exchange(stripLineBreaks(source))
  }

  #mayUse(queue: Queue): boolean {
    return queue.ownerConnectionId === 0 || queue.ownerConnectionId === this.#connectionId
  }

  #checkAccess(queue: Queue): void {
    if (!this.#mayUse(queue)) throw locked({ name: queue.name, vhost: this.#vhost.name })
  }

  #queueTerms(terms: BindQueue): topology.BindTerms {
    const destination = this.queue(stripLineBreaks(terms.queue))
    const routingKey = terms.queue === '' && terms.routingKey === '' ? destination.name : terms.routingKey
    const source = stripLineBreaks(terms.exchange)
    return { source, destination, routingKey, arguments: terms.arguments ?? emptyFieldTable }
  }

  #exchangeTerms(terms: BindExchange): topology.BindTerms {
    const name = stripLineBreaks(terms.destination)
    const destination = this.#vhost.exchanges.get(name)
    if (destination === undefined) throw notFound('exchange', { name, vhost: this.#vhost.name })
    const source = stripLineBreaks(terms.source)
    return {
      source,
      destination,
      routingKey: terms.routingKey,
      arguments: terms.arguments ?? emptyFieldTable,
    }
  }
}

function checkNotDefault(source: string, destination: string): void {
  if (stripLineBreaks(source) === '' || stripLineBreaks(destination) === '') throw defaultExchangeRefused()
}
