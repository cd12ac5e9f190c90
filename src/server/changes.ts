/** What the frames of one chunk have changed, told to the broker once when all of them were handled. */
import type { Broker } from '../broker/broker.ts'

export class Changes {
  readonly #broker: Broker
  #changed: boolean
  #published: boolean

  constructor(broker: Broker) {
    this.#broker = broker
    this.#changed = false
    this.#published = false
  }

  /** Something may be delivered now. */
  changed(): void {
    this.#changed = true
  }

  published(): void {
    this.#changed = true
    this.#published = true
  }

  /** Delivers what the frames so far have made ready: in RabbitMQ that does not wait for the end of the chunk. */
  deliver(): void {
    if (this.#changed) this.#broker.deliver()
  }

  /** Tells the broker. True when whoever published must wait now. */
  tell(): boolean {
    const published = this.#published
    this.#published = false
    if (published) this.#broker.review()
    if (this.#changed) {
      this.#changed = false
      this.#broker.wake()
    }
    return published && this.#broker.gate.shut
  }
}
