/**
 * A virtual host: a name space of exchanges and queues, and the way of a message through it.
 *
 * Routing is a walk over one set that grows while it is walked: exchanges found are routed through in turn, each once,
 * so cycles of exchanges end; queues found are the result.
 */
import { assert } from '../std/assert.ts'
import { emptyFieldTable } from '../model/field-value.ts'
import type { Message } from '../model/message.ts'
import type { BindingFacts, RoutingKind } from '../model/record.ts'
import { RouteSet } from '../routing/route-set.ts'
import { Exchange } from './exchange.ts'
import { delayOf } from './held-entry.ts'
import type { Kernel } from './kernel.ts'
import { checkPublish, publish } from './publish.ts'
import type { PublishExtras, PublishOutcome } from './publish.ts'
import { Queue } from './queue.ts'
import { notFound } from './refusals.ts'

/** The exchanges that every virtual host has (https://www.rabbitmq.com/docs/exchanges). */
const predeclared: readonly (readonly [name: string, kind: RoutingKind, internal: boolean])[] = [
  ['', 'direct', false],
  ['amq.direct', 'direct', false],
  ['amq.fanout', 'fanout', false],
  ['amq.topic', 'topic', false],
  ['amq.headers', 'headers', false],
  ['amq.match', 'headers', false],
  ['amq.rabbitmq.trace', 'topic', true],
]

export class VirtualHost {
  readonly name: string
  readonly exchanges: Map<string, Exchange>
  readonly queues: Map<string, Queue>
  readonly defaultExchange: Exchange
  readonly #kernel: Kernel
  readonly #routes: RouteSet<Queue | Exchange>
  /** Finds out whether an exchange matches anything, where the route cannot tell. */
  readonly #probe: RouteSet<Queue | Exchange>
  /** The answer of `route`, used again for the next message. */
  readonly #targets: Queue[]

  constructor(kernel: Kernel, name: string) {
    this.name = name
    this.exchanges = new Map()
    this.queues = new Map()
    this.#kernel = kernel
    this.#routes = new RouteSet()
    this.#probe = new RouteSet()
    this.#targets = []
    for (const [exchangeName, kind, internal] of predeclared) {
      const exchange = new Exchange(kernel, this, {
        name: exchangeName,
        kind,
        durable: true,
        autoDelete: false,
        internal,
        arguments: emptyFieldTable,
        settings: { alternateExchange: undefined, routing: kind },
      })
      this.exchanges.set(exchangeName, exchange)
    }
    this.defaultExchange = this.exchange('')
  }

  /** Throws NOT_FOUND. */
  exchange(name: string): Exchange {
    const exchange = this.exchanges.get(name)
    if (exchange === undefined) throw notFound('exchange', { name, vhost: this.name })
    return exchange
  }

  /** Throws NOT_FOUND. */
  queue(name: string): Queue {
    const queue = this.queues.get(name)
    if (queue === undefined) throw notFound('queue', { name, vhost: this.name })
    return queue
  }

