/**
 * Declares, and remembers what was declared, so that a new connection can have it again.
 *
 * AMQP cannot check a topology without declaring it. So it is first asked what is there (passively); what is there is
 * declared before what is not, since only that can be a conflict and, where it is none, changes nothing.
 */
import { MillraceError } from '../../model/errors.ts'
import type { BindingSpec, ExchangeSpec, QueueSpec, Topology } from '../../client/driver.ts'
import type { Channel } from './amqplib.ts'
import { wireHeaders } from './field-values.ts'
import { bindingName, checkTopology, exchangeOptions, queueOptions } from './queue-arguments.ts'
import type { QueueType } from './queue-arguments.ts'
import { stillHeld } from './failure.ts'
import { found } from './rpc.ts'
import type { Caller } from './delays.ts'

/** Half a minute of waits; then it is somebody else's for good. */
const maximumLockedTries = 8

export class DeclaredTopology {
  readonly #usual: QueueType
  readonly #exchanges = new Map<string, ExchangeSpec>()
  readonly #queues = new Map<string, QueueSpec>()
  readonly #bindings = new Map<string, BindingSpec>()
  /** Connections in a row that found an exclusive queue in somebody else's hands. */
  #lockedTries = 0

  /** @param usual the type of queues that may be of either */
  constructor(usual: QueueType) {
    this.#usual = usual
  }

  /** The queue as it was declared over this connection. */
  queue(name: string): QueueSpec | undefined {
    return this.#queues.get(name)
  }

  hasExchange(name: string): boolean {
    return this.#exchanges.has(name)
  }

