/** One delivery: an entry that a consumer holds. It is settled with the consumer's next request. */
import type { Delivery, Outcome, Outgoing, Received } from '../../client/driver.ts'
import type { Consumer } from './consumer.ts'
import { StoredMessage } from './envelope.ts'
import type { Reply } from './node-redis.ts'

/** Words of the reply of `work` before the first delivery, and of each. */
const replyHead = 5
const replyPart = 3

const no = Promise.resolve(false)

export class RedisDelivery implements Delivery {
  readonly #consumer: Consumer
  /** The fencing token of the whole consumer, at the time. */
  readonly holder: string
  readonly entry: string
  readonly attempt: number
  /** Of `performance.now()`. */
  handedOutMs = 0
  readonly #record: Buffer
  #message: StoredMessage | undefined
  #lost: AbortController | undefined
  #lossCause: Error | undefined
  #settled = false

  constructor(consumer: Consumer, setup: { holder: string; entry: string; attempt: number; record: Buffer }) {
    this.#consumer = consumer
    this.holder = setup.holder
    this.entry = setup.entry
    this.attempt = setup.attempt
    this.#record = setup.record
  }

  get message(): Received {
    return (this.#message ??= new StoredMessage(this.queue, this.#record))
  }

  get queue(): string {
    return this.#consumer.queue
  }

  get token(): string {
    return `${this.holder}/${this.entry}`
  }

  /** Made when somebody asks: most handlers never do. */
  get lost(): AbortSignal {
    if (this.#lost === undefined) {
      this.#lost = new AbortController()
      if (this.#lossCause !== undefined) this.#lost.abort(this.#lossCause)
    }
    return this.#lost.signal
  }

  settle(outcome: Outcome, out?: readonly Outgoing[]): Promise<boolean> {
    if (this.#settled || this.#lossCause !== undefined) return no
    this.#settled = true
    if (out === undefined && outcome.type === 'ack') return this.#consumer.acknowledge(this)
    return this.#settle(outcome, out)
  }

  extend(ms: number): Promise<boolean> {
    if (this.#settled || this.#lossCause !== undefined) return no
    return this.#consumer.extend(this, ms)
  }

  /** The lease is gone: somebody else may have it. */
  lose(cause: Error): void {
    if (this.#settled || this.#lossCause !== undefined) return
    this.#lossCause = cause
    this.#lost?.abort(cause)
  }

  async #settle(outcome: Outcome, out: readonly Outgoing[] | undefined): Promise<boolean> {
    try {
      return await this.#consumer.settle(this, outcome, out)
    } catch (error) {
      // Nothing was settled: it may be tried again.
      this.#settled = false
      throw error
    }
  }
}

/** What a reply of `work` brings: entry, attempts used up, and record of each. */
export function deliveriesOf(consumer: Consumer, holder: string, reply: readonly Reply[]): RedisDelivery[] {
  const deliveries: RedisDelivery[] = []
  for (let index = replyHead; index < reply.length; index += replyPart) {
    const entry = String(reply[index])
    const attempt = Number(reply[index + 1]) + 1
    deliveries.push(
      new RedisDelivery(consumer, { holder, entry, attempt, record: reply[index + 2] as Buffer }),
    )
  }
  return deliveries
}
