/**
 * The port over Redis. Every transition of a queue is one function on the server (lua/); what is here decides when to call
 * which, routes, and comes back after whatever happened to the connection. docs/redis-protocol.md is what both agree on.
 */
import { randomBytes } from 'node:crypto'
import { Emitter } from '../../std/emitter.ts'
import { ClosedError, MillraceError } from '../../model/errors.ts'
import type * as port from '../../client/driver.ts'
import { untilAborted } from '../in-process-abort.ts'
import { Caller } from './caller.ts'
import { redisCapabilities } from './capabilities.ts'
import { dial } from './connection.ts'
import type { Connection } from './connection.ts'
import { Consumer } from './consumer.ts'
import { Ferry } from './ferry.ts'
import { Keys } from './keys.ts'
import { Library } from './library.ts'
import { newLink } from './link.ts'
import type { Link } from './link.ts'
import { loadNodeRedis } from './node-redis.ts'
import type { Reply } from './node-redis.ts'
import { Outbound } from './outbound.ts'
import { Publisher } from './publisher.ts'
import { Queues } from './queues.ts'
import { Requests } from './requests.ts'
import { Routes } from './routes.ts'
import { factsOf } from './server-facts.ts'
import type { CheckedFacts } from './server-facts.ts'
import { DeclaredTopology } from './topology.ts'
import type { RedisSettings } from './url.ts'

/** How often this driver looks after queues that go when nobody uses them. */
const housekeepingMs = 20_000
/** What is under way when the driver is closed may take so long. */
const farewellMs = 2_000

export class RedisDriver implements port.Driver {
  readonly name = 'redis'
  readonly events = new Emitter<port.DriverEventMap & Record<string, unknown[]>>()
  readonly #settings: RedisSettings
  /** Of this driver alone, for ever: consumers' names begin with it. */
  readonly #id = randomBytes(9).toString('base64url').replaceAll('.', '-')
  readonly #keys: Keys
  readonly #library = new Library()
  readonly #link: Link
  readonly #caller: Caller
  readonly #topology: DeclaredTopology
  readonly #routes: Routes
  readonly #ferry: Ferry
  readonly #publisher: Publisher
  readonly #outbound: Outbound
  readonly #queues: Queues
  readonly #consumers = new Set<Consumer>()
  readonly #byName = new Map<string, Consumer>()
  #names = 0
  /** The last one. */
  #connection: Connection | undefined
  #facts: CheckedFacts | undefined
  #isDown = false
  #restoring: Promise<void> | undefined
  #housekeeping: NodeJS.Timeout | undefined
  #closed: Promise<void> | undefined
  #isClosing = false

