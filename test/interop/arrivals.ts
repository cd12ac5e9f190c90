/** What came to a raw client, as plain objects in the order it came, and who waits for more. */
import type { MethodName, MethodOf, Properties } from '../../src/wire/index.ts'

/** A method that came, with its content where it has one. */
export type Received<Name extends MethodName = MethodName> = (Name extends MethodName
  ? MethodOf<Name>
  : never) & {
  readonly channel: number
  readonly properties?: Properties
  readonly propertyBytes?: Buffer
  readonly body?: Buffer
}

/** The end of the socket, which is told on every channel. */
export interface SocketClosed {
  readonly type: 'socket closed'
  readonly channel: 0
  readonly error?: string
}

export type Arrival = Received | SocketClosed

interface Waiter {
  readonly matches: (arrival: Arrival) => boolean
  readonly resolve: (arrival: Arrival) => void
}

export class Arrivals {
  /** All that ever came. */
  readonly all: Arrival[] = []
  /** What nobody took yet. */
  readonly #rest: Arrival[] = []
  readonly #waiters = new Set<Waiter>()
  readonly #timeoutMs: number

  constructor(timeoutMs: number) {
    this.#timeoutMs = timeoutMs
  }

  add(arrival: Arrival): void {
    this.all.push(arrival)
    this.#rest.push(arrival)
    for (const waiter of this.#waiters) {
      if (!waiter.matches(arrival)) continue
      waiter.resolve(arrival)
      // The end of the connection stays for everyone who asks, all else is taken by one.
      if (!isEnd(arrival)) {
        this.#rest.pop()
        return
      }
    }
  }

  /** Takes the first that matches, or the end of the connection; waits for it where need be. */
  take(channel: number, matches: (arrival: Arrival) => boolean, what: string): Promise<Arrival> {
    const isWanted = (arrival: Arrival): boolean =>
      isEnd(arrival) || (arrival.channel === channel && matches(arrival))
    const index = this.#rest.findIndex(isWanted)
    if (index < 0) return this.#wait(isWanted, `${what} on channel ${channel}`)
    const arrival = this.#rest[index] as Arrival
    if (!isEnd(arrival)) this.#rest.splice(index, 1)
    return Promise.resolve(arrival)
  }

  /** Takes all that is there and matches. */
  drain(matches: (arrival: Arrival) => boolean): Arrival[] {
    const taken = this.#rest.filter(matches)
    const rest = this.#rest.filter((arrival) => !matches(arrival))
    this.#rest.splice(0, this.#rest.length, ...rest)
    return taken
  }

  /** Waits until the socket is closed. */
  async closed(): Promise<SocketClosed> {
    const isClosed = (arrival: Arrival): boolean => arrival.type === 'socket closed'
    const closed = this.all.find(isClosed) ?? (await this.#wait(isClosed, 'the end of the socket'))
    return closed as SocketClosed
  }

  #wait(matches: (arrival: Arrival) => boolean, what: string): Promise<Arrival> {
    return new Promise((resolve, reject) => {
      const timer = setTimeout(() => {
        this.#waiters.delete(waiter)
        const last = this.all.slice(-5).map(describe).join(', ')
        reject(
          new Error(`waited ${this.#timeoutMs} ms for ${what}; the last that came: ${last || 'nothing'}`),
        )
      }, this.#timeoutMs)
      const waiter: Waiter = {
        matches,
        resolve: (arrival) => {
          clearTimeout(timer)
          this.#waiters.delete(waiter)
          resolve(arrival)
        },
      }
      this.#waiters.add(waiter)
    })
  }
}

/** Whether nothing more is to be expected on any channel. */
export function isEnd(arrival: Arrival): boolean {
  return arrival.type === 'socket closed' || arrival.type === 'connection.close'
}

/** For messages of errors. */
export function describe(arrival: Arrival): string {
  return arrival.type === 'channel.close' || arrival.type === 'connection.close'
    ? `${arrival.type} ${arrival.replyCode} ${arrival.replyText}`
    : arrival.type
}
