/**
 * The driver of the engines that live in this process: an adapter between the client's port and one session of the
 * engine. `memory:` and `file:` differ only in the broker they are given.
 */
import { Emitter } from '../std/emitter.ts'
import type { Broker, EngineDelivery, Holder, Queue, Session, VirtualHost } from '../broker/broker.ts'
import { ClosedError, MillraceError } from '../model/errors.ts'
import type {
  BrowseOptions,
  Capabilities,
  Consumer,
  ConsumeOptions,
  Delivery,
  Driver,
  DriverEventMap,
  Outgoing,
  Page,
  PublishOptions,
  PublishResult,
  QueueStats,
  Topology,
} from '../client/driver.ts'
import { untilAborted } from './in-process-abort.ts'
import { browseQueue } from './in-process-browse.ts'
import { capabilities } from './in-process-capabilities.ts'
import { InProcessDelivery } from './in-process-delivery.ts'
import { relayEvents } from './in-process-events.ts'
import { publishAllOrNone } from './in-process-out.ts'
import { partsOf, publishOne } from './in-process-publish.ts'
import { cancelDelayed, moveMessages, statsOf } from './in-process-queue.ts'
import { RoomWaits } from './in-process-room.ts'
import { applyTopology, removeTopology } from './in-process-topology.ts'

/** A broker in use, and how to say that one is done with it. */
export interface Lease {
  readonly broker: Broker
  release(): Promise<void>
}

interface InProcessOptions {
  readonly name: 'memory' | 'file'
  readonly namespace?: string | undefined
  readonly acquire: () => Promise<Lease>
}

/** The virtual host that `millrace serve` has: a folder that it is given holds what clients ask it for. */
const defaultNamespace = '/'

export class InProcessDriver implements Driver, Holder {
  readonly name: string
  readonly events = new Emitter<DriverEventMap & Record<string, unknown[]>>()
  readonly #options: InProcessOptions
  #lease: Lease | undefined
  #session: Session | undefined
  /** For what goes out with a settlement. */
  #transactional: Session | undefined
  #vhost: VirtualHost | undefined
  #connectionId = 0
  #arrived: InProcessDelivery[] = []
  #consumers = new Map<
    string,
    { sink: (delivery: Delivery) => void; onCancelled: ((error?: Error) => void) | undefined }
  >()
  /** A consumer waits for messages, so the process does not end by itself. */
  #letEnd: (() => void) | undefined
  #nextTag = 1
  #unsettled = 0
  #settledAll: (() => void) | undefined
  #lost: AbortController | undefined
  readonly #roomWaits = new RoomWaits()
  #closed: Promise<void> | undefined
  /** Closed, and drained: nothing can be settled any more. */
  #ended = false
  #forget: (() => void) | undefined

  constructor(options: InProcessOptions) {
    this.name = options.name
    this.#options = options
  }

