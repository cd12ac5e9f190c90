/**
 * The port over AMQP 0-9-1, for RabbitMQ: what the server cannot do is put together from what it can, or refused with the
 * way out; docs/rabbitmq.md says which is which.
 *
 * Two connections: one publishes, since a server in need stops reading from who does; over the other everything else
 * goes. Each comes back by itself (link.ts), and with it what it carried.
 */
import { Emitter } from '../../std/emitter.ts'
import { ClosedError, MillraceError, UnsupportedError } from '../../model/errors.ts'
import type {
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
} from '../../client/driver.ts'
import { untilAborted } from '../in-process-abort.ts'
import { dial, loadAmqplib, serverProperties } from './amqplib.ts'
import type { Connection } from './amqplib.ts'
import { capabilitiesOf, hasExclusiveConsumers, serverOf } from './capabilities.ts'
import type { Server } from './capabilities.ts'
import { DelayTopology } from './delay-topology.ts'
import type { Delays } from './delays.ts'
import { dialFailure } from './failure.ts'
import { newLink } from './link.ts'
import type { Link } from './link.ts'
import { moveMessages } from './move.ts'
import { Outbound } from './outbound.ts'
import { Publisher } from './publisher.ts'
import { Rpc, RpcChannel } from './rpc.ts'
import { settlementsOver } from './settlements.ts'
import { Subscriptions } from './subscriptions.ts'
import { DeclaredTopology } from './topology.ts'
import type { AmqpSettings } from './url.ts'

/** What can be said once the server has introduced itself. */
interface Parts {
  readonly server: Server
  readonly topology: DeclaredTopology
  /** Undefined where the server holds messages back by itself. */
  readonly delays: Delays | undefined
  readonly outbound: Outbound
  readonly subscriptions: Subscriptions
}

export class AmqpDriver implements Driver {
  readonly name = 'amqp'
  readonly events = new Emitter<DriverEventMap & Record<string, unknown[]>>()
  readonly #settings: AmqpSettings
  readonly #link: Link
  readonly #rpc: Rpc
  readonly #publisher: Publisher
  #parts: Parts | undefined
  /** Connections that were up and are not. */
  #downs = 0
  #closed: Promise<void> | undefined