  /** @throws ConflictError, ValidationError, UnsupportedError; MillraceError NOT_FOUND (of a binding's ends), RESOURCE_LOCKED */
  async declare(caller: Caller, topology: Topology): Promise<void> {
    checkTopology(topology, this.#usual)
    const { exchanges = [], queues = [], bindings = [] } = topology
    const specs = [
      ...exchanges.map((spec) => this.#exchange(spec)),
      ...queues.map((spec) => this.#queue(spec)),
    ]
    await this.#assertEnds(caller, topology)
    await declareAll(caller, specs)
    for (const binding of bindings) await bind(caller, binding)
    for (const exchange of exchanges) this.#exchanges.set(exchange.name, exchange)
    for (const queue of queues) this.#queues.set(queue.name, queue)
    for (const binding of bindings) this.#bindings.set(keyOf(binding), binding)
  }

  /** Removes; what is missing is no error. @throws MillraceError PRECONDITION_FAILED */
  async undeclare(caller: Caller, topology: Topology, ifEmpty: boolean): Promise<void> {
    const { exchanges = [], queues = [], bindings = [] } = topology
    for (const binding of bindings) {
      this.#bindings.delete(keyOf(binding))
      await found(unbind(caller, binding))
    }
    for (const { name } of queues) {
      await deleteQueue(caller, name, ifEmpty)
      this.#queues.delete(name)
      this.#forgetBindings(
        (binding) => binding.destinationType !== 'exchange' && binding.destination === name,
      )
    }
    for (const { name } of exchanges) {
      await caller.run(`delete the exchange ${name}`, (channel) => channel.deleteExchange(name))
      this.#exchanges.delete(name)
      this.#forgetBindings(
        (binding) =>
          binding.source === name || (binding.destinationType === 'exchange' && binding.destination === name),
      )
    }
  }

  /** A queue that went with its last use, or was deleted by somebody else. */
  forgetQueue(name: string): void {
    this.#queues.delete(name)
    this.#forgetBindings((binding) => binding.destinationType !== 'exchange' && binding.destination === name)
  }

  /**
   * On a new connection: declares everything again. Says whether something durable was missing, and hands what the
   * server refuses to `onRefused`: the rest is declared all the same.
   */
  async restore(caller: Caller, onRefused: (error: Error) => void): Promise<{ lost: boolean }> {
    const lost = await this.#isSomethingMissing(caller)
    const replay = async (declaring: Promise<unknown>): Promise<void> => {
      try {
        await declaring
      } catch (error) {
        if (!(error instanceof MillraceError) || error.code === 'CONNECTION_LOST') throw error
        onRefused(error)
      }
    }
    for (const spec of this.#exchanges.values()) await replay(this.#exchange(spec).declare(caller))
    for (const spec of this.#queues.values()) await replay(this.#declareAgain(caller, spec))
    this.#lockedTries = 0
    for (const spec of this.#bindings.values()) await replay(bind(caller, spec))
    return { lost }
  }

  /** An exclusive queue may still belong to the connection before, until the server finds that one gone: later, then. */
  async #declareAgain(caller: Caller, spec: QueueSpec): Promise<void> {
    try {
      await this.#queue(spec).declare(caller)
    } catch (error) {
      const locked = error instanceof MillraceError && error.code === 'RESOURCE_LOCKED'
      if (!locked || spec.exclusive !== true) throw error
      this.#lockedTries += 1
      throw this.#lockedTries < maximumLockedTries ? stillHeld(`The queue ${spec.name}`, error) : error
    }
  }

  /** Both ends of each binding are declared with it, or are there. */
  async #assertEnds(caller: Caller, topology: Topology): Promise<void> {
    const exchanges = new Set([
      ...this.#exchanges.keys(),
      ...(topology.exchanges ?? []).map(({ name }) => name),
    ])
    const queues = new Set([...this.#queues.keys(), ...(topology.queues ?? []).map(({ name }) => name)])
    for (const { source, destination, destinationType = 'queue' } of topology.bindings ?? []) {
      const ends = [
        { kind: 'exchange', name: source },
        { kind: destinationType, name: destination },
      ] as const
      for (const { kind, name } of ends) {
        if ((kind === 'exchange' ? exchanges : queues).has(name)) continue
        const isThere =
          kind === 'exchange'
            ? caller.run(`look for the exchange ${name}`, (channel) => channel.checkExchange(name))
            : caller.run(`look for the queue ${name}`, (channel) => channel.checkQueue(name))
        if (await found(isThere)) continue
        throw new MillraceError('NOT_FOUND', `There is no ${kind} ${name} to bind; declare it first`)
      }
    }
  }

  async #isSomethingMissing(caller: Caller): Promise<boolean> {
    const durable = [
      ...[...this.#exchanges.values()].map((spec) => ({ spec, item: this.#exchange(spec) })),
      ...[...this.#queues.values()].map((spec) => ({ spec, item: this.#queue(spec) })),
    ].filter(({ spec }) => spec.durable !== false && spec.autoDelete !== true && !('expiresMs' in spec))
    for (const { item } of durable) if (!(await item.exists(caller))) return true
    return false
  }

  #exchange(spec: ExchangeSpec): Declaration {
    const { name, kind } = spec
    return {
      exists: (caller) =>
        found(caller.run(`look for the exchange ${name}`, (channel) => channel.checkExchange(name))),
      declare: (caller) =>
        caller.run(`declare the exchange ${name}`, (channel) =>
          channel.assertExchange(name, kind, exchangeOptions(spec)),
        ),
    }
  }

  #queue(spec: QueueSpec): Declaration {
    const { name } = spec
    return {
      exists: (caller) =>
        found(caller.run(`look for the queue ${name}`, (channel) => channel.checkQueue(name))),
      declare: (caller) =>
        caller.run(`declare the queue ${name}`, (channel) =>
          channel.assertQueue(name, queueOptions(spec, this.#usual)),
        ),
    }
  }

  #forgetBindings(which: (binding: BindingSpec) => boolean): void {
    for (const [key, binding] of this.#bindings) if (which(binding)) this.#bindings.delete(key)
  }
}

interface Declaration {
  exists(caller: Caller): Promise<boolean>
  declare(caller: Caller): Promise<unknown>
}

async function declareAll(caller: Caller, declarations: readonly Declaration[]): Promise<void> {
  if (declarations.length === 1) return void (await declarations[0]?.declare(caller))
  const missing: Declaration[] = []
  for (const declaration of declarations) {
    if (await declaration.exists(caller)) await declaration.declare(caller)
    else missing.push(declaration)
  }
  for (const declaration of missing) await declaration.declare(caller)
}

/** AMQP's own check of emptiness is refused by quorum queues. */
async function deleteQueue(caller: Caller, name: string, ifEmpty: boolean): Promise<void> {
  await caller.run(`delete the queue ${name}`, async (channel) => {
    if (!ifEmpty) return channel.deleteQueue(name)
    const { messageCount } = await channel.checkQueue(name)
    if (messageCount === 0) return channel.deleteQueue(name)
    throw new MillraceError(
      'PRECONDITION_FAILED',
      `The queue ${name} holds ${messageCount} messages; purge it, or delete it without ifEmpty`,
    )
  })
}

function bind(caller: Caller, binding: BindingSpec): Promise<unknown> {
  const { source, destination, routingKey } = binding
  return caller.run(`declare ${bindingName(binding)}`, (channel: Channel) =>
    binding.destinationType === 'exchange'
      ? channel.bindExchange(destination, source, routingKey, argumentsOf(binding))
      : channel.bindQueue(destination, source, routingKey, argumentsOf(binding)),
  )
}

function unbind(caller: Caller, binding: BindingSpec): Promise<unknown> {
  const { source, destination, routingKey } = binding
  return caller.run(`remove ${bindingName(binding)}`, (channel: Channel) =>
    binding.destinationType === 'exchange'
      ? channel.unbindExchange(destination, source, routingKey, argumentsOf(binding))
      : channel.unbindQueue(destination, source, routingKey, argumentsOf(binding)),
  )
}

function argumentsOf(binding: BindingSpec): Record<string, unknown> {
  return wireHeaders(binding.arguments ?? {})
}

function keyOf(binding: BindingSpec): string {
  const { source, destination, destinationType = 'queue', routingKey } = binding
  const table = JSON.stringify(binding.arguments ?? {}, (_name, value: unknown) =>
    typeof value === 'bigint' ? `${value}n` : value,
  )
  return JSON.stringify([source, destination, destinationType, routingKey, table])
}
