/**
 * From the port's messages to the publisher's, and from the server's verdicts to the port's results. What a message needs
 * on the server (its exchange, the levels of its delay) is seen to before it is sent, since a missing exchange would
 * close the channel under all others.
 */
import { MillraceError, UnsupportedError } from '../../model/errors.ts'
import type { Outgoing, PublishResult } from '../../client/driver.ts'
import { assertDelay } from './delays.ts'
import type { Delays, Destination } from './delays.ts'
import { heldBack, toWire } from './envelope.ts'
import type { Wire } from './envelope.ts'
import { maximumNativeDelayMs, withOrders } from './native.ts'
import type { Publisher, Verdict } from './publisher.ts'

export interface OutboundSetup {
  readonly publisher: Publisher
  /** Undefined where the server holds messages back by itself, and knows keys and duplicates too. */
  readonly delays: Delays | undefined
  readonly maximumBodyBytes: number
  /** Whether the server has the exchange. */
  readonly exchangeExists: (name: string) => Promise<boolean>
}

const stored: PublishResult = Object.freeze({ type: 'stored' })
const dropped: PublishResult = Object.freeze({ type: 'dropped' })
const unroutable: PublishResult = Object.freeze({ type: 'unroutable' })

/** A message that can be sent, or its result already. */
type Prepared = { readonly wire: Wire } | { readonly result: PublishResult }

export class Outbound {
  readonly #setup: OutboundSetup
  /** Exchanges that the server is known to have. */
  readonly #exchanges = new Map<string, Promise<boolean>>()
  /** Calls that still see to what they need: later ones must not overtake them. */
  #preparing: Promise<unknown> | undefined

  constructor(setup: OutboundSetup) {
    this.#setup = setup
  }

