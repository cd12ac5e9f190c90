/**
 * Declarations: checked here, agreed on in the namespace's one hash, in one step, and then made: each queue in its own
 * slot. What was declared is remembered, and declared again on a server that has lost it.
 */
import { ConflictError, MillraceError, ValidationError } from '../../model/errors.ts'
import {
  checkBindingArguments,
  checkBindingKey,
  parseExchangeArguments,
  parseQueueArguments,
} from '../../model/arguments.ts'
import { assertExchangeName, assertQueueName, assertRoutingKey } from '../../model/names.ts'
import type { BindingSpec, ExchangeSpec, QueueSpec, Topology } from '../../client/driver.ts'
import { queueArguments, readArguments } from '../queue-arguments.ts'
import type { Caller } from './caller.ts'
import type { Keys } from './keys.ts'
import type { Reply } from './node-redis.ts'
import { tableToJson } from './tagged-json.ts'

/** What an exclusive queue may be without its owner's word before it is swept away. */
const exclusiveMs = 60_000
/** Of `create`: less than this is no time. */
const waitsFromReply = 2

export class DeclaredTopology {
  readonly #caller: Caller
  readonly #keys: Keys
  /** Owner of exclusive queues. */
  readonly #driver: string
  readonly #exchanges = new Map<string, ExchangeSpec>()
  readonly #queues = new Map<string, QueueSpec>()
  readonly #bindings = new Map<string, BindingSpec>()
  /** Made by the server when the topology began; another one means that ours was lost. */
  #epoch: string | undefined

  /** Told of a queue in which something waits to be brought elsewhere, and when the last of it may be, in ms. */
  readonly #onOut: (queue: string, waitMs: number) => void

  constructor(setup: {
    caller: Caller
    keys: Keys
    driver: string
    onOut: (queue: string, waitMs: number) => void
  }) {
    this.#caller = setup.caller
    this.#keys = setup.keys
    this.#driver = setup.driver
    this.#onOut = setup.onOut
  }

  get epoch(): string | undefined {
    return this.#epoch
  }

  queue(name: string): QueueSpec | undefined {
    return this.#queues.get(name)
  }

  get exclusiveQueues(): readonly string[] {
    return [...this.#queues.values()].filter((spec) => spec.exclusive === true).map(({ name }) => name)
  }

  async declare(topology: Topology): Promise<void> {
    check(topology)
    await this.#make(topology)
    for (const spec of topology.exchanges ?? []) this.#exchanges.set(spec.name, spec)
    for (const spec of topology.queues ?? []) this.#queues.set(spec.name, spec)
    for (const spec of topology.bindings ?? []) this.#bindings.set(bindingText(spec), spec)
  }

  async undeclare(topology: Topology, ifEmpty: boolean): Promise<void> {
    const { queues = [] } = topology
    for (const { name } of queues) await this.#delete(name, ifEmpty)
    await this.#forget(topology)
  }

  async #forget({ exchanges = [], queues = [], bindings = [] }: Topology): Promise<void> {
    const words = {
      exchanges: exchanges.map(({ name }) => name),
      queues: queues.map(({ name }) => name),
      bindings: bindings.map(bindingText),
    }
    await this.#caller.call({
      name: 'undeclare',
      key: this.#keys.topology,
      words: [JSON.stringify(words)],
      doing: 'remove exchanges, queues and bindings',
    })
    for (const { name } of exchanges) this.#exchanges.delete(name)
    for (const { name } of queues) this.forgetQueue(name)
    for (const text of words.bindings) this.#bindings.delete(text)
  }

  /** It is gone from the server. */
  forgetQueue(name: string): void {
    this.#queues.delete(name)
    for (const [text, { destination, destinationType = 'queue' }] of this.#bindings) {
      if (destinationType === 'queue' && destination === name) this.#bindings.delete(text)
    }
  }

  /** The queue was deleted on the server alone (its last consumer went, its time was over): the rest of it. */
  async sweep(name: string): Promise<void> {
    await this.#forget({ queues: [{ name }] })
  }

  /** Whether the server has lost what was declared; if so, it is declared again. */
  async restore(): Promise<boolean> {
    if (this.#epoch === undefined) return false
    const there = await this.#caller.call({
      key: this.#keys.topology,
      words: ['HGET', this.#keys.topology, 'epoch'],
      doing: 'look at the topology',
    })
    if (there !== null && String(there) === this.#epoch) return false
    await this.#make({
      exchanges: [...this.#exchanges.values()],
      queues: [...this.#queues.values()],
      bindings: [...this.#bindings.values()],
    })
    return true
  }

  /** Queues that would be taken for unused stay for another while. */
  async touch(used: readonly { queue: string; expiresMs: number }[]): Promise<void> {
    const words = [
      ...this.exclusiveQueues.flatMap((name) => [name, String(exclusiveMs)]),
      ...used.flatMap(({ queue, expiresMs }) => [queue, String(expiresMs)]),
    ]
    if (words.length === 0) return
    await this.#caller.call({
      name: 'touch',
      key: this.#keys.expiring,
      words,
      doing: 'keep exclusive queues',
    })
  }

  async #make(topology: Topology): Promise<void> {
    const { exchanges = [], queues = [], bindings = [] } = topology
    const words = {
      exchanges: exchanges.map((spec) => ({ name: spec.name, text: exchangeText(spec) })),
      queues: queues.map((spec) => ({ name: spec.name, text: queueText(spec, this.#driver) })),
      bindings: bindings.map((spec) => ({
        source: spec.source,
        destination: spec.destination,
        destinationType: spec.destinationType ?? 'queue',
        text: bindingText(spec),
      })),
    }
    const epoch = `${Date.now()}.${this.#driver}`
    const reply = await this.#caller.call({
      name: 'declare',
      key: this.#keys.topology,
      words: [JSON.stringify(words), epoch],
      doing: 'declare exchanges, queues and bindings',
    })
    this.#epoch = understand(reply)
    await Promise.all(queues.map((spec) => this.#create(spec)))
  }

  async #create(spec: QueueSpec): Promise<void> {
    const { name } = spec
    const doing = `declare the queue ${name}`
    const reply = await this.#caller.call({
      name: 'create',
      key: this.#keys.queue(name),
      words: fieldsOf(spec, this.#driver),
      doing,
    })
    if (Number(reply) >= waitsFromReply) this.#onOut(name, Number(reply) - waitsFromReply)
    const unusedMs = spec.exclusive === true ? exclusiveMs : spec.expiresMs
    if (unusedMs === undefined) return
    await this.#caller.call({
      name: 'touch',
      key: this.#keys.expiring,
      words: [name, String(unusedMs)],
      doing,
    })
  }

  /** This very queue: if the answer is lost and the call made again, others may have made a new one of its name. */
  async #delete(name: string, ifEmpty: boolean): Promise<void> {
    const key = this.#keys.queue(name)
    const doing = `delete the queue ${name}`
    const born = await this.#caller.call({ key, words: ['HGET', key, 'born'], doing })
    if (born === null) return
    const words = [ifEmpty ? '1' : '0', '0', String(born)]
    const reply = await this.#caller.call({ name: 'delete', key, words, doing })
    if (!Array.isArray(reply) || String(reply[0]) !== 'full') return
    throw new MillraceError(
      'PRECONDITION_FAILED',
      `The queue ${name} holds ${String(reply[1])} messages; purge it, or delete it without ifEmpty`,
    )
  }
}