  constructor(settings: RedisSettings) {
    this.#settings = settings
    this.#keys = new Keys(settings.prefix)
    this.#link = newLink({
      dial: () => this.#dial(),
      restore: (connection) => this.#restore(connection),
      onUp: () => this.#up(),
      onDown: (cause) => this.#down(cause),
    })
    const caller = new Caller(this.#link, this.#library, {
      onBlocked: (reason) => this.events.emit('blocked', reason),
      onUnblocked: () => this.events.emit('unblocked'),
    })
    const keys = this.#keys
    const driver = this.#id
    this.#caller = caller
    this.#routes = new Routes(caller, keys.topology)
    const requests = new Requests({ caller, keys, driver })
    this.#ferry = new Ferry({ caller, keys, requests, routes: this.#routes })
    const onOut = (queue: string, waitMs = 0): void => this.#ferry.comeBy(queue, waitMs)
    this.#topology = new DeclaredTopology({ caller, keys, driver, onOut })
    this.#publisher = new Publisher({ caller, keys, driver, onOut })
    const { maximumBodyBytes } = settings
    this.#outbound = new Outbound({ publisher: this.#publisher, routes: this.#routes, maximumBodyBytes })
    this.#queues = new Queues({ caller, keys, requests, ferry: this.#ferry, driver })
  }

  open(signal?: AbortSignal): Promise<port.Capabilities> {
    if (signal === undefined) return this.#open()
    const opened = untilAborted(signal, () => this.#open())
    // Called off: what is still being opened is closed when it is there.
    opened.catch(() => this.close().catch(() => undefined))
    return opened
  }

  async declare(topology: port.Topology): Promise<void> {
    this.#assertOpen()
    await this.#topology.declare(topology)
  }

  async undeclare(topology: port.Topology, options: { ifEmpty?: boolean } = {}): Promise<void> {
    this.#assertOpen()
    await this.#topology.undeclare(topology, options.ifEmpty ?? false)
  }

  async publish(
    batch: readonly port.Outgoing[],
    options?: port.PublishOptions,
  ): Promise<readonly port.PublishResult[]> {
    this.#assertOpen()
    const signal = options?.signal
    if (signal === undefined) return this.#outbound.publish(batch)
    return untilAborted(signal, () => this.#outbound.publish(batch))
  }

  async consume(
    queue: string,
    options: port.ConsumeOptions,
    sink: (delivery: port.Delivery) => void,
  ): Promise<port.Consumer> {
    this.#assertOpen()
    const consumer = new Consumer({
      caller: this.#caller,
      keys: this.#keys,
      driver: this.#id,
      queue,
      options,
      sink,
      leaseMs: this.#settings.leaseMs,
      newName: () => `${this.#id}.${(this.#names += 1)}`,
      publish: (out) => this.#publishAll(out),
      ferry: async () => void (await this.#ferry.run(queue)),
      onMissing: () => this.#queueMissing(queue),
      onNamed: (named, name, before) => this.#named(named, name, before),
      onGone: (gone) => this.#gone(gone),
    })
    this.#consumers.add(consumer)
    try {
      await consumer.begin()
    } catch (error) {
      this.#gone(consumer)
      throw error
    }
    return consumer
  }

  async stats(queue: string): Promise<port.QueueStats> {
    this.#assertOpen()
    return this.#queues.stats(queue)
  }

  async queues(): Promise<readonly string[]> {
    this.#assertOpen()
    return this.#queues.names()
  }

  async browse(queue: string, options: port.BrowseOptions): Promise<port.Page> {
    this.#assertOpen()
    return this.#queues.browse(queue, options)
  }

  async purge(queue: string, state: 'ready' | 'delayed' | 'all' = 'ready'): Promise<number> {
    this.#assertOpen()
    return this.#queues.purge(queue, state)
  }

  async cancelDelayed(queue: string, messageId: string): Promise<number> {
    this.#assertOpen()
    return this.#queues.cancelDelayed(queue, messageId)
  }

  async move(
    from: string,
    to: string,
    options: { limit?: number; signal?: AbortSignal } = {},
  ): Promise<number> {
    this.#assertOpen()
    return this.#queues.move(from, to, options)
  }

  async pause(queue: string): Promise<void> {
    this.#assertOpen()
    await this.#queues.pause(queue, true)
  }

  async resume(queue: string): Promise<void> {
    this.#assertOpen()
    await this.#queues.pause(queue, false)
  }

  close(options: { drainMs?: number } = {}): Promise<void> {
    this.#isClosing = true
    return (this.#closed ??= this.#close(options.drainMs ?? 0))
  }

  async #open(): Promise<port.Capabilities> {
    await this.#link.open()
    if (this.#isClosing) throw closed()
    // Once whoever opens had the chance to listen.
    setImmediate(() => this.#warn())
    this.#housekeeping = setInterval(() => {
      this.#keepHouse().catch(() => undefined)
    }, housekeepingMs).unref()
    const { leaseMs, maximumBodyBytes } = this.#settings
    return redisCapabilities(this.#facts as CheckedFacts, { leaseMs, maximumBodyBytes })
  }

  async #dial(): Promise<Connection> {
    const nodes = this.#connection?.nodes ?? []
    return (this.#connection = await dial(await loadNodeRedis(), this.#settings, nodes))
  }

  #warn(): void {
    if (this.#isClosing) return
    for (const warning of this.#facts?.warnings ?? []) this.events.emit('warning', warning)
  }

  /** A new connection: what the server is, what it has to know, and whether it still knows what we declared. */
  async #restore(connection: Connection): Promise<void> {
    const facts = await factsOf(connection)
    this.#facts = facts
    await this.#library.prepare(connection, facts.version)
    await connection.subscribe(this.#keys.wake(this.#id), (name) => this.#byName.get(name)?.wake())
  }

  #up(): void {
    const wasDown = this.#isDown
    this.#isDown = false
    if (!wasDown) return
    this.#restoreTopology()
      .catch(() => undefined)
      .finally(() => {
        if (!this.#isDown && !this.#isClosing) this.events.emit('up')
        // What was said meanwhile was not heard.
        for (const consumer of this.#consumers) consumer.wake()
      })
  }

  #down(cause: Error): void {
    if (this.#facts === undefined || this.#isClosing || this.#isDown) return
    this.#isDown = true
    this.events.emit('down', cause)
  }

  #restoreTopology(): Promise<void> {
    return (this.#restoring ??= this.#topology
      .restore()
      .then((lost) => {
        if (lost) this.events.emit('topologyLost')
      })
      .finally(() => (this.#restoring = undefined)))
  }

  /** True where it was lost with all the rest, and is there again. */
  async #queueMissing(queue: string): Promise<boolean> {
    const declared = this.#topology.queue(queue) !== undefined
    await this.#restoreTopology()
    const names = await this.#queues.names()
    if (declared && names.includes(queue)) {
      const reply = await this.#caller.call({
        key: this.#keys.queue(queue),
        words: ['EXISTS', this.#keys.queue(queue)],
        doing: `look for the queue ${queue}`,
      })
      if (reply === 1) return true
    }
    await this.#topology.sweep(queue)
    return false
  }

  #named(consumer: Consumer, name: string, before: string | undefined): void {
    if (before !== undefined) this.#byName.delete(before)
    this.#byName.set(name, consumer)
  }

  #gone(consumer: Consumer): void {
    this.#consumers.delete(consumer)
    for (const [name, named] of this.#byName) if (named === consumer) this.#byName.delete(name)
  }

  /** @throws the error of the first that was refused */
  async #publishAll(out: readonly port.Outgoing[]): Promise<void> {
    for (const result of await this.#outbound.publish(out)) {
      if (result.type === 'rejected') throw result.error
    }
  }

  /** Keeps our own exclusive queues, and sweeps away what nobody uses. */
  async #keepHouse(): Promise<void> {
    if (this.#link.connection === undefined) return
    const used = [...this.#consumers].filter(({ expiresMs }) => expiresMs > 0)
    await this.#topology.touch(used.map(({ queue, expiresMs }) => ({ queue, expiresMs })))
    const overdue = (await this.#caller.call({
      name: 'overdue',
      key: this.#keys.expiring,
      words: [],
      doing: 'look for queues that nobody uses',
    })) as readonly Reply[]
    for (const each of overdue) {
      const queue = String(each)
      const reply = await this.#caller.call({
        name: 'delete',
        key: this.#keys.queue(queue),
        words: ['0', '1'],
        doing: `delete the queue ${queue}`,
      })
      if (Array.isArray(reply) && String(reply[0]) === 'used') continue
      await this.#topology.sweep(queue)
      await this.#caller.call({
        key: this.#keys.expiring,
        words: ['ZREM', this.#keys.expiring, queue],
        doing: 'forget a queue that nobody used',
      })
    }
  }

  async #close(drainMs: number): Promise<void> {
    clearInterval(this.#housekeeping)
    const consumers = [...this.#consumers]
    // What is under way may have been done: who waits for it is told, if the server comes back soon.
    const isBusy = this.#publisher.isBusy || consumers.some((consumer) => consumer.isBusy)
    if (isBusy) await within(farewellMs, this.#link.whenUp())
    if (this.#link.connection !== undefined) {
      await within(farewellMs, Promise.all(consumers.map((consumer) => consumer.cancel())))
      if (drainMs > 0) await within(drainMs, Promise.all(consumers.map((consumer) => consumer.whenIdle())))
      await within(farewellMs, Promise.all(consumers.map((consumer) => consumer.close())))
      await within(farewellMs, this.#publisher.drain())
      const queues = this.#topology.exclusiveQueues.map((name) => ({ name }))
      if (queues.length > 0) await within(farewellMs, this.#topology.undeclare({ queues }, false))
    }
    await this.#link.close()
  }

  #assertOpen(): void {
    if (this.#isClosing || this.#facts === undefined) throw closed()
  }
}

/** Waits for the work, but not for longer; whether it fails is no matter. */
async function within(ms: number, work: Promise<unknown>): Promise<void> {
  let timer: NodeJS.Timeout | undefined
  const late = new Promise<void>((resolve) => (timer = setTimeout(resolve, ms)))
  await Promise.race([work.then(nothing, nothing), late])
  clearTimeout(timer)
}

function nothing(): void {
  // How it ended is told elsewhere.
}

function closed(): MillraceError {
  return new ClosedError('The connection is closed; call connect() for a new one')
}
