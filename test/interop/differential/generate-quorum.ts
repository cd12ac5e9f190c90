/**
 * Sequences about quorum queues. They know about where messages are, so that most steps find what they are about: a
 * connection that ends of an error is worth little here, since RabbitMQ takes long to declare its queues anew.
 */
import type { Dice } from './dice.ts'
import { method, publish } from './generate-messages.ts'
import { declareQuorumQueue } from './generate-quorum-queue.ts'
import type { ConnectionIndex, MethodStep, PublishStep, Step } from './step.ts'
import type { TypedProperties } from './typed-properties.ts'

/** One seed in eight is about quorum queues. */
export const quorumEvery = 8

export function isAboutQuorum(seed: number): boolean {
  return seed % quorumEvery === 0
}

/** @param wild any step of the other sequences, now and then */
export function quorumSteps(dice: Dice, wild: (index: number) => Step): Step[] {
  const steps: Step[] = []
  const scene = new Scene(dice)
  for (const name of scene.queues) steps.push(at(scene.quiet, declareQuorumQueue(dice, name)))
  if (dice.chance(0.4)) steps.push(at(scene.quiet, method({ type: 'confirm.select' })))
  else if (dice.chance(0.08)) steps.push(at(scene.quiet, method({ type: 'tx.select' })))
  const count = 8 + dice.below(22)
  for (let index = 0; index < count; index += 1) {
    steps.push(dice.chance(0.06) ? wild(index) : scene.step(index))
  }
  return steps
}

type QueueName = '@q1' | '@q2' | '@q3'

/**
 * Where a message goes back to is not the same on both, and ends a comparison: so some sequences have one message at a time, and
 * some send nothing back but with the end of a channel.
 */
type Manner = 'one message' | 'nothing returned' | 'anything'

interface Place {
  readonly connection: ConnectionIndex
  readonly channel: number
  /** Deliveries that should be outstanding there. */
  held: number
  readonly consumes: { readonly tag: string; readonly queue: QueueName; readonly noAck: boolean }[]
}

type Kind =
  | 'publish'
  | 'get'
  | 'consume'
  | 'settle'
  | 'cancel'
  | 'recover'
  | 'qos'
  | 'purge'
  | 'look'
  | 'declare'
  | 'delete'
  | 'close'
  | 'abort'
  | 'transaction'

const weights: Readonly<Record<Kind, number>> = {
  publish: 26,
  get: 16,
  consume: 8,
  settle: 34,
  cancel: 4,
  recover: 2,
  qos: 3,
  purge: 1.5,
  look: 2,
  declare: 3,
  delete: 1.5,
  close: 3,
  abort: 0.5,
  transaction: 0.3,
}