/** The epoch. @throws ConflictError, MillraceError NOT_FOUND, RESOURCE_LOCKED */
function understand(reply: Reply): string {
  const [verdict, kind, name, there] = (reply as readonly Reply[]).map(String)
  switch (verdict ?? '') {
    case 'ok':
      return kind ?? ''
    case 'missing':
      throw new MillraceError('NOT_FOUND', `There is no ${kind} ${name} to bind; declare it first`)
    case 'locked':
      throw new MillraceError('RESOURCE_LOCKED', `The queue ${name} is another connection's alone`)
    default:
      throw new ConflictError(
        `The ${kind} ${name} exists with other settings (${there}); declare it with the same options everywhere, or delete ` +
          'it first',
      )
  }
}

function check(topology: Topology): void {
  for (const spec of topology.exchanges ?? []) {
    assertExchangeName(spec.name)
    const table = spec.alternate === undefined ? {} : { 'alternate-exchange': spec.alternate }
    readArguments(() => parseExchangeArguments(table, `exchange '${spec.name}'`, spec.kind))
  }
  for (const spec of topology.queues ?? []) {
    assertQueueName(spec.name)
    readArguments(() => parseQueueArguments(queueArguments(spec), `queue '${spec.name}'`))
  }
  for (const spec of topology.bindings ?? []) {
    assertRoutingKey(spec.routingKey)
    const kind = topology.exchanges?.find(({ name }) => name === spec.source)?.kind ?? 'direct'
    readArguments(() => checkBindingKey(kind, spec.routingKey))
    if (spec.arguments !== undefined) checkArguments(spec)
  }
}

function checkArguments(spec: BindingSpec): void {
  try {
    checkBindingArguments('headers', spec.arguments ?? {})
  } catch (error) {
    if (!(error instanceof MillraceError)) throw error
    throw new ValidationError('INVALID_ARGUMENT', error.message, { cause: error })
  }
}

/** Two declarations are equal if their texts are. */
function exchangeText({ kind, durable = true, autoDelete = false, alternate }: ExchangeSpec): string {
  return JSON.stringify({ kind, durable, autoDelete, ...(alternate !== undefined && { alternate }) })
}

function queueText(spec: QueueSpec, driver: string): string {
  const { name: _name, durable = true, exclusive, autoDelete, ...rest } = spec
  const table = queueArguments({ name: '', ...rest })
  return JSON.stringify({
    durable,
    autoDelete: autoDelete === true,
    ...(exclusive === true && { owner: driver }),
    arguments: Object.fromEntries(Object.entries(table).sort(([a], [b]) => (a < b ? -1 : 1))),
  })
}

function bindingText(spec: BindingSpec): string {
  const { source, destination, destinationType = 'queue', routingKey } = spec
  const table = Object.entries(tableToJson(spec.arguments ?? {})).sort(([a], [b]) => (a < b ? -1 : 1))
  return JSON.stringify([source, destinationType, destination, routingKey, Object.fromEntries(table)])
}

/** What the functions need of a declaration, as fields of the queue's hash. */
function fieldsOf(spec: QueueSpec, driver: string): string[] {
  const fields: Record<string, string | number | undefined> = {
    priorities: spec.maxPriority ?? 0,
    ttl: spec.messageTtlMs,
    maxLength: spec.maxLength,
    maxBytes: spec.maxLengthBytes,
    overflow: spec.overflow,
    deadLetter: spec.deadLetter === undefined ? undefined : JSON.stringify(spec.deadLetter),
    deliveryLimit: spec.deliveryLimit,
    single: spec.singleActiveConsumer === true ? 1 : undefined,
    autoDelete: spec.autoDelete === true ? 1 : undefined,
    owner: spec.exclusive === true ? driver : undefined,
    expires: spec.expiresMs,
  }
  return Object.entries(fields).flatMap(([name, value]) => (value === undefined ? [] : [name, String(value)]))
}
