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
import type { RpcChannel } from './rpc.ts'
import { levelCount, levelMs, levelName, levelsOf } from './delay-levels.ts'
import { delayPrefix } from './envelope.ts'
import type { WireTable } from './field-values.ts'
import { ValidationError } from '../../model/errors.ts'
import { maximumDelayMs } from './delay-levels.ts'

const prefix = 'millrace.delay'
const outExchange = `${prefix}.out`
const queuesExchange = `${prefix}.queues`
const exchangesExchange = `${prefix}.exchanges`
const lost = `${prefix}.lost`
/** Names the exchange that a message is for; absent where it is for a queue. */
const exchangeHeader = `${delayPrefix}-exchange`
/** Messages whose queue is gone are kept for a look, so many at most. */
const maximumLost = 10_000
/**
 * A binding is made again after so long: somebody else may have deleted its queue and declared it anew, and what is
 * held back for it would get lost.
 */
const bindingMs = 1_000

/** Where a delayed message is to go. */
export type Destination =
  { readonly type: 'queue'; readonly name: string } | { readonly type: 'exchange'; readonly name: string }

/** Whoever makes calls on the server. */
export type Caller = Pick<RpcChannel, 'run'>

export class DelayTopology {
  readonly #caller: Caller
  readonly #queueType: 'quorum' | 'classic'
  #ways: Promise<void> | undefined
  /** Exchanges of levels below this one are there. */
  #exchanges = 0
  readonly #queues = new Map<number, Promise<void>>()
  readonly #bound = new Map<string, { untilMs: number; done: Promise<void> }>()
  #declaring: Promise<void> = Promise.resolve()

  constructor(caller: Caller, queueType: 'quorum' | 'classic') {
    this.#caller = caller
    this.#queueType = queueType
  }

  /**
   * Sees to the way of a message and says where it begins and what it must carry.
   * @throws ValidationError INVALID_ARGUMENT; MillraceError NOT_FOUND where the destination is not there
   */
  async prepare(
    delayMs: number,
    destination: Destination,
  ): Promise<{ exchange: string; headers: WireTable }> {
    const levels = levelsOf(delayMs)
    await this.#bind(destination)
    await this.#ensure(levels)
    const headers: WireTable = {}
    for (const level of levels) headers[`${delayPrefix}-${levelName(level)}`] = true
    if (destination.type === 'exchange') headers[exchangeHeader] = destination.name
    return { exchange: levelExchange(levels[0] as number), headers }
  }

  /** The queue or exchange was deleted, and its binding with it. */
  forget(name: string): void {
    this.#bound.delete(`queue ${name}`)
    this.#bound.delete(`exchange ${name}`)
  }

  /** Another connection, perhaps another server: nothing is known to be there. */
  reset(): void {
    this.#ways = undefined
    this.#exchanges = 0
    this.#queues.clear()
    this.#bound.clear()
  }

  async #bind(destination: Destination): Promise<void> {
    const key = `${destination.type} ${destination.name}`
    const nowMs = performance.now()
    const known = this.#bound.get(key)
    if (known !== undefined && known.untilMs > nowMs) return known.done
    const done = this.#declareWays().then(() => this.#bindNow(destination))
    this.#bound.set(key, { untilMs: nowMs + bindingMs, done })
    done.catch(() => this.#bound.delete(key))
    return done
  }

  async #bindNow({ type, name }: Destination): Promise<void> {
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

/** @throws ValidationError INVALID_ARGUMENT */
export function assertDelay(delayMs: number): void {
  if (delayMs >= 0 && delayMs <= maximumDelayMs) return
  throw new ValidationError(
    'INVALID_ARGUMENT',
    `delayMs must be from 0 to ${maximumDelayMs} (3,106 days), not ${delayMs}`,
  )
}

/** The names that this makes on the server begin with it; nobody's queue may. */
export function isDelayName(name: string): boolean {
  return name.startsWith(`${prefix}.`)
}

function levelExchange(level: number): string {
  return `${prefix}.${levelName(level)}`
}

/** Where a message goes that a level lets pass, or that has waited there. */
function nextExchange(level: number): string {
  return level === 0 ? outExchange : levelExchange(level - 1)
}

export { levelCount }
