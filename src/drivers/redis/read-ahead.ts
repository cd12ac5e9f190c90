/**
 * What a consumer has taken and has no room for yet. Where each message is settled at once, a trip to the server for each is
 * most of what it costs: so a consumer whose messages were settled quickly takes a few more than it may hand out. When one
 * of them takes its time the others go back to their places, for whoever is free.
 *
 * What takes its process with it uses up an attempt of all that waits behind it, unhandled. So who begins anew reads nothing
 * ahead until it was quick again, and nothing waits behind what was tried before.
 */
import { Deque } from '../../std/deque.ts'
import type { RedisDelivery } from './delivery.ts'

/** In hand at once, handed out or not. Where there is room for more than that anyway, nothing is read ahead. */
const most = 16
/** Settled within so long after it was handed out, a message was quick; after so many in a row the next are expected to be. */
const quickMs = 2
const quickInARow = 16
/** So long nobody's message waits for those before it, none of which is settled; it may be twice that. */
const patienceMs = 10

export class ReadAhead {
  readonly #giveBack: (delivery: RedisDelivery) => void
  readonly #waiting = new Deque<RedisDelivery>()
  #quick = 0
  #settled = 0
  /** Something was given back since the last request was made. */
  #gaveBack = false
  /** Among what came last is some that was tried before. */
  #hasTried = false
  #timer: NodeJS.Timeout | undefined

  /** @param giveBack to its place in the queue, unhandled */
  constructor(giveBack: (delivery: RedisDelivery) => void) {
    this.#giveBack = giveBack
  }

  /** How many may be in hand at present, handed out or not, where so many may be handed out. */
  window(prefetch: number): number {
    return this.#quick < quickInARow ? prefetch : Math.max(prefetch, most)
  }

  /** Taken, and handed to nobody. */
  get waiting(): number {
    return this.#waiting.length
  }

  /** A request is made, with all that was given back. */
  asked(): void {
    this.#gaveBack = false
    this.#hasTried = false
  }

  /** What a request has brought. */
  push(delivery: RedisDelivery): void {
    this.#waiting.push(delivery)
    if (delivery.attempt === 1) return
    this.#hasTried = true
    this.#quick = 0
  }

  /**
   * Whether what waits cannot be handed out, with what came last: that belongs behind what was given back meanwhile, or some
   * would wait behind what was tried before.
   *
   * @param room how many may be handed out
   */
  mustGoBack(room: number): boolean {
    return this.#gaveBack || (this.#hasTried && this.#waiting.length > room)
  }

  /** The next one, there being room. */
  shift(): RedisDelivery | undefined {
    return this.#waiting.shift()
  }

  /** Nothing more is handed out for now: what waits must not wait long. */
  watch(): void {
    if (this.#waiting.length === 0 || this.#timer !== undefined) return
    const settled = this.#settled
    this.#timer = setTimeout(() => {
      this.#timer = undefined
      if (this.#settled === settled) this.stop()
      else this.watch()
    }, patienceMs)
  }

  /** @param ms since it was handed out; Infinity where it did not succeed */
  settled(ms: number): void {
    this.#settled += 1
    this.#quick = ms <= quickMs ? this.#quick + 1 : 0
  }

  /** Gives back what waits, and takes nothing ahead until messages are quick again. */
  stop(): void {
    this.#quick = 0
    this.#gaveBack ||= this.#waiting.length > 0
    for (let delivery = this.shift(); delivery !== undefined; delivery = this.shift())
      this.#giveBack(delivery)
  }

  /** What waits is somebody else's by now. */
  lose(): void {
    this.#quick = 0
    clearTimeout(this.#timer)
    this.#timer = undefined
    while (this.shift() !== undefined);
  }
}
