/** A topology of the port as declarations of the engine. Everything is checked before anything is changed. */
import { ConflictError, MillraceError } from '../model/errors.ts'
import type { FieldTable } from '../model/field-table.ts'
import type { Session } from '../engine/session.ts'
import type { VirtualHost } from '../engine/virtual-host.ts'
import type { BindingSpec, ExchangeSpec, QueueSpec, Topology } from '../client/driver.ts'

/** @throws ConflictError, ValidationError, MillraceError NOT_FOUND (of a binding's ends), RESOURCE_LOCKED */
export function applyTopology(apply: {
  session: Session
  vhost: VirtualHost
  nowMs: number
  topology: Topology
}): void {
  const { session, vhost, nowMs, topology } = apply
  const { exchanges = [], queues = [], bindings = [] } = topology
  try {
    for (const exchange of exchanges) session.checkExchange(exchangeDeclaration(exchange))
    for (const queue of queues) session.checkQueue(queueDeclaration(queue))
    for (const binding of bindings) checkEnds(vhost, topology, binding)
    for (const exchange of exchanges) session.declareExchange(exchangeDeclaration(exchange))
    for (const queue of queues) session.declareQueue(queueDeclaration(queue), nowMs)
    for (const binding of bindings) {
      const facts = bindingFacts(binding)
      if (binding.destinationType === 'exchange') session.bindExchange(facts)
      else session.bindQueue(facts, nowMs)
    }
  } catch (error) {
    throw asConflict(error)
  }
}

/** What is missing is no error. */
export function removeTopology(remove: {
  session: Session
  nowMs: number
  topology: Topology
  ifEmpty: boolean
}): void {
  const { session, nowMs, topology, ifEmpty } = remove
  const { exchanges = [], queues = [], bindings = [] } = topology
  for (const binding of bindings) {
    const facts = bindingFacts(binding)
    if (binding.destinationType === 'exchange') session.unbindExchange(facts)
    else session.unbindQueue(facts)
  }
  for (const queue of queues) session.deleteQueue({ name: queue.name, ifUnused: false, ifEmpty }, nowMs)
  for (const exchange of exchanges) session.deleteExchange({ name: exchange.name, ifUnused: false })
}

function queueDeclaration(spec: QueueSpec) {
  return {
    name: spec.name,
    passive: false,
    durable: spec.durable ?? true,
    exclusive: spec.exclusive ?? false,
    autoDelete: spec.autoDelete ?? false,
    arguments: queueArguments(spec),
  }
}

function queueArguments(spec: QueueSpec): FieldTable {
  return {
    ...(spec.expiresMs !== undefined && { 'x-expires': spec.expiresMs }),
    ...(spec.messageTtlMs !== undefined && { 'x-message-ttl': spec.messageTtlMs }),
    ...(spec.maxPriority !== undefined && spec.maxPriority > 0 && { 'x-max-priority': spec.maxPriority }),
    ...(spec.maxLength !== undefined && { 'x-max-length': spec.maxLength }),
    ...(spec.maxLengthBytes !== undefined && { 'x-max-length-bytes': spec.maxLengthBytes }),
    ...(spec.overflow !== undefined && { 'x-overflow': spec.overflow }),
    ...(spec.deadLetter !== undefined && { 'x-dead-letter-exchange': spec.deadLetter.exchange }),
    ...(spec.deadLetter?.routingKey !== undefined && {
      'x-dead-letter-routing-key': spec.deadLetter.routingKey,
    }),
    ...(spec.deliveryLimit !== undefined && { 'x-delivery-limit': spec.deliveryLimit }),
    ...(spec.singleActiveConsumer === true && { 'x-single-active-consumer': true }),
  }
}

function exchangeDeclaration(spec: ExchangeSpec) {
  return {
    name: spec.name,
    type: spec.kind,
    passive: false,
    durable: spec.durable ?? true,
    autoDelete: spec.autoDelete ?? false,
    internal: false,
    arguments: spec.alternate === undefined ? {} : { 'alternate-exchange': spec.alternate },
  }
}

function bindingFacts(spec: BindingSpec) {
  return {
    source: spec.source,
    destination: spec.destination,
    routingKey: spec.routingKey,
    arguments: spec.arguments ?? {},
  }
}

/** Both ends exist, or are declared by the same topology. */
function checkEnds(vhost: VirtualHost, topology: Topology, binding: BindingSpec): void {
  const declaredHere = (specs: readonly { name: string }[] | undefined, name: string): boolean =>
    specs?.some((spec) => spec.name === name) ?? false
  if (!vhost.exchanges.has(binding.source) && !declaredHere(topology.exchanges, binding.source)) {
    throw new MillraceError(
      'NOT_FOUND',
      `There is no exchange ${binding.source} to bind to; declare it first`,
    )
  }
  const toExchange = binding.destinationType === 'exchange'
  const known = toExchange ? vhost.exchanges.has(binding.destination) : vhost.queues.has(binding.destination)
  const specs = toExchange ? topology.exchanges : topology.queues
  if (!known && !declaredHere(specs, binding.destination)) {
    const what = toExchange ? 'exchange' : 'queue'
    throw new MillraceError(
      'NOT_FOUND',
      `There is no ${what} ${binding.destination} to bind; declare it first`,
    )
  }
}

function asConflict(error: unknown): unknown {
  if (!(error instanceof MillraceError) || error.code !== 'PRECONDITION_FAILED') return error
  return new ConflictError(
    `${error.message}; declare it with the same options everywhere, or delete it first`,
    { cause: error },
  )
}
