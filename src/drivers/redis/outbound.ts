/** From the port's messages to queues and contents, and from what became of them to the port's results. */
import { MillraceError, ValidationError } from '../../model/errors.ts'
import { checkEncodable } from '../../model/field-table.ts'
import { bodyLength } from '../../model/message.ts'
import type { Outgoing, PublishResult } from '../../client/driver.ts'
import { maximumDelayMs, maximumWindowMs } from './capabilities.ts'
import { encodeEnvelope, encodeOptions } from './envelope.ts'
import { Packer } from './packer.ts'
import type { Outcome, Publisher } from './publisher.ts'
import type { RouteTable, Routes } from './routes.ts'

const stored: PublishResult = Object.freeze({ type: 'stored' })
const dropped: PublishResult = Object.freeze({ type: 'dropped' })
const unroutable: PublishResult = Object.freeze({ type: 'unroutable' })

export interface OutboundSetup {
  readonly publisher: Publisher
  readonly routes: Routes
  readonly maximumBodyBytes: number
}

/** What goes to one queue of a batch. */
interface Share {
  readonly packer: Packer
  /** Places in the batch. */
  readonly indexes: number[]
}

export class Outbound {
  readonly #setup: OutboundSetup

  constructor(setup: OutboundSetup) {
    this.#setup = setup
  }

  async publish(batch: readonly Outgoing[]): Promise<readonly PublishResult[]> {
    const viaExchanges = batch.some(({ exchange }) => exchange !== '')
    const routes = viaExchanges ? await this.#setup.routes.current() : undefined
    const results = batch.map((): PublishResult | undefined => undefined)
    const shares = new Map<string, Share>()
    for (let index = 0; index < batch.length; index++) {
      try {
        this.#share(shares, batch[index] as Outgoing, index, routes)
      } catch (error) {
        if (!(error instanceof MillraceError)) throw error
        results[index] = { type: 'rejected', error }
      }
    }
    await Promise.all([...shares].map(([queue, share]) => this.#send(queue, share, batch, results)))
    for (let index = 0; index < batch.length; index++) results[index] ??= nowhere(batch[index] as Outgoing)
    return results as readonly PublishResult[]
  }

  async #send(
    queue: string,
    { packer, indexes }: Share,
    batch: readonly Outgoing[],
    results: (PublishResult | undefined)[],
  ): Promise<void> {
    const outcomes = await this.#setup.publisher.send(queue, packer.packs())
    for (let offset = 0; offset < indexes.length; offset++) {
      const index = indexes[offset] as number
      const result = resultOf(outcomes[offset] as Outcome, batch[index] as Outgoing)
      results[index] = better(results[index], result)
    }
  }

  /** Adds the message to the share of each queue it goes to. */
  #share(
    shares: Map<string, Share>,
    outgoing: Outgoing,
    index: number,
    routes: RouteTable | undefined,
  ): void {
    this.#check(outgoing)
    const { exchange, routingKey } = outgoing
    if (exchange === '') return add(shares, routingKey, outgoing, index)
    const queues = routes?.route(exchange, routingKey, outgoing)
    if (queues === undefined) {
      throw new MillraceError(
        'NOT_FOUND',
        `There is no exchange ${exchange}; declare it before publishing to it`,
      )
    }
    for (const queue of queues) add(shares, queue, outgoing, index)
  }

  #check(outgoing: Outgoing): void {
    assertDelay(outgoing.delayMs ?? 0)
    // JSON would drop a function, and run into a circle.
    if (outgoing.properties.headers !== undefined) checkEncodable(outgoing.properties.headers)
    const { maximumBodyBytes } = this.#setup
    const bytes = bodyLength(outgoing.body)
    if (bytes > maximumBodyBytes) {
      throw new ValidationError(
        'MESSAGE_TOO_LARGE',
        `The message's body has ${bytes} bytes and the limit is ${maximumBodyBytes}; store it elsewhere and send its address`,
      )
    }
    if (outgoing.dedupe !== undefined && !(outgoing.dedupe.windowMs <= maximumWindowMs)) {
      throw new ValidationError(
        'INVALID_ARGUMENT',
        `dedupe: the window must be from 0 to ${maximumWindowMs} ms, not ${outgoing.dedupe.windowMs}`,
      )
    }
  }
}

export function assertDelay(delayMs: number): void {
  if (delayMs >= 0 && delayMs <= maximumDelayMs) return
  throw new ValidationError(
    'INVALID_ARGUMENT',
    `delayMs must be from 0 to ${maximumDelayMs} (3,650 days), not ${delayMs}`,
  )
}

function add(shares: Map<string, Share>, queue: string, outgoing: Outgoing, index: number): void {
  const options = encodeOptions(outgoing)
  const envelope = encodeEnvelope(queue, outgoing)
  let share = shares.get(queue)
  if (share === undefined) {
    share = { packer: new Packer(), indexes: [] }
    shares.set(queue, share)
  }
  share.packer.add(options, envelope, outgoing.body)
  share.indexes.push(index)
}

function resultOf(outcome: Outcome, outgoing: Outgoing): PublishResult | undefined {
  switch (outcome.type) {
    case 'stored':
      return stored
    case 'duplicate':
      return outcome
    case 'missing':
      return undefined
    case 'full':
      return { type: 'rejected', error: queueFull(outgoing) }
    case 'failed':
      return { type: 'rejected', error: outcome.error }
  }
}

/** Of what became of it in two queues: a failure before all, and stored in one is stored. */
function better(a: PublishResult | undefined, b: PublishResult | undefined): PublishResult | undefined {
  if (a === undefined || b === undefined) return a ?? b
  const rank = (result: PublishResult): number => ['rejected', 'stored', 'duplicate'].indexOf(result.type)
  return rank(a) <= rank(b) ? a : b
}

function nowhere(outgoing: Outgoing): PublishResult {
  return outgoing.mandatory === true ? unroutable : dropped
}

function queueFull(outgoing: Outgoing): MillraceError {
  return new MillraceError(
    'QUEUE_FULL',
    `The queue is full (routing key '${outgoing.routingKey}'); consume from it, raise its maxLength, or send later`,
  )
}
