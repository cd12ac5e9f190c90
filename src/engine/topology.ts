/**
 * Topology: declaring, binding and deleting exchanges and queues, with RabbitMQ's checks in RabbitMQ's order. Each change
 * of what survives a restart is told to the journal.
 */
import {
  describeResource,
  equivalentArguments,
  inequivalent,
  knownExchangeArguments,
  knownQueueArguments,
  knownQuorumArguments,
  parseExchangeArguments,
  parseQueueArguments,
  routingKinds,
} from '../model/arguments.ts'
import { MillraceError } from '../model/errors.ts'
import { checkEncodable } from '../model/field-table.ts'
import { emptyFieldTable, fieldOf } from '../model/field-value.ts'
import type { FieldTable } from '../model/field-value.ts'
import { isReservedName } from '../model/names.ts'
import type { QueueId } from '../model/entry.ts'
import type { Definition, BrokerExchangeKind } from '../model/record.ts'
import { Exchange } from './exchange.ts'
import { heldLane } from './held-entry.ts'
import type { Kernel } from './kernel.ts'
import { Queue } from './queue.ts'
import {
  defaultExchangeRefused,
  inUse,
  locked,
  notEmpty,
  preconditionFailed,
  queueLimitReached,
  reserved,
  systemExchange,
  tooMany,
} from './refusals.ts'
import type { VirtualHost } from './virtual-host.ts'

export interface DeclareExchange {
  readonly name: string
  readonly kind: BrokerExchangeKind
  readonly durable?: boolean
  readonly autoDelete?: boolean
  readonly internal?: boolean
  readonly arguments?: FieldTable
}

export interface DeclareQueue {
  readonly name: string
  readonly durable?: boolean
  readonly exclusive?: boolean
  readonly autoDelete?: boolean
  readonly arguments?: FieldTable
}

/** Neither end is the default exchange. */
export interface BindTerms {
  readonly source: string
  readonly destination: Queue | Exchange
  readonly routingKey: string
  readonly arguments: FieldTable
}

const kinds: readonly string[] = [...routingKinds, 'x-delayed-message'] satisfies BrokerExchangeKind[]

/**
 * Declares an exchange, or compares with the one there.
 * Codes ACCESS_REFUSED, PRECONDITION_FAILED, INVALID_ARGUMENT (cannot be put on record), LIMIT_REACHED.
 */
export function declareExchange(kernel: Kernel, vhost: VirtualHost, wanted: DeclareExchange): Exchange {
  const { name, kind } = wanted
  const declared = {
    durable: wanted.durable ?? false,
    autoDelete: wanted.autoDelete ?? false,
    internal: wanted.internal ?? false,
    arguments: wanted.arguments ?? emptyFieldTable,
  }
  if (!kinds.includes(kind)) {
    throw new MillraceError('PRECONDITION_FAILED', `unknown exchange type '${kind}'`)
  }
  if (name === '') throw defaultExchangeRefused()
  const resource = describeResource('exchange', { name, vhost: vhost.name })
  const existing = vhost.exchanges.get(name)
  if (existing !== undefined) {
    compare(resource, [
      ['type', existing.kind, kind],
      ['durable', existing.durable, declared.durable],
      ['auto_delete', existing.autoDelete, declared.autoDelete],
      ['internal', existing.internal, declared.internal],
    ])
    compareArguments(knownExchangeArguments, resource, existing.arguments, declared.arguments)
    return existing
  }
  if (isReservedName(name)) throw reserved('exchange', name)
  const settings = parseExchangeArguments(declared.arguments, resource, kind)
  checkEncodable(declared.arguments)
  if (kernel.exchangeCount >= kernel.limits.exchanges) throw tooMany('exchanges', kernel.limits.exchanges)
  kernel.exchangeCount += 1
  const exchange = new Exchange(kernel, vhost, { name, kind, ...declared, settings })
  vhost.exchanges.set(name, exchange)
  if (exchange.persistent) {
    const { autoDelete, internal, arguments: table } = declared
    kernel.journal.defined({
      type: 'exchange.declared',
      vhost: vhost.name,
      name,
      kind,
      autoDelete,
      internal,
      arguments: table,
    })
  }
  if (kind === 'x-delayed-message' && !kernel.isRestoring) {
    holdFor(kernel, exchange, kernel.nextQueueId)
    kernel.nextQueueId += 1
  }
  return exchange
}

