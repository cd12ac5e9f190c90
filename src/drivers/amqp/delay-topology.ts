/**
 * The queues and exchanges that hold messages back: two of each level in use, on the server and durable, so that what is
 * delayed needs no client to go on.
 *
 * ```text
 *  publish ──▶ exchange of the message's longest level
 *
 *  exchange 'millrace.delay.4s'     ── header 'millrace-delay-4s' ──▶ queue 'millrace.delay.4s', messages expire
 *      │ else (alternate exchange)                                        │ after 4 s (dead-letter exchange)
 *      ▼                                                                  ▼
 *  exchange 'millrace.delay.2s'  ◀──────────────────────────────────────────
 *      │  … down to '1ms', and then
 *      ▼
 *  'millrace.delay.out'  ── header 'millrace-delay-exchange' ──▶ 'millrace.delay.exchanges' ── its value ──▶ the exchange
 *      │ else                                                                    │ else
 *      ▼                                                                         ▼
 *  'millrace.delay.queues' ── routing key = name ──▶ the queue alone    else ──▶ 'millrace.delay.lost'
 * ```
 *
 * The levels a message waits in are headers of its own, so its routing key stays what it was, whatever its length and
 * dots: what comes out is routed as if it were published then. What finds its queue deleted ends in a small queue of
 * the lost and is in nobody's way. Quorum queues dead-letter at least once: a server killed between two levels repeats
 * a message and loses none.
 */
import { levelMs, levelName, levelsOf, maximumDelayMs } from './delay-levels.ts'
import { delayPrefix, delayQueuePrefix } from './envelope.ts'
import type { WireTable } from './field-values.ts'
import { FreshBindings } from './delays.ts'
import type { Caller, Delays, Destination } from './delays.ts'

const prefix = delayQueuePrefix
const outExchange = `${prefix}.out`
const queuesExchange = `${prefix}.queues`
const exchangesExchange = `${prefix}.exchanges`
const lost = `${prefix}.lost`
/** Names the exchange that a message is for; absent where it is for a queue. */
const exchangeHeader = `${delayPrefix}-exchange`
/** Messages whose queue is gone are kept for a look, so many at most. */
const maximumLost = 10_000
export class DelayTopology implements Delays {
  readonly maximumMs = maximumDelayMs
  readonly #caller: Caller
  readonly #queueType: 'quorum' | 'classic'
  #ways: Promise<void> | undefined
  /** Exchanges of levels below this one are there. */
  #exchanges = 0
  readonly #queues = new Map<number, Promise<void>>()
  readonly #bound = new FreshBindings()
  #declaring: Promise<void> = Promise.resolve()

  constructor(caller: Caller, queueType: 'quorum' | 'classic') {
    this.#caller = caller
    this.#queueType = queueType
  }

  async prepare(
    delayMs: number,
    destination: Destination,
  ): Promise<{ exchange: string; headers: WireTable }> {
    const levels = levelsOf(delayMs)
    await this.#bound.ensure(destination, () => this.#bind(destination))
    await this.#ensure(levels)
    const headers: WireTable = {}
    for (const level of levels) headers[`${delayPrefix}-${levelName(level)}`] = true
    if (destination.type === 'exchange') headers[exchangeHeader] = destination.name
    return { exchange: levelExchange(levels[0] as number), headers }
  }

  forget(name: string): void {
    this.#bound.forget(name)
  }

  reset(): void {
    this.#ways = undefined
    this.#exchanges = 0
    this.#queues.clear()
    this.#bound.clear()
  }

  async #bind({ type, name }: Destination): Promise<void> {
    await this.#declareWays()
    await this.#caller.run(`hold messages back for ${name}`, async (channel) => {
      if (type === 'queue') await channel.bindQueue(name, queuesExchange, name)
      else
        await channel.bindExchange(name, exchangesExchange, '', { 'x-match': 'all', [exchangeHeader]: name })
    })
  }

  #declareWays(): Promise<void> {
    this.#ways ??= this.#caller.run('declare the ways of delayed messages', async (channel) => {
      await channel.assertExchange(lost, 'fanout')
      await channel.assertQueue(lost, {
        arguments: { 'x-queue-type': this.#queueType, 'x-max-length': maximumLost },
      })
      await channel.bindQueue(lost, lost, '')
      await channel.assertExchange(queuesExchange, 'direct', { alternateExchange: lost })
      await channel.assertExchange(exchangesExchange, 'headers', { alternateExchange: lost })
      await channel.assertExchange(outExchange, 'headers', { alternateExchange: queuesExchange })
      // A void value: the header is there, whatever it says.
      const present = { 'x-match': 'all', [exchangeHeader]: null }
      await channel.bindExchange(exchangesExchange, outExchange, '', present)
    })
    this.#ways.catch(() => (this.#ways = undefined))
    return this.#ways
  }

  async #ensure(levels: readonly number[]): Promise<void> {
    const highest = levels[0] as number
    if (highest >= this.#exchanges) {
      this.#declaring = this.#declaring.catch(() => undefined).then(() => this.#declareExchanges(highest))
      await this.#declaring
    }
    await Promise.all(levels.map((level) => this.#ensureQueue(level)))
  }

  async #declareExchanges(highest: number): Promise<void> {
    const from = this.#exchanges
    if (highest < from) return
    await this.#caller.run('declare the levels of delayed messages', async (channel) => {
      for (let level = from; level <= highest; level += 1) {
        await channel.assertExchange(levelExchange(level), 'headers', {
          alternateExchange: nextExchange(level),
        })
      }
    })
    this.#exchanges = Math.max(this.#exchanges, highest + 1)
  }

  #ensureQueue(level: number): Promise<void> {
    let done = this.#queues.get(level)
    if (done === undefined) {
      done = this.#declareQueue(level)
      this.#queues.set(level, done)
      done.catch(() => this.#queues.delete(level))
    }
    return done
  }

  #declareQueue(level: number): Promise<void> {
    const name = levelExchange(level)
    return this.#caller.run(`declare the queue ${name}`, async (channel) => {
      await channel.assertQueue(name, {
        arguments: {
          'x-queue-type': this.#queueType,
          'x-message-ttl': levelMs(level),
          'x-dead-letter-exchange': nextExchange(level),
          ...(this.#queueType === 'quorum' && {
            'x-dead-letter-strategy': 'at-least-once',
            'x-overflow': 'reject-publish',
          }),
        },
      })
      const has = { 'x-match': 'all', [`${delayPrefix}-${levelName(level)}`]: true }
      await channel.bindQueue(name, name, '', has)
    })
  }
}

function levelExchange(level: number): string {
  return `${prefix}.${levelName(level)}`
}

/** Where a message goes that a level lets pass, or that has waited there. */
function nextExchange(level: number): string {
  return level === 0 ? outExchange : levelExchange(level - 1)
}
