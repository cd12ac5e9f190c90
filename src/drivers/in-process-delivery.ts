/**
 * One delivery of an engine in this process. It is also the message it delivers: one object per message instead of two
 * (benchmark P1).
 */
import type { Broker, EngineDelivery } from '../broker/broker.ts'
import type { Body } from '../model/message.ts'
import type { Properties } from '../model/properties.ts'
import type { Delivery, Outcome, Outgoing, Received } from '../client/driver.ts'
import type { InProcessDriver } from './in-process.ts'

const no = Promise.resolve(false)

export class InProcessDelivery implements Delivery, Received {
  readonly #driver: InProcessDriver
  readonly #delivery: EngineDelivery
  #settled = false

  constructor(driver: InProcessDriver, delivery: EngineDelivery) {
    this.#driver = driver
    this.#delivery = delivery
  }

  get message(): Received {
    return this
  }

  get queue(): string {
    return this.#delivery.queue.name
  }

  get attempt(): number {
    return this.#delivery.attempt
  }

  get consumerTag(): string {
    return this.#delivery.consumerTag
  }

  get token(): string {
    return `${this.#delivery.session.connectionId}.${this.#delivery.deliveryTag}`
  }

  get lost(): AbortSignal {
    return this.#driver.lost
  }

  get exchange(): string {
    return this.#delivery.entry.message.exchange
  }

  get routingKey(): string {
    return this.#delivery.entry.message.routingKey
  }

  get properties(): Properties {
    return this.#delivery.entry.message.properties
  }

  get body(): Body {
    return this.#delivery.entry.message.body
  }

  get publishedAtMs(): number {
    return this.#delivery.entry.publishedAtMs
  }

  settle(outcome: Outcome, out?: readonly Outgoing[]): Promise<boolean> {
    const driver = this.#driver
    const session = driver.session
    if (this.#settled || session === undefined) return no
    let broker: Broker
    try {
      broker = driver.broker
    } catch (error) {
      return Promise.reject(error)
    }
    try {
      if (out !== undefined && out.length > 0) driver.publishOut(out)
    } catch (error) {
      return Promise.reject(error)
    }
    this.#settled = true
    const tag = this.#delivery.deliveryTag
    let held: boolean
    switch (outcome.type) {
      case 'ack':
        held = session.settleAck(tag)
        break
      case 'retry':
        held = session.settleRetry(tag, outcome.delayMs, broker.nowMs())
        break
      case 'release':
        held = session.settleRelease(tag, outcome.delayMs ?? 0, broker.nowMs())
        break
      case 'dead':
        held = session.settleDead(tag, outcome, broker.nowMs())
        break
    }
    driver.settledOne()
    broker.wake()
    return held ? broker.whenSettled() : no
  }

  /** The hold lasts as long as the connection: there is nothing to extend. */
  extend(): Promise<boolean> {
    return Promise.resolve(!this.#settled && this.#driver.session !== undefined)
  }
}