  constructor(settings: AmqpSettings) {
    this.#settings = settings
    const hooks = { dial: () => this.#dial(), ...this.#upAndDown() }
    this.#link = newLink({
      ...hooks,
      restore: (connection) => this.#restore(connection),
      ...this.#upAndDown((cause) => this.#parts?.subscriptions.down(cause)),
    })
    this.#rpc = new Rpc(this.#link)
    this.#publisher = new Publisher({
      ...hooks,
      onBlocked: (reason) => this.events.emit('blocked', reason),
      onUnblocked: () => this.events.emit('unblocked'),
    })
  }

  open(signal?: AbortSignal): Promise<Capabilities> {
    if (signal === undefined) return this.#open()
    const opened = untilAborted(signal, () => this.#open())
    // Called off: what is still being opened is closed when it is there.
    opened.catch(() => this.close().catch(() => undefined))
    return opened
  }

  async declare(topology: Topology): Promise<void> {
    const parts = this.#assertOpen()
    await parts.topology.declare(this.#rpc, topology)
    for (const { name } of topology.exchanges ?? []) parts.outbound.forget(name)
  }

  async undeclare(topology: Topology, options: { ifEmpty?: boolean } = {}): Promise<void> {
    const parts = this.#assertOpen()
    await parts.topology.undeclare(this.#rpc, topology, options.ifEmpty ?? false)
    for (const { name } of [...(topology.exchanges ?? []), ...(topology.queues ?? [])]) {
      parts.outbound.forget(name)
      parts.delays?.forget(name)
    }
  }

  async publish(batch: readonly Outgoing[], options?: PublishOptions): Promise<readonly PublishResult[]> {
    const { outbound } = this.#assertOpen()
    const signal = options?.signal
    if (signal === undefined) return outbound.publish(batch)
    return untilAborted(signal, () => outbound.publish(batch, signal))
  }

  async consume(
    queue: string,
    options: ConsumeOptions,
    sink: (delivery: Delivery) => void,
  ): Promise<Consumer> {
    const { server, subscriptions } = this.#assertOpen()
    if (options.exclusive === true && !hasExclusiveConsumers(server)) {
      throw unsupported(
        'exclusive consumers',
        'quorum queues have none; declare the queue with singleActiveConsumer, or connect with ?queues=classic',
      )
    }
    return subscriptions.begin(queue, options, sink)
  }

  async stats(queue: string): Promise<QueueStats> {
    this.#assertOpen()
    const { messageCount, consumerCount } = await this.#rpc.run(`look at the queue ${queue}`, (channel) =>
      channel.checkQueue(queue),
    )
    return { ...unknownFigures, ready: messageCount, consumers: consumerCount, paused: false }
  }

  async queues(): Promise<readonly string[]> {
    throw this.#unsupported('listing queues', {
      rabbitMq: "AMQP cannot ask for them; use 'rabbitmqctl list_queues'",
      millrace: `AMQP cannot ask for them; ${folderWay('queues')}`,
    })
  }

  async browse(): Promise<Page> {
    throw this.#unsupported('browse', {
      rabbitMq: 'RabbitMQ counts each look as a delivery; consume the queue, or use its management page',
      millrace: `AMQP has no word for it; consume the queue, or ${folderWay('peek')}`,
    })
  }

  async purge(queue: string, state: 'ready' | 'delayed' | 'all' = 'ready'): Promise<number> {
    this.#assertOpen()
    if (state !== 'ready') {
      throw this.#unsupported('purging delayed messages', {
        rabbitMq: 'those of all queues wait together; purge the ready ones',
        millrace: 'AMQP has no word for it; purge the ready ones, or delete the queue',
      })
    }
    const purged = await this.#rpc.run(`purge the queue ${queue}`, (channel) => channel.purgeQueue(queue))
    return purged.messageCount
  }

  async cancelDelayed(): Promise<number> {
    throw this.#unsupported('cancelling a delayed message', {
      rabbitMq: 'those of all queues wait together; let the handler see that it is not wanted any more',
      millrace: 'AMQP has no word for it; let the handler see that it is not wanted any more',
    })
  }

  async move(
    from: string,
    to: string,
    options: { limit?: number; signal?: AbortSignal } = {},
  ): Promise<number> {
    this.#assertOpen()
    for (const queue of [from, to]) await this.stats(queue)
    const { limit = Infinity, signal } = options
    return moveMessages(await this.#link.whenUp(), this.#publisher, { from, to, limit, signal })
  }

  async pause(): Promise<void> {
    const hint = 'close the workers instead; what is sent meanwhile waits'
    throw this.#unsupported('pause', { rabbitMq: hint, millrace: hint })
  }

  async resume(): Promise<void> {
    await this.pause()
  }

  close(options: { drainMs?: number } = {}): Promise<void> {
    return (this.#closed ??= this.#close(options.drainMs ?? 0))
  }

  async #open(): Promise<Capabilities> {
    const connection = await this.#link.open()
    if (this.#closed !== undefined) throw closed()
    this.#parts = this.#assemble(serverOf(serverProperties(connection), this.#settings.queues))
    const { server, delays } = this.#parts
    return capabilitiesOf(server, delays, this.#settings.maximumBodyBytes)
  }

  #assemble(server: Server): Parts {
    const publisher = this.#publisher
    const topology = new DeclaredTopology(server.queueType)
    const emulated = new DelayTopology(this.#rpc, server.queueType)
    const delays = server.isMillrace ? undefined : emulated
    const outbound = new Outbound({
      publisher,
      delays,
      maximumBodyBytes: this.#settings.maximumBodyBytes,
      exchangeExists: async (name) =>
        topology.hasExchange(name) ||
        this.#rpc.exists(`look for the exchange ${name}`, (channel) => channel.checkExchange(name)),
    })
    const subscriptions = new Subscriptions({
      link: this.#link,
      native: server.isMillrace,
      settlements: settlementsOver({
        publisher,
        outbound,
        delays: emulated,
        declared: (queue) => topology.queue(queue),
      }),
      isSingle: (queue) => topology.queue(queue)?.singleActiveConsumer === true,
      queueExists: (queue) =>
        this.#rpc.exists(`look for the queue ${queue}`, (channel) => channel.checkQueue(queue)),
      onQueueGone: (queue) => topology.forgetQueue(queue),
      // It goes with its last consumer: brought back, it would gather messages for nobody.
      onUnused: (queue) => topology.queue(queue)?.autoDelete === true && topology.forgetQueue(queue),
      onRefused: (error) => this.events.emit('warning', error.message),
    })
    return { server, topology, delays, outbound, subscriptions }
  }

  /** A new connection: what was declared and who consumes. */
  async #restore(connection: Connection): Promise<void> {
    const parts = this.#parts
    if (parts === undefined) return
    parts.outbound.forget()
    parts.delays?.reset()
    const rpc = new RpcChannel(connection)
    const { lost } = await parts.topology.restore(rpc, (error) => this.events.emit('warning', error.message))
    await rpc.close()
    if (lost) this.events.emit('topologyLost')
    await parts.subscriptions.restore(connection)
  }

  async #dial(): Promise<Connection> {
    const { tls, hostname, port, vhost } = this.#settings
    const library = await loadAmqplib()
    const where = `amqp${tls === undefined ? '' : 's'}://${hostname}:${port}`
    let connection: Connection
    try {
      connection = await dial(library, this.#settings)
    } catch (error) {
      throw dialFailure(error, where, vhost)
    }
    const { isMillrace } = serverOf(serverProperties(connection), this.#settings.queues)
    if (this.#parts === undefined || this.#parts.server.isMillrace === isMillrace) return connection
    await connection.close().catch(() => undefined)
    throw anotherKind(where, isMillrace)
  }

  /** The hooks of one of the two connections: the driver is down as soon as one is, and up when both are. */
  #upAndDown(onDown?: (cause: Error) => void): { onUp: () => void; onDown: (cause: Error) => void } {
    let isDown = false
    return {
      onUp: () => {
        if (!isDown) return
        isDown = false
        this.#downs -= 1
        if (this.#downs === 0) this.events.emit('up')
      },
      onDown: (cause) => {
        onDown?.(cause)
        if (this.#parts === undefined || this.#closed !== undefined || isDown) return
        isDown = true
        this.#downs += 1
        if (this.#downs === 1) this.events.emit('down', cause)
      },
    }
  }

  async #close(drainMs: number): Promise<void> {
    const subscriptions = this.#parts?.subscriptions
    await subscriptions?.cancelAll(drainMs)
    await this.#publisher.close()
    await subscriptions?.close()
    await this.#link.close()
  }

  /** @throws ClosedError */
  #unsupported(feature: string, hints: { rabbitMq: string; millrace: string }): UnsupportedError {
    const { server } = this.#assertOpen()
    if (!server.isMillrace) return unsupported(feature, hints.rabbitMq)
    return new UnsupportedError({ feature, driver: "Millrace's broker over AMQP", hint: hints.millrace })
  }

  #assertOpen(): Parts {
    if (this.#closed !== undefined || this.#parts === undefined) throw closed()
    return this.#parts
  }
}

const unknownFigures = {
  unacked: undefined,
  delayed: undefined,
  oldestMs: undefined,
  published: undefined,
  delivered: undefined,
  acked: undefined,
  retried: undefined,
  deadLettered: undefined,
  expired: undefined,
  dropped: undefined,
} as const

/** What the command line can do with a folder that no broker has open. */
function folderWay(command: string): string {
  return `look into the broker's folder while it is stopped, with 'millrace ${command} --url file:FOLDER'`
}

function unsupported(feature: string, hint: string): UnsupportedError {
  return new UnsupportedError({ feature, driver: 'RabbitMQ', hint })
}

/** What was asked of the one would mean nothing to the other: a delay, a key, a settlement. */
function anotherKind(where: string, isMillrace: boolean): MillraceError {
  const now = isMillrace ? "Millrace's broker where RabbitMQ was" : "RabbitMQ where Millrace's broker was"
  return new MillraceError('NOT_ALLOWED', `At ${where} is ${now}; connect() anew to work with it`)
}

function closed(): ClosedError {
  return new ClosedError('The connection is closed; call connect() for a new one')
}