/** Gives an exchange its place for what it holds back. */
export function holdFor(kernel: Kernel, exchange: Exchange, id: QueueId): void {
  const holding = new Queue(
    kernel,
    exchange.vhost,
    id,
    {
      name: '',
      durable: exchange.durable,
      autoDelete: false,
      arguments: emptyFieldTable,
      settings: { ...parseQueueArguments(emptyFieldTable, ''), maxPriority: heldLane.persistent },
      ownerConnectionId: 0,
      holdsFor: exchange,
    },
    0,
  )
  exchange.holding = holding
  kernel.queues.set(id, holding)
  if (holding.persistent) kernel.journal.defined(holdingFacts(holding, exchange))
}

/** The fact that a queue holds back for an exchange. */
export function holdingFacts(holding: Queue, exchange: Exchange): Definition {
  return {
    type: 'queue.declared',
    id: holding.id,
    vhost: exchange.vhost.name,
    name: '',
    holdsFor: exchange.name,
    autoDelete: false,
    arguments: emptyFieldTable,
  }
}

/** Deletes an exchange; a missing one is ok. Codes ACCESS_REFUSED, PRECONDITION_FAILED (in use). */
export function deleteExchange(
  kernel: Kernel,
  vhost: VirtualHost,
  name: string,
  options: { ifUnused: boolean },
): void {
  if (name === '') throw defaultExchangeRefused()
  if (isReservedName(name)) throw systemExchange({ name, vhost: vhost.name })
  const exchange = vhost.exchanges.get(name)
  if (exchange === undefined) return
  if (options.ifUnused && !exchange.router.isEmpty) throw inUse('exchange', { name, vhost: vhost.name })
  removeExchange(kernel, exchange)
}

/**
 * Declares a queue, or compares with the one there. @param connectionId whose it is if it is exclusive
 * Codes RESOURCE_LOCKED, PRECONDITION_FAILED, ACCESS_REFUSED (reserved name), INVALID_ARGUMENT (cannot be put on record),
 * LIMIT_REACHED.
 */
export function declareQueue(
  kernel: Kernel,
  vhost: VirtualHost,
  wanted: DeclareQueue & { arguments: FieldTable; connectionId: number; serverNamed: boolean },
  nowMs: number,
): Queue {
  const name = wanted.name
  // What ends with its connection is never durable, and may say so or not.
  const durable = (wanted.durable ?? false) && wanted.exclusive !== true
  const autoDelete = wanted.autoDelete ?? false
  const table = wanted.arguments
  const ownerConnectionId = wanted.exclusive === true ? wanted.connectionId : 0
  const resource = describeResource('queue', { name, vhost: vhost.name })
  if (!wanted.serverNamed && isReservedName(name)) throw reserved('queue', name)
  const existing = vhost.queues.get(name)
  if (existing !== undefined) {
    if (existing.ownerConnectionId !== ownerConnectionId) throw locked({ name, vhost: vhost.name })
    compare(resource, [
      ['durable', existing.durable, durable],
      ['auto_delete', existing.autoDelete, autoDelete],
    ])
    const known = existing.settings.type === 'quorum' ? knownQuorumArguments : knownQueueArguments
    compareArguments(known, resource, existing.arguments, table)
    touch(kernel, existing, nowMs)
    return existing
  }
  if (wanted.serverNamed && table['x-queue-type'] === 'quorum') {
    throw preconditionFailed('Cannot declare a server-named queue for type rabbit_quorum_queue')
  }
  const settings = parseQueueArguments(table, resource)
  checkEncodable(table)
  if (settings.type === 'quorum') checkQuorum(wanted, resource)
  const maximum = kernel.operatorLimits.value('vhost', vhost.name, 'max-queues')
  if (vhost.queues.size >= maximum) throw queueLimitReached({ name, vhost: vhost.name }, maximum)
  if (kernel.queues.size >= kernel.limits.queues) throw tooMany('queues', kernel.limits.queues)
  const declaration = { name, durable, autoDelete, arguments: table, settings, ownerConnectionId }
  const queue = new Queue(kernel, vhost, kernel.nextQueueId, declaration, nowMs)
  kernel.nextQueueId += 1
  addQueue(kernel, queue)
  touch(kernel, queue, nowMs)
  if (queue.persistent) {
    kernel.journal.defined({
      type: 'queue.declared',
      id: queue.id,
      vhost: vhost.name,
      name,
      autoDelete,
      arguments: table,
    })
  }
  return queue
}

