/** A topology of the port as declarations of the engine. Everything is checked before anything is changed. */
import { ConflictError, MillraceError } from '../model/errors.ts'
import { parseExchangeArguments, parseQueueArguments } from '../model/arguments.ts'
import { assertExchangeName, assertQueueName, assertRoutingKey } from '../model/names.ts'
import type { Session, VirtualHost } from '../broker/broker.ts'
import type { BindingSpec, ExchangeSpec, QueueSpec, Topology } from '../client/driver.ts'
import { queueArguments, readArguments } from './queue-arguments.ts'

/** @throws ConflictError, ValidationError, MillraceError NOT_FOUND (of a binding's ends), RESOURCE_LOCKED */
export function applyTopology(apply: {
  session: Session
  vhost: VirtualHost
  nowMs: number
  topology: Topology
}): void {
  const { session, nowMs, topology } = apply
  const { exchanges = [], queues = [], bindings = [] } = topology
  try {
    check(apply)
    for (const exchange of exchanges) session.declareExchange(exchangeDeclaration(exchange))
    for (const queue of queues) session.declareQueue(queueDeclaration(queue), nowMs)
    for (const binding of bindings) {
      if (binding.destinationType === 'exchange') session.bindExchange(exchangeTerms(binding))
      else session.bindQueue(queueTerms(binding))
    }
  } catch (error) {
    throw asConflict(error)
  }
}

/** What exists is compared (declaring it changes nothing), what does not is read. */
function check(apply: { session: Session; vhost: VirtualHost; nowMs: number; topology: Topology }): void {
  const { session, vhost, nowMs, topology } = apply
  for (const exchange of topology.exchanges ?? []) {
    assertExchangeName(exchange.name)
    const declaration = exchangeDeclaration(exchange)
    if (vhost.exchanges.has(exchange.name)) session.declareExchange(declaration)
    else
      readArguments(() =>
        parseExchangeArguments(declaration.arguments, `exchange '${exchange.name}'`, declaration.kind),
      )
  }
  for (const queue of topology.queues ?? []) {
    assertQueueName(queue.name)
    const declaration = queueDeclaration(queue)
    if (vhost.queues.has(queue.name)) session.declareQueue(declaration, nowMs)
    else readArguments(() => parseQueueArguments(declaration.arguments, `queue '${queue.name}'`))
  }
  for (const binding of topology.bindings ?? []) {
    assertRoutingKey(binding.routingKey)
    checkEnds(vhost, topology, binding)
  }
}

/** What is missing is no error. */
export function removeTopology(remove: {
  session: Session
  vhost: VirtualHost
  topology: Topology
  ifEmpty: boolean
}): void {
  const { session, vhost, topology, ifEmpty } = remove
  const { exchanges = [], queues = [], bindings = [] } = topology
  for (const binding of bindings) {
    if (!vhost.exchanges.has(binding.source)) continue
    const toExchange = binding.destinationType === 'exchange'
    if (toExchange && vhost.exchanges.has(binding.destination)) session.unbindExchange(exchangeTerms(binding))
    if (!toExchange && vhost.queues.has(binding.destination)) session.unbindQueue(queueTerms(binding))
  }
  for (const queue of queues) session.deleteQueue(queue.name, { ifEmpty })
  for (const exchange of exchanges) session.deleteExchange(exchange.name)
}

function queueDeclaration(spec: QueueSpec) {
  return {
    name: spec.name,
    durable: spec.durable ?? true,
    exclusive: spec.exclusive ?? false,
    autoDelete: spec.autoDelete ?? false,
    arguments: queueArguments(spec),
  }
}

function exchangeDeclaration(spec: ExchangeSpec) {
  return {
    name: spec.name,
    kind: spec.kind,
    durable: spec.durable ?? true,
    autoDelete: spec.autoDelete ?? false,
    arguments: spec.alternate === undefined ? {} : { 'alternate-exchange': spec.alternate },
  }
}

function queueTerms(spec: BindingSpec) {
  return {
    queue: spec.destination,
    exchange: spec.source,
    routingKey: spec.routingKey,
    arguments: spec.arguments ?? {},
  }
}

function exchangeTerms(spec: BindingSpec) {
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