  /**
   * Publishes for nobody in particular: without `basic.return`.
   * Throws NOT_FOUND, ACCESS_REFUSED (internal exchange), PRECONDITION_FAILED (CC, BCC), INVALID_ARGUMENT.
   */
  publish(message: Message, extras: PublishExtras, nowMs: number): PublishOutcome {
    this.#kernel.enter()
    const exchange = message.exchange === '' ? this.defaultExchange : this.exchange(message.exchange)
    checkPublish(this.#kernel, exchange, message, extras)
    return publish(this.#kernel, exchange, message, extras, nowMs)
  }

  /**
   * The queues that a message published to the exchange goes to, each once; the answer is valid until the next call. Take a
   * copy before anything is dead-lettered: that is such a call.
   * @param keys its routing key and those of CC and BCC; undefined for the message's own alone
   */
  route(exchange: Exchange, message: Message, keys: readonly string[] | undefined): readonly Queue[] {
    const routes = this.#routes
    const targets = this.#targets
    targets.length = 0
    routes.begin()
    routes.add(exchange)
    for (let index = 0; index < routes.size; index += 1) {
      const destination = routes.at(index)
      if (destination instanceof Exchange) this.#through(destination, message, keys)
      else targets.push(destination)
    }
    return targets
  }

  /** Lets go of what routing remembers: after a queue or exchange was deleted. */
  forgetRoutes(): void {
    this.#targets.length = 0
    this.#routes.begin()
    this.#routes.release()
    this.#probe.begin()
    this.#probe.release()
  }

  /** Every binding, the implicit ones of the default exchange first. */
  *bindings(): IterableIterator<BindingFacts> {
    for (const queue of this.queues.values()) {
      yield {
        vhost: this.name,
        source: '',
        destination: queue.name,
        destinationType: 'queue',
        routingKey: queue.name,
        arguments: emptyFieldTable,
      }
    }
    for (const exchange of this.exchanges.values()) yield* bindingsOf(exchange)
  }

  invariants(): void {
    for (const [name, exchange] of this.exchanges) {
      assert(exchange.name === name && exchange.vhost === this, 'an exchange is found by its name')
      exchange.router.invariants()
      exchange.holding?.invariants()
      assert((exchange.holding?.readyMessages ?? 0) === 0, 'what is held back for an exchange is never ready')
      for (const binding of exchange.router.bindings()) {
        const destination = binding.destination
        assert(destination.sources.has(exchange), 'a destination knows the exchanges bound to it')
        const found =
          destination instanceof Exchange
            ? this.exchanges.get(destination.name)
            : this.queues.get(destination.name)
        assert(found === destination, 'a binding leads to what exists')
      }
    }
    for (const [name, queue] of this.queues) {
      assert(queue.name === name && queue.vhost === this && !queue.deleted, 'a queue is found by its name')
      for (const source of queue.sources) {
        assert(this.exchanges.get(source.name) === source, 'a source of a queue exists')
        assert(source.router.bindingsOf(queue).length > 0, 'a source of a queue is bound to it')
      }
    }
  }

  #through(exchange: Exchange, message: Message, keys: readonly string[] | undefined): void {
    const routes = this.#routes
    if (exchange.holding !== undefined && delayOf(message) > 0) {
      routes.add(exchange.holding)
      return
    }
    const before = routes.size
    this.#match(exchange, message, keys, routes)
    if (routes.size > before || exchange.alternate === undefined) return
    // What matched may have been in the route before: the exchange itself, where it is bound to itself.
    const mayHold = before > 1 || exchange.sources.has(exchange)
    if (mayHold && this.#matchesAnything(exchange, message, keys)) return
    const alternate = this.exchanges.get(exchange.alternate)
    // The default exchange has no bindings of its own to find queues by; RabbitMQ drops the message there.
    if (alternate !== undefined && !alternate.isDefault) routes.add(alternate)
  }

  #match(
    exchange: Exchange,
    message: Message,
    keys: readonly string[] | undefined,
    routes: RouteSet<Queue | Exchange>,
  ): void {
    // Of several keys a hash is made of the first, so that the message goes to one destination.
    if (keys === undefined || exchange.router.kind === 'x-consistent-hash') {
      this.#matchKey(exchange, message.routingKey, message, routes)
      return
    }
    for (let index = 0; index < keys.length; index += 1) {
      this.#matchKey(exchange, keys[index]!, message, routes)
    }
  }

  #matchKey(exchange: Exchange, key: string, message: Message, routes: RouteSet<Queue | Exchange>): void {
    if (exchange.isDefault) {
      const queue = this.queues.get(key)
      if (queue !== undefined) routes.add(queue)
    } else {
      exchange.router.route(key, message, routes)
    }
  }

  /**
   * Whether an exchange that added nothing to the route has a match all the same: one that was in the route before. The
   * probe overwrites the marks by which the route knows what it holds, so the route is made again.
   */
  #matchesAnything(exchange: Exchange, message: Message, keys: readonly string[] | undefined): boolean {
    const routes = this.#routes
    const held: (Queue | Exchange)[] = []
    for (let index = 0; index < routes.size; index += 1) held.push(routes.at(index))
    this.#probe.begin()
    this.#match(exchange, message, keys, this.#probe)
    routes.begin()
    for (const destination of held) routes.add(destination)
    return this.#probe.size > 0
  }
}

/** The bindings of an exchange, as facts. */
export function* bindingsOf(exchange: Exchange): IterableIterator<BindingFacts> {
  for (const binding of exchange.router.bindings()) {
    yield {
      vhost: exchange.vhost.name,
      source: exchange.name,
      destination: binding.destination.name,
      destinationType: binding.destination instanceof Queue ? 'queue' : 'exchange',
      routingKey: binding.routingKey,
      arguments: binding.arguments,
    }
  }
}