  async publish(batch: readonly Outgoing[], signal?: AbortSignal): Promise<readonly PublishResult[]> {
    const simple = this.#preparing === undefined ? this.#prepareSimple(batch) : undefined
    const prepared = simple ?? (await this.#inTurn(batch))
    if (prepared.every((each) => 'wire' in each)) {
      const verdicts = await this.#setup.publisher.send(
        prepared.map(({ wire }) => wire),
        signal,
      )
      return verdicts.map((verdict, index) => this.#resultOf(verdict, batch[index] as Outgoing))
    }
    return this.#publishSome(batch, prepared, signal)
  }

  /** An exchange was deleted, or the server may be another one. */
  forget(name?: string): void {
    if (name === undefined) this.#exchanges.clear()
    else this.#exchanges.delete(name)
  }

  /** All but those that have their result already. */
  async #publishSome(
    batch: readonly Outgoing[],
    prepared: readonly Prepared[],
    signal: AbortSignal | undefined,
  ): Promise<readonly PublishResult[]> {
    const wires = prepared.flatMap((each) => ('wire' in each ? [each.wire] : []))
    const verdicts = [...(await this.#setup.publisher.send(wires, signal))]
    return prepared.map((each, index) =>
      'result' in each ? each.result : this.#resultOf(verdicts.shift() as Verdict, batch[index] as Outgoing),
    )
  }

  /** Without a word with the server: undefined where one is needed. */
  #prepareSimple(batch: readonly Outgoing[]): readonly Prepared[] | undefined {
    const { delays } = this.#setup
    for (const { exchange, delayMs = 0 } of batch) {
      if (exchange !== '' || (delayMs !== 0 && delays !== undefined)) return undefined
    }
    const nowMs = Date.now()
    return batch.map((outgoing) => this.#convert(outgoing, nowMs))
  }

  #inTurn(batch: readonly Outgoing[]): Promise<readonly Prepared[]> {
    const before = this.#preparing ?? Promise.resolve()
    const preparing = before
      .catch(() => undefined)
      .then(async () => {
        const prepared: Prepared[] = []
        for (const outgoing of batch) prepared.push(await this.#prepare(outgoing))
        return prepared
      })
    this.#preparing = preparing
    preparing
      .catch(() => undefined)
      .finally(() => {
        if (this.#preparing === preparing) this.#preparing = undefined
      })
    return preparing
  }

  async #prepare(outgoing: Outgoing): Promise<Prepared> {
    const converted = this.#convert(outgoing, Date.now())
    if ('result' in converted) return converted
    const { exchange, routingKey, delayMs = 0 } = outgoing
    if (exchange !== '' && !(await this.#hasExchange(exchange))) return rejected(noExchange(exchange))
    const { delays } = this.#setup
    if (delayMs === 0 || delays === undefined) return converted
    const destination: Destination =
      exchange === '' ? { type: 'queue', name: routingKey } : { type: 'exchange', name: exchange }
    try {
      return { wire: await held(converted.wire, delays, delayMs, destination) }
    } catch (error) {
      if (!(error instanceof MillraceError)) throw error
      if (error.code !== 'NOT_FOUND' || exchange !== '') return rejected(error)
      return { result: outgoing.mandatory === true ? unroutable : dropped }
    }
  }

  #convert(outgoing: Outgoing, nowMs: number): Prepared {
    const { delays, maximumBodyBytes } = this.#setup
    try {
      if (delays !== undefined) assertSupported(outgoing, delays)
      else assertDelay(outgoing.delayMs ?? 0, maximumNativeDelayMs)
      const wire = toWire(outgoing, maximumBodyBytes, nowMs)
      return { wire: delays === undefined ? withOrders(wire, outgoing) : wire }
    } catch (error) {
      if (error instanceof MillraceError) return rejected(error)
      throw error
    }
  }

  #hasExchange(name: string): Promise<boolean> {
    let known = this.#exchanges.get(name)
    if (known === undefined) {
      known = this.#setup.exchangeExists(name)
      this.#exchanges.set(name, known)
      known.then(
        (exists) => exists || this.#exchanges.delete(name),
        () => this.#exchanges.delete(name),
      )
    }
    return known
  }

  #resultOf(verdict: Verdict, outgoing: Outgoing): PublishResult {
    switch (verdict) {
      case 'stored':
        return stored
      case 'returned':
        return outgoing.mandatory === true ? unroutable : dropped
      case 'refused':
        return { type: 'rejected', error: queueFull(outgoing.routingKey) }
      default:
        if ('duplicateOf' in verdict) return { type: 'duplicate', messageId: verdict.duplicateOf }
        if (verdict instanceof MillraceError && verdict.code === 'NOT_FOUND') {
          this.forget(outgoing.exchange)
          return { type: 'rejected', error: noExchange(outgoing.exchange) }
        }
        return { type: 'rejected', error: verdict }
    }
  }
}

/** The message as it goes through the levels of its delay. */
export async function held(
  wire: Wire,
  delays: Delays,
  delayMs: number,
  destination: Destination,
): Promise<Wire> {
  const way = await delays.prepare(delayMs, destination)
  const headers = { ...heldBack(wire), ...way.headers }
  return { ...wire, exchange: way.exchange, fields: { ...wire.fields, headers } }
}

/** @throws UnsupportedError; ValidationError INVALID_ARGUMENT */
function assertSupported({ delayMs, ttlMs, key, dedupe }: Outgoing, delays: Delays): void {
  if (dedupe !== undefined) {
    throw unsupported('deduplication', 'let the handler ignore ids it has seen, or use an engine that has it')
  }
  if (key !== undefined && key !== '') {
    throw unsupported(
      'ordering by key',
      'use a queue for each key (or group of keys) with singleActiveConsumer, or an engine that has it',
    )
  }
  if (delayMs === undefined || delayMs === 0) return
  assertDelay(delayMs, delays.maximumMs)
  if (ttlMs === undefined) return
  throw unsupported('a time to live of a delayed message', "give the queue a ttl, or leave the message's out")
}

function unsupported(feature: string, hint: string): UnsupportedError {
  return new UnsupportedError({ feature, driver: 'RabbitMQ', hint })
}

function rejected(error: Error): { result: PublishResult } {
  return { result: { type: 'rejected', error } }
}

function noExchange(name: string): MillraceError {
  return new MillraceError('NOT_FOUND', `There is no exchange ${name}; declare it first`)
}

function queueFull(routingKey: string): MillraceError {
  return new MillraceError(
    'QUEUE_FULL',
    `The server refused the message: a queue is full (routing key '${routingKey}'); consume from it, raise its ` +
      'maxLength, or send later',
  )
}
