/**
 * What clients and operators of the simulated process do: they publish, take, settle, move, pause and purge, as drawn, and
 * tell the oracle what they asked for and what was answered.
 */
import type { Consumer, Delivery, Driver, Outgoing } from '../../src/client/driver.ts'
import type { Random } from '../std/random.ts'
import type { Copy, Oracle } from './oracle.ts'
import type { Turns } from './turns.ts'

export const families = ['plain', 'levels', 'copy.a', 'copy.b'] as const
const maxPriority = 3

/** The exchange of type x-delayed-message. */
export const later = 'later'

interface Held {
  readonly delivery: Delivery
  readonly copy: Copy
  readonly dead: boolean
}

export class Traffic {
  readonly #random: Random
  readonly #oracle: Oracle
  readonly #turns: Turns
  #driver: Driver | undefined
  #held: Held[] = []
  #consumers: Consumer[] = []
  /** Counts the lives of the process: an answer to a call of an earlier life never comes. */
  #life = 0
  #messages = 0
  #draining = false

  constructor(world: { random: Random; oracle: Oracle; turns: Turns }) {
    this.#random = world.random
    this.#oracle = world.oracle
    this.#turns = world.turns
  }

  /** The process is there (again). */
  async begin(driver: Driver): Promise<void> {
    this.#driver = driver
    await this.#declare(driver)
    for (const family of families) await this.consume(family)
  }

  /** The process is gone, and all that was in its hands. */
  end(why: string): void {
    this.#log(why)
    this.#life += 1
    this.#held = []
    this.#consumers = []
    this.#oracle.crashed()
  }

  /** From now on everything is taken and acknowledged. */
  drain(): void {
    this.#draining = true
    for (const { delivery, copy } of this.#held.splice(0)) {
      copy.drained += 1
      copy.held = false
      void delivery.settle({ type: 'ack' })
    }
  }

  async consume(queue: string): Promise<void> {
    const life = this.#life
    const consumer = await this.#live.consume(queue, { prefetch: 1 + this.#below(12) }, (delivery) => {
      if (life === this.#life) this.#delivered(delivery)
    })
    if (life === this.#life) this.#consumers.push(consumer)
  }