/** What a quorum queue cannot be, though it could be here: programs should find out before they meet a cluster. */
function checkQuorum(wanted: DeclareQueue, resource: string): void {
  const refuse = (property: string) => preconditionFailed(`invalid property '${property}' for ${resource}`)
  if (wanted.autoDelete === true) throw refuse('auto-delete')
  if (wanted.exclusive === true) throw refuse('exclusive-owner')
  if (wanted.durable !== true) throw refuse('non-durable')
}

export function addQueue(kernel: Kernel, queue: Queue): void {
  kernel.queues.set(queue.id, queue)
  queue.vhost.queues.set(queue.name, queue)
  if (queue.ownerConnectionId !== 0) kernel.connection(queue.ownerConnectionId).exclusiveQueues.add(queue)
}

/** The queue is in use: its `x-expires` begins anew. */
export function touch(kernel: Kernel, queue: Queue, nowMs: number): void {
  queue.lastUsedMs = nowMs
  if (queue.settings.expiresMs !== Infinity) kernel.schedule(queue, nowMs + queue.settings.expiresMs)
}

/** Deletes a queue and says how many messages were ready. Code PRECONDITION_FAILED (in use, not empty). */
export function deleteQueue(
  kernel: Kernel,
  queue: Queue,
  options: { ifUnused: boolean; ifEmpty: boolean },
): number {
  const where = { name: queue.name, vhost: queue.vhost.name }
  if (options.ifUnused && queue.consumers.size > 0) throw inUse('queue', where)
  if (options.ifEmpty && queue.readyMessages > 0) throw notEmpty(where)
  const messages = queue.readyMessages
  removeQueue(kernel, queue)
  return messages
}

/** Takes a queue away: its entries, its bindings, its consumers, who are told at the next dispatch. */
export function removeQueue(kernel: Kernel, queue: Queue): void {
  const hadEntries = queue.depth > 0
  queue.dissolve()
  kernel.queues.delete(queue.id)
  queue.vhost.queues.delete(queue.name)
  if (queue.ownerConnectionId !== 0) {
    kernel.connection(queue.ownerConnectionId).exclusiveQueues.delete(queue)
    kernel.forgetConnection(queue.ownerConnectionId)
  }
  if (queue.persistent) {
    kernel.journal.defined({ type: 'queue.deleted', id: queue.id })
  } else if (hadEntries && kernel.pager !== undefined) {
    const throughSeq = kernel.nextSeq - 1
    kernel.journal.purged({ queueId: queue.id, throughSeq, state: 'all', survivors: [] })
  }
  for (const consumer of queue.consumers.values()) {
    consumer.cancelled = true
    consumer.session.consumers.delete(consumer.tag)
    kernel.cancelled.push({ session: consumer.session, consumerTag: consumer.tag })
    queue.consumers.remove(consumer)
  }
  unbindDestination(kernel, queue)
  queue.vhost.forgetRoutes()
}

/** Takes away all that a virtual host holds, before it goes itself. */
export function removeAll(kernel: Kernel, vhost: VirtualHost): void {
  for (const queue of vhost.queues.values()) removeQueue(kernel, queue)
  for (const exchange of vhost.exchanges.values()) {
    kernel.bindingCount -= exchange.router.size
    if (!exchange.isPredeclared) kernel.exchangeCount -= 1
    if (exchange.holding !== undefined) removeQueue(kernel, exchange.holding)
  }
}