/** What is guessed of a sequence so far: it need not be true, a guess that is wrong is a step that finds nothing. */
class Scene {
  readonly #dice: Dice
  readonly queues: readonly QueueName[]
  readonly #manner: Manner
  readonly #expires: boolean
  readonly #ready: Record<QueueName, number> = { '@q1': 0, '@q2': 0, '@q3': 0 }
  readonly #places: readonly Place[] = [
    { connection: 0, channel: 1, held: 0, consumes: [] },
    { connection: 0, channel: 2, held: 0, consumes: [] },
    { connection: 1, channel: 1, held: 0, consumes: [] },
  ]
  #tags = 0

  constructor(dice: Dice) {
    this.#dice = dice
    this.queues = dice.chance(0.3) ? ['@q1', '@q2', '@q3'] : ['@q1', '@q2']
    this.#manner = dice.pick<Manner>(['one message', 'nothing returned', 'anything'])
    this.#expires = dice.chance(0.2)
  }

  /** Where setting up is done. */
  get quiet(): Place {
    return this.#places[0]!
  }

  step(index: number): Step {
    const dice = this.#dice
    const kind = dice.weighted(weights)
    const place = dice.chance(0.6) ? this.quiet : dice.pick(this.#places)
    const queue = dice.pick<QueueName>(['@q1', '@q1', '@q1', ...this.queues])
    switch (kind) {
      case 'publish':
        return this.#publish(index, place)
      case 'get':
        return this.#get(place)
      case 'consume':
        return this.#consume(place, queue)
      case 'settle':
        return this.#settle()
      case 'cancel':
        return this.#cancel(place)
      case 'recover':
        return this.#manner === 'nothing returned' ? this.#settle() : this.#recover(place)
      case 'close':
        return this.#close(place)
      case 'abort':
        return { type: 'abort', connection: place.connection }
      case 'qos':
      case 'declare':
      case 'look':
      case 'transaction':
      case 'purge':
      case 'delete':
        return at(place, this.#other(kind, queue))
    }
  }

  #publish(index: number, place: Place): Step {
    const messages = Object.values(this.#ready).reduce((sum, ready) => sum + ready, 0)
    const held = this.#places.reduce((sum, other) => sum + other.held, 0)
    if (this.#manner === 'one message' && messages + held > 0) {
      return held > 0 && this.#dice.chance(0.7) ? this.#settle() : this.#get(place)
    }
    const queue = this.#dice.pick<QueueName>(['@q1', '@q1', '@q1', '@q1', '@q2'])
    const any = publish(this.#dice, this.#expires ? 'ttl' : 'plain', index)
    const { copies = 1, ...step } = this.#dice.chance(0.8) ? withoutKnown(any) : any
    const many = this.#manner !== 'one message' && copies > 1
    this.#arrive(queue, many ? copies : 1)
    const target = this.#dice.chance(0.96) ? { exchange: '', routingKey: queue } : {}
    return at(place, { ...step, publish: { ...step.publish, ...target }, ...(many && { copies }) })
  }

  #arrive(queue: QueueName, count: number): void {
    const taker = this.#places.find(({ consumes }) => consumes.some((consume) => consume.queue === queue))
    if (taker === undefined) this.#ready[queue] += count
    else if (!taker.consumes.some(({ noAck }) => noAck)) taker.held += count
  }

  #get(place: Place): Step {
    const full = this.queues.filter((name) => this.#ready[name] > 0)
    if (full.length === 0 && this.#dice.chance(0.8)) return this.#idle()
    const queue = full.length > 0 && this.#dice.chance(0.9) ? this.#dice.pick(full) : '@q1'
    const noAck = this.#dice.chance(0.15)
    if (this.#ready[queue] > 0) {
      this.#ready[queue] -= 1
      if (!noAck) place.held += 1
    }
    return at(place, method({ type: 'basic.get', queue, noAck }))
  }

  #consume(place: Place, queue: QueueName): Step {
    const dice = this.#dice
    // RabbitMQ fails where a tag is used again while what came under it is unsettled: mostly each is used once.
    const tag = dice.chance(0.03) ? 'c1' : `c${(this.#tags += 1)}`
    const noAck = dice.chance(0.15)
    place.consumes.push({ tag, queue, noAck })
    if (!noAck) place.held += this.#ready[queue]
    this.#ready[queue] = 0
    const consume = method({
      type: 'basic.consume',
      queue,
      consumerTag: dice.chance(0.06) ? '' : tag,
      noAck,
      exclusive: dice.chance(0.02),
      nowait: dice.chance(0.04),
    })
    return at(place, dice.chance(0.15) ? { ...consume, table: { 'x-priority': dice.below(3) } } : consume)
  }

  #settle(): Step {
    const dice = this.#dice
    const holders = this.#places.filter(({ held }) => held > 0)
    if (holders.length === 0 && dice.chance(0.97)) return this.#get(this.quiet)
    const place = dice.pick(holders.length > 0 ? holders : this.#places)
    const multiple = dice.chance(0.2)
    const settled = multiple ? Math.max(1, dice.below(place.held + 1)) : 1
    place.held = Math.max(0, place.held - settled)
    const kind = dice.weighted({ ack: 4, nack: 4, reject: 4 })
    const deliveryTag = 0
    const requeue = this.#manner !== 'nothing returned' && dice.chance(0.65)
    if (kind !== 'ack') this.#arrive(requeue ? '@q1' : '@q2', settled)
    const which = { nth: dice.below(4), ...(dice.chance(0.95) && { ifHeld: true as const }) }
    if (kind === 'ack')
      return { ...at(place, method({ type: 'basic.ack', deliveryTag, multiple })), ...which }
    if (kind === 'nack')
      return { ...at(place, method({ type: 'basic.nack', deliveryTag, multiple, requeue })), ...which }
    return { ...at(place, method({ type: 'basic.reject', deliveryTag, requeue })), ...which }
  }

  /** Nothing is anywhere: something is published, whatever the manner. */
  #idle(): Step {
    this.#arrive('@q1', 1)
    const properties = this.#dice.chance(0.3) ? { priority: this.#dice.below(10), deliveryMode: 1 } : {}
    return at(this.quiet, {
      type: 'publish' as const,
      publish: { exchange: '', routingKey: '@q1' },
      properties,
      body: 'idle',
    })
  }

  #cancel(place: Place): Step {
    const consumed = place.consumes.pop()
    const tag = consumed === undefined || this.#dice.chance(0.1) ? 'c99' : consumed.tag
    return at(place, method({ type: 'basic.cancel', consumerTag: tag, nowait: this.#dice.chance(0.05) }))
  }

  #recover(place: Place): Step {
    const type = this.#dice.chance(0.3) ? 'basic.recover-async' : 'basic.recover'
    if (place.consumes.length === 0) {
      this.#ready['@q1'] += place.held
      place.held = 0
    }
    return at(place, method({ type, requeue: true }))
  }

  #close(place: Place): Step {
    place.consumes.length = 0
    this.#ready['@q1'] += place.held
    place.held = 0
    return at(place, method({ type: 'channel.close', replyCode: 200, replyText: 'bye' }))
  }

  #other(
    kind: 'qos' | 'declare' | 'look' | 'transaction' | 'purge' | 'delete',
    queue: QueueName,
  ): Omit<MethodStep, 'connection' | 'channel'> {
    const dice = this.#dice
    if (kind === 'qos') {
      const prefetchCount = dice.pick([0, 1, 1, 2, 3])
      return method({ type: 'basic.qos', prefetchCount, global: dice.chance(0.06) })
    }
    if (kind === 'declare') return declareQuorumQueue(dice, queue)
    if (kind === 'look') return method({ type: 'queue.declare', queue, passive: true })
    if (kind === 'transaction') return method({ type: dice.chance(0.7) ? 'tx.commit' : 'tx.rollback' })
    this.#ready[queue] = 0
    if (kind === 'purge') return method({ type: 'queue.purge', queue })
    return method({ type: 'queue.delete', queue, ifUnused: dice.chance(0.06), ifEmpty: dice.chance(0.06) })
  }
}

/** Without headers of which it is known that their dead letters differ. */
function withoutKnown<T extends { properties: TypedProperties }>(step: T): T {
  const { headers, ...properties } = step.properties
  if (headers === undefined) return step
  const { BCC: _, 'x-death': _deaths, ...kept } = headers
  return { ...step, properties: { ...properties, headers: kept } }
}

function at<
  T extends Omit<MethodStep, 'connection' | 'channel'> | Omit<PublishStep, 'connection' | 'channel'>,
>(place: Place, what: T): T & { connection: ConnectionIndex; channel: number } {
  return { ...what, connection: place.connection, channel: place.channel }
}