  publish(): void {
    const batch: Outgoing[] = []
    const copies: Copy[] = []
    const count = 1 + this.#below(4)
    for (let index = 0; index < count; index++) this.#addMessage(batch, copies)
    this.#promise(this.#live.publish(batch), (results) => {
      for (const result of results)
        if (result.type !== 'stored') this.#oracle.broken.push(`publish: ${result.type}`)
      for (const copy of copies) {
        this.#log('stored', copy.family, copy.id)
        this.#oracle.stored(copy)
      }
    })
  }

  /** Of what is in the handlers' hands. */
  settleOne(): void {
    if (this.#held.length === 0) return
    const [held] = this.#held.splice(this.#below(this.#held.length), 1) as [Held]
    const { delivery, copy, dead } = held
    copy.held = false
    const draw = this.#random.next()
    this.#log(
      'settle',
      delivery.queue,
      copy.id,
      draw < 0.6 ? 'ack' : draw < 0.8 ? 'retry' : draw < 0.9 ? 'release' : 'dead',
    )
    if (draw < 0.6) {
      copy.end = 'asked'
      this.#promise(delivery.settle({ type: 'ack' }), (still) => {
        if (still) copy.end = 'durable'
      })
    } else if (draw < 0.8) {
      const delayMs = this.#below(60)
      const dueAtMs = this.#now() + delayMs
      copy.dueAtMs = dueAtMs
      const { attempt } = delivery
      const { deaths } = copy
      this.#promise(delivery.settle({ type: 'retry', delayMs }), () => {
        copy.durableDueAtMs = Math.max(copy.durableDueAtMs, dueAtMs)
        if (!dead && copy.deaths === deaths) copy.attemptFloor = Math.max(copy.attemptFloor, attempt + 1)
      })
    } else if (draw < 0.9) {
      const delayMs = this.#random.next() < 0.5 ? 0 : this.#below(60)
      const dueAtMs = delayMs > 0 ? this.#now() + delayMs : 0
      copy.dueAtMs = Math.max(copy.dueAtMs, dueAtMs)
      this.#promise(delivery.settle({ type: 'release', delayMs }), () => {
        copy.durableDueAtMs = Math.max(copy.durableDueAtMs, dueAtMs)
      })
    } else {
      // A dead letter of a dead-letter queue has nowhere to go: it is dropped.
      if (dead) copy.end = 'asked'
      // If it comes back, then by a move, which begins its attempts anew.
      copy.attemptFloor = 1
      copy.deaths += 1
      this.#promise(delivery.settle({ type: 'dead', reason: 'drawn' }), () => undefined)
    }
  }

  /** What an operator does. */
  operate(): void {
    const driver = this.#live
    const family = families[this.#below(families.length)] as string
    const draw = this.#random.next()
    this.#log(
      'operate',
      family,
      draw < 0.3 ? 'move' : draw < 0.5 ? 'pause' : draw < 0.8 ? 'resume' : draw < 0.9 ? 'prefetch' : 'purge',
    )
    if (draw < 0.3) this.#promise(driver.move(`${family}.dead`, family), () => undefined)
    else if (draw < 0.5) this.#promise(driver.pause(family), () => undefined)
    else if (draw < 0.8) for (const name of families) this.#promise(driver.resume(name), () => undefined)
    else if (draw < 0.9)
      this.#consumers[this.#below(this.#consumers.length)]?.setPrefetch(1 + this.#below(20))
    else this.#purge(driver, family)
  }

  async #declare(driver: Driver): Promise<void> {
    await driver.declare({
      exchanges: [{ name: 'events', kind: 'fanout' }],
      queues: families.flatMap((name) => [
        { name: `${name}.dead` },
        {
          name,
          deadLetter: { exchange: '', routingKey: `${name}.dead` },
          ...(name === 'levels' && { maxPriority }),
        },
      ]),
      bindings: [
        { source: 'events', destination: 'copy.a', routingKey: '' },
        { source: 'events', destination: 'copy.b', routingKey: '' },
      ],
    })
  }

  #addMessage(batch: Outgoing[], copies: Copy[]): void {
    const id = `m${(this.#messages += 1)}`
    const draw = this.#random.next()
    const delayMs = draw < 0.3 ? 1 + this.#below(200) : 0
    const key = draw > 0.7 ? `k${this.#below(3)}` : ''
    const target = this.#random.next()
    const [exchange, routingKey, into] =
      target < 0.5
        ? ['', 'plain', ['plain']]
        : target < 0.75
          ? ['', 'levels', ['levels']]
          : [this.#below(2) === 0 ? 'events' : later, '', ['copy.a', 'copy.b']]
    const priority = this.#below(5)
    const heldMs = exchange === later && this.#below(4) > 0 ? 1 + this.#below(100) : 0
    const dueAtMs = delayMs + heldMs === 0 ? 0 : this.#now() + delayMs + heldMs
    for (const family of into) {
      const lane = family === 'levels' ? Math.min(priority, maxPriority) : 0
      copies.push(this.#oracle.published(family, id, { dueAtMs, key, lane }))
    }
    batch.push({
      exchange: exchange,
      routingKey: routingKey,
      properties: {
        messageId: id,
        deliveryMode: 2,
        priority,
        ...(heldMs > 0 && { headers: { 'x-delay': heldMs } }),
      },
      body: id.repeat(1 + this.#below(20)),
      ...(delayMs > 0 && { delayMs }),
      ...(key !== '' && { key }),
    })
  }

  #delivered(delivery: Delivery): void {
    const dead = delivery.queue.endsWith('.dead')
    const family = dead ? delivery.queue.slice(0, -'.dead'.length) : delivery.queue
    const id = delivery.message.properties.messageId ?? ''
    const copy = this.#oracle.delivered(family, id, { attempt: delivery.attempt, nowMs: this.#now(), dead })
    this.#log('delivered', delivery.queue, id, 'attempt', delivery.attempt)
    if (copy === undefined) return
    if (!String(delivery.message.body).startsWith(id))
      this.#oracle.broken.push(`${family}/${id} has another's body`)
    if (this.#draining) {
      copy.drained += 1
      copy.held = false
      void delivery.settle({ type: 'ack' })
    } else this.#held.push({ delivery, copy, dead })
  }

  #purge(driver: Driver, family: string): void {
    const gone = this.#oracle.unheld(family).filter((copy) => copy.end === 'no')
    // A purge takes what is in the queue, and not what is dead; which of the two holds a copy, the oracle cannot tell.
    for (const copy of gone) copy.end = 'asked'
    this.#promise(driver.purge(family, 'all'), () => undefined)
  }

  /** An answer counts only in the life in which it was asked for; a refusal promises nothing. */
  #promise<T>(answer: Promise<T>, kept: (value: T) => void): void {
    const life = this.#life
    answer.then(
      (value) => {
        if (life === this.#life) kept(value)
      },
      () => undefined,
    )
  }

  get #live(): Driver {
    return this.#driver as Driver
  }

  #log(...what: unknown[]): void {
    if (process.env['SIM_LOG'] !== undefined) console.log(this.#now(), ...what)
  }

  #now(): number {
    return this.#turns.nowMs()
  }

  #below(limit: number): number {
    return this.#random.below(limit)
  }
}