/**
 * A binding; one that is there already is ok.
 * Codes NOT_FOUND (source), PRECONDITION_FAILED, INVALID_ARGUMENT (cannot be put on record), LIMIT_REACHED.
 */
export function bind(kernel: Kernel, vhost: VirtualHost, terms: BindTerms): void {
  const source = vhost.exchange(terms.source)
  const destination = terms.destination
  const { routingKey, arguments: table } = terms
  checkEncodable(table)
  if (!source.router.bind({ destination, routingKey, arguments: table })) return
  if (kernel.bindingCount >= kernel.limits.bindings) {
    source.router.unbind({ destination, routingKey, arguments: table })
    throw tooMany('bindings', kernel.limits.bindings)
  }
  kernel.bindingCount += 1
  destination.sources.add(source)
  if (source.persistent && destination.persistent) {
    kernel.journal.defined({ type: 'bound', ...factsOf(vhost, terms) })
  }
}

/** Removes a binding; a missing one, or one of a missing exchange, is ok. */
export function unbind(kernel: Kernel, vhost: VirtualHost, terms: BindTerms): void {
  const source = vhost.exchanges.get(terms.source)
  const destination = terms.destination
  if (source === undefined) return
  if (!source.router.unbind({ destination, routingKey: terms.routingKey, arguments: terms.arguments })) return
  kernel.bindingCount -= 1
  if (source.router.bindingsOf(destination).length === 0) destination.sources.delete(source)
  if (source.persistent && destination.persistent) {
    kernel.journal.defined({ type: 'unbound', ...factsOf(vhost, terms) })
  }
  removeIfUnbound(kernel, source)
}

function factsOf(vhost: VirtualHost, terms: BindTerms) {
  return {
    vhost: vhost.name,
    source: terms.source,
    destination: terms.destination.name,
    destinationType: terms.destination instanceof Queue ? ('queue' as const) : ('exchange' as const),
    routingKey: terms.routingKey,
    arguments: terms.arguments,
  }
}

function removeExchange(kernel: Kernel, exchange: Exchange): void {
  if (exchange.vhost.exchanges.get(exchange.name) !== exchange) return
  exchange.vhost.exchanges.delete(exchange.name)
  kernel.exchangeCount -= 1
  if (exchange.persistent) {
    kernel.journal.defined({ type: 'exchange.deleted', vhost: exchange.vhost.name, name: exchange.name })
  }
  for (const binding of exchange.router.bindings()) binding.destination.sources.delete(exchange)
  kernel.bindingCount -= exchange.router.size
  if (exchange.holding !== undefined) removeQueue(kernel, exchange.holding)
  unbindDestination(kernel, exchange)
  exchange.vhost.forgetRoutes()
}

/** The destination is gone: its bindings go, and exchanges that live as long as they have bindings. */
function unbindDestination(kernel: Kernel, destination: Queue | Exchange): void {
  const sources = [...destination.sources]
  destination.sources.clear()
  for (const source of sources) {
    kernel.bindingCount -= source.router.unbindAll(destination).length
    removeIfUnbound(kernel, source)
  }
}

function removeIfUnbound(kernel: Kernel, exchange: Exchange): void {
  if (exchange.autoDelete && exchange.router.isEmpty) removeExchange(kernel, exchange)
}

type Flag = readonly [name: string, current: string | boolean, received: string | boolean]

function compare(resource: string, flags: readonly Flag[]): void {
  for (const [name, current, received] of flags) {
    if (current !== received) throw inequivalent({ name, resource, current, received })
  }
}

function compareArguments(
  known: readonly string[],
  resource: string,
  current: FieldTable,
  received: FieldTable,
): void {
  const name = equivalentArguments(known, current, received)
  if (name === undefined) return
  throw inequivalent({ name, resource, current: fieldOf(current, name), received: fieldOf(received, name) })
}