  open(signal?: AbortSignal): Promise<Capabilities> {
    if (signal === undefined) return this.#open()
    const opened = untilAborted(signal, () => this.#open())
    // Called off: what is still being opened is closed when it is there.
    opened.catch(() => this.close().catch(() => undefined))
    return opened
  }

  async declare(topology: Topology): Promise<void> {
    const { broker, session, vhost } = this.#parts()
    applyTopology({ session, vhost, nowMs: broker.nowMs(), topology })
    broker.wake()
    await broker.whenDurable()
  }

  async undeclare(topology: Topology, options: { ifEmpty?: boolean } = {}): Promise<void> {
    const { broker, session, vhost } = this.#parts()
    removeTopology({ session, vhost, topology, ifEmpty: options.ifEmpty ?? false })
    broker.wake()
    await broker.whenDurable()
  }

  publish(batch: readonly Outgoing[], options?: PublishOptions): Promise<readonly PublishResult[]> {
    const signal = options?.signal
    if (signal !== undefined) return untilAborted(signal, () => this.#publishAll(batch, signal))
    return this.#publishAll(batch, undefined)
  }

  async consume(
    queue: string,
    options: ConsumeOptions,
    sink: (delivery: Delivery) => void,
  ): Promise<Consumer> {
    const { broker, session } = this.#parts()
    const tag = `${this.#connectionId}.${this.#nextTag++}`
    session.consume(
      {
        queue,
        tag,
        noAck: false,
        exclusive: options.exclusive ?? false,
        arguments: options.priority === undefined ? {} : { 'x-priority': options.priority },
        prefetch: options.prefetch,
      },
      broker.nowMs(),
    )
    this.#consumers.set(tag, { sink, onCancelled: options.onCancelled })
    this.#letEnd ??= broker.clock.keepAlive()
    broker.wake()
    return {
      setPrefetch: (prefetch) => {
        session.setPrefetch(tag, prefetch)
        broker.wake()
      },
      cancel: async () => {
        if (!this.#forgetConsumer(tag) || this.#closed !== undefined) return
        session.cancel(tag, broker.nowMs())
        broker.wake()
        await broker.whenDurable()
      },
    }
  }

  async stats(name: string): Promise<QueueStats> {
    const { broker } = this.#parts()
    return statsOf(broker, this.#queue(name), broker.nowMs())
  }

  async queues(): Promise<readonly string[]> {
    return [...this.#parts().vhost.queues.keys()].sort()
  }

  async browse(name: string, options: BrowseOptions): Promise<Page> {
    const { broker } = this.#parts()
    return browseQueue(broker, this.#queue(name), options)
  }

  async purge(name: string, state: 'ready' | 'delayed' | 'all' = 'ready'): Promise<number> {
    const { broker } = this.#parts()
    const count = broker.engine.purge(this.#queue(name), state)
    broker.wake()
    await broker.whenDurable()
    return count
  }

  async cancelDelayed(name: string, messageId: string): Promise<number> {
    const { broker } = this.#parts()
    return cancelDelayed(broker, this.#queue(name), messageId)
  }

  async move(
    from: string,
    to: string,
    options: { limit?: number; signal?: AbortSignal } = {},
  ): Promise<number> {
    const { broker } = this.#parts()
    return moveMessages(broker, () => ({ from: this.#queue(from), to: this.#queue(to) }), options)
  }

  async pause(name: string): Promise<void> {
    await this.#setPaused(name, true)
  }

  async resume(name: string): Promise<void> {
    await this.#setPaused(name, false)
  }

  close(options: { drainMs?: number } = {}): Promise<void> {
    return (this.#closed ??= this.#close(options.drainMs ?? 0))
  }

  // Holder: the engine's side.

  /** @internal */
  deliver(delivery: EngineDelivery): void {
    this.#lease?.broker.delivered(delivery.entry)
    this.#arrived.push(new InProcessDelivery(this, delivery))
    this.#unsettled += 1
  }

  /** @internal */
  cancelled(tag: string): void {
    const consumer = this.#consumers.get(tag)
    this.#forgetConsumer(tag)
    if (consumer !== undefined) queueMicrotask(() => consumer.onCancelled?.())
  }

  /** @internal The outcome of `publish` says so already. */
  returned(): void {
    return
  }

  /** @internal Outside of the dispatch: what a sink does may come back into the engine. */
  dispatched(): void {
    const arrived = this.#arrived
    if (arrived.length === 0) return
    this.#arrived = []
    for (const delivery of arrived) {
      const consumer = this.#consumers.get(delivery.consumerTag)
      if (consumer === undefined) delivery.settle({ type: 'release' }).catch(() => undefined)
      else consumer.sink(delivery)
    }
  }

  // For InProcessDelivery.

  /** @internal */
  get session(): Session | undefined {
    return this.#ended ? undefined : this.#session
  }

  /** @internal */
  get broker(): Broker {
    return this.#live().broker
  }

  /** @internal One for all deliveries of this connection: in one process a hold is lost only with the connection. */
  get lost(): AbortSignal {
    return (this.#lost ??= new AbortController()).signal
  }

  /** @internal */
  settledOne(): void {
    this.#unsettled -= 1
    if (this.#unsettled === 0) this.#settledAll?.()
  }

  /** @internal Publishes all of it in this turn, or throws and publishes nothing. */
  publishOut(batch: readonly Outgoing[]): void {
    const { broker, vhost } = this.#live()
    if (this.#transactional === undefined) {
      const session = { vhost: vhost.name, connectionId: this.#connectionId, sink: this }
      this.#transactional = broker.engine.openSession(session)
      this.#transactional.txSelect()
    }
    publishAllOrNone(broker, this.#transactional, batch)
  }

  #forgetConsumer(tag: string): boolean {
    const known = this.#consumers.delete(tag)
    if (this.#consumers.size === 0) {
      this.#letEnd?.()
      this.#letEnd = undefined
    }
    return known
  }

  /** A great batch goes in parts: each is held back when room is short, and none is too large for the log. */
  #publishAll(
    batch: readonly Outgoing[],
    signal: AbortSignal | undefined,
  ): Promise<readonly PublishResult[]> {
    const parts = partsOf(batch, this.#lease?.broker.limits.unwrittenBytes ?? Infinity)
    if (parts.length === 1) return this.#publish(batch, signal)
    return Promise.all(parts.map((part) => this.#publish(part, signal))).then((results) => results.flat())
  }

  #publish(batch: readonly Outgoing[], signal: AbortSignal | undefined): Promise<readonly PublishResult[]> {
    try {
      const { broker, vhost } = this.#parts()
      if (broker.gate.shut) return this.#publishLater(batch, signal)
      const results = this.#publishNow(broker, vhost, batch)
      return broker.whenDurable().then(() => results)
    } catch (error) {
      return Promise.reject(error)
    }
  }

  async #publishLater(
    batch: readonly Outgoing[],
    signal: AbortSignal | undefined,
  ): Promise<readonly PublishResult[]> {
    // Called off while it waits, or closed: nothing is stored, and the messages are let go.
    await this.#roomWaits.wait(this.#parts().broker, signal)
    return this.#publish(batch, signal)
  }

  #publishNow(broker: Broker, vhost: VirtualHost, batch: readonly Outgoing[]): readonly PublishResult[] {
    const nowMs = broker.nowMs()
    const results: PublishResult[] = []
    for (const outgoing of batch) results.push(publishOne(broker, vhost, outgoing, nowMs))
    broker.wake()
    broker.review()
    return results
  }

  async #open(): Promise<Capabilities> {
    const lease = await this.#options.acquire()
    if (this.#closed !== undefined) {
      await lease.release()
      throw new ClosedError('The connection was closed before it was open')
    }
    this.#lease = lease
    try {
      const { broker } = lease
      this.#vhost = broker.ensureVhost(this.#options.namespace ?? defaultNamespace)
      this.#connectionId = broker.newConnectionId()
      const { name: vhost } = this.#vhost
      this.#session = broker.openSession({ vhost, connectionId: this.#connectionId, holder: this })
      this.#forget = relayEvents(broker, this.events, (error) => this.#failed(error))
      return capabilities(this.name, broker)
    } catch (error) {
      await this.close().catch(() => undefined)
      throw error
    }
  }

  async #setPaused(name: string, paused: boolean): Promise<void> {
    const { broker } = this.#parts()
    broker.engine.pause(this.#queue(name), paused)
    broker.wake()
    await broker.whenDurable()
  }

  async #close(drainMs: number): Promise<void> {
    const lease = this.#lease
    this.#roomWaits.refuseAll(closed())
    try {
      if (lease?.broker.state === 'open' && this.#session !== undefined) {
        for (const tag of this.#consumers.keys()) this.#session.cancel(tag, lease.broker.nowMs())
        this.#consumers.clear()
        if (this.#unsettled > 0 && drainMs > 0) await this.#drain(drainMs)
      }
      this.#ended = true
      this.#lost?.abort(new ClosedError('The connection was closed'))
      if (lease?.broker.state === 'open') lease.broker.closeConnection(this.#connectionId, this)
    } finally {
      this.#ended = true
      this.#letEnd?.()
      this.#letEnd = undefined
      this.#forget?.()
      await lease?.release()
    }
  }

  async #drain(drainMs: number): Promise<void> {
    let timer: NodeJS.Timeout | undefined
    const late = new Promise<void>((resolve) => (timer = setTimeout(resolve, drainMs)))
    await Promise.race([late, new Promise<void>((resolve) => (this.#settledAll = resolve))])
    clearTimeout(timer)
  }

  #queue(name: string): Queue {
    const queue = this.#parts().vhost.queues.get(name)
    if (queue === undefined)
      throw new MillraceError('NOT_FOUND', `There is no queue ${name}; declare it first`)
    return queue
  }

  #parts(): { broker: Broker; session: Session; vhost: VirtualHost } {
    if (this.#closed !== undefined) throw closed()
    return this.#live()
  }

  /** As `#parts`, and while the connection drains. */
  #live(): { broker: Broker; session: Session; vhost: VirtualHost } {
    const broker = this.#lease?.broker
    const session = this.#session
    const vhost = this.#vhost
    if (broker === undefined || session === undefined || vhost === undefined || this.#ended) throw closed()
    broker.assertOpen()
    return { broker, session, vhost }
  }

  /** The store failed: nothing is held or delivered any more, and everyone who waits is told. */
  #failed(error: Error): void {
    this.events.emit('down', error)
    this.#lost?.abort(error)
    for (const [tag, consumer] of this.#consumers) {
      this.#forgetConsumer(tag)
      queueMicrotask(() => consumer.onCancelled?.(error))
    }
  }
}

function closed(): ClosedError {
  return new ClosedError('The connection is closed; call connect() for a new one')
}
