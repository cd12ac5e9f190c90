/** A consumer that keeps what it is given, and the few verbs that tests are written in. */
import assert from 'node:assert/strict'
import type {
  ConsumeOptions,
  Consumer,
  Delivery,
  Driver,
  Outgoing,
  PublishResult,
  QueueSpec,
  Received,
} from '../client/driver.ts'
import { bodyBytes } from '../model/message.ts'
import type { Body } from '../model/message.ts'
import type { Trial } from './trial.ts'

/** How long a test watches for what must not come. */
export const quietMs = 100

export class Inbox {
  readonly deliveries: Delivery[] = []
  readonly #trial: Trial
  #consumer: Consumer | undefined
  #taken = 0

  private constructor(trial: Trial) {
    this.#trial = trial
  }

  /** Consumes a queue; prefetch 1,000 unless told. */
  static async open(
    trial: Trial,
    driver: Driver,
    queue: string,
    options: Partial<ConsumeOptions> = {},
  ): Promise<Inbox> {
    const inbox = new Inbox(trial)
    inbox.#consumer = await driver.consume(queue, { prefetch: 1_000, ...options }, (delivery) => {
      inbox.deliveries.push(delivery)
    })
    return inbox
  }

  get consumer(): Consumer {
    assert.ok(this.#consumer)
    return this.#consumer
  }

  /** Bodies as text, of all that has come so far. */
  get texts(): string[] {
    return this.deliveries.map((delivery) => text(delivery.message))
  }

  /** The next `count` deliveries not yet taken, waiting for them. */
  async take(count: number): Promise<Delivery[]> {
    const end = this.#taken + count
    await this.#trial.eventually(
      `${count} deliveries more (${this.deliveries.length - this.#taken} came)`,
      () => this.deliveries.length >= end,
    )
    const taken = this.deliveries.slice(this.#taken, end)
    this.#taken = end
    return taken
  }

  async next(): Promise<Delivery> {
    return at(await this.take(1), 0)
  }

  /** Takes the next one, checks its text, acknowledges it. */
  async ack(expected: string): Promise<Delivery> {
    const delivery = await this.next()
    assert.equal(text(delivery.message), expected)
    assert.equal(await delivery.settle({ type: 'ack' }), true)
    return delivery
  }

  /** Nothing comes beyond what was taken. */
  async quiet(ms: number = quietMs): Promise<void> {
    await this.#trial.sleep(ms)
    const surplus = this.deliveries.slice(this.#taken).map((delivery) => text(delivery.message))
    assert.deepEqual(surplus, [], 'nothing more was to come')
  }
}

export function text(message: Received): string {
  return Buffer.from(bodyBytes(message.body)).toString('utf8')
}

/** A message to a queue through the default exchange. */
export function to(queue: string, body: Body, extra: Partial<Outgoing> = {}): Outgoing {
  return { exchange: '', routingKey: queue, properties: { deliveryMode: 2 }, body, ...extra }
}

/** A message to an exchange. */
export function via(
  exchange: string,
  routingKey: string,
  body: Body,
  extra: Partial<Outgoing> = {},
): Outgoing {
  return { exchange, routingKey, properties: { deliveryMode: 2 }, body, ...extra }
}

/** Publishes and asserts that each was stored. */
export async function store(driver: Driver, ...batch: readonly Outgoing[]): Promise<void> {
  const results = await driver.publish(batch)
  assert.deepEqual(
    results.map((result) => describeResult(result)),
    batch.map(() => 'stored'),
  )
}

/** Stores texts in a queue, in one batch. */
export async function fill(driver: Driver, queue: string, ...texts: readonly string[]): Promise<void> {
  await store(driver, ...texts.map((body) => to(queue, body)))
}

/** Publishes one message; its result. */
export async function publishOne(driver: Driver, outgoing: Outgoing): Promise<PublishResult> {
  const results = await driver.publish([outgoing])
  assert.equal(results.length, 1, 'one result per message')
  return at(results, 0)
}

/** The error with which one message was refused: as its result, or as the call's rejection. */
export async function refusal(driver: Driver, outgoing: Outgoing): Promise<Error> {
  let result: PublishResult
  try {
    result = await publishOne(driver, outgoing)
  } catch (error) {
    assert.ok(error instanceof Error && !(error instanceof assert.AssertionError), String(error))
    return error
  }
  assert.equal(result.type, 'rejected', `refused, not ${result.type}`)
  assert.ok(result.type === 'rejected')
  return result.error
}

export async function declareQueue(
  driver: Driver,
  name: string,
  spec: Partial<QueueSpec> = {},
): Promise<string> {
  await driver.declare({ queues: [{ name, ...spec }] })
  return name
}

/** Numbered texts: 'm0', 'm1', …. */
export function numbered(count: number, prefix = 'm'): string[] {
  return Array.from({ length: count }, (_, index) => `${prefix}${index}`)
}

export function at<T>(items: readonly T[], index: number): T {
  const item = items[index]
  assert.ok(item !== undefined, `there is no item ${index}`)
  return item
}

export function range(count: number): number[] {
  return Array.from({ length: count }, (_, index) => index)
}

function describeResult(result: PublishResult): string {
  return result.type === 'rejected' ? `rejected: ${result.error.message}` : result.type
}
