/**
 * A lane runs one sequence at a time on one server: two connections for it, and a third that watches. They are kept for the
 * next sequence, since opening one costs a broker more than most sequences do.
 */
import { RawClient } from '../raw-client.ts'
import type { Arrival } from '../raw-client.ts'

/** The channel on which the harness itself asks, on every connection. */
export const barrierChannel = 10

/** Of the observer: on it goes what passes a quorum queue. */
const markerChannel = 11

/** Sequences after which a connection is opened anew: it keeps all that ever came. */
const sequencesPerConnection = 25

export const timeoutMs = 30_000

/** One connection and what the harness knows of it. */
export class Link {
  readonly client: RawClient
  /** Channels that are open, as far as replies tell. */
  readonly channels = new Map<number, ChannelState>()
  sequences = 0
  /** Up to where arrivals were looked at. */
  cursor = 0
  #closed = false

  constructor(client: RawClient) {
    this.client = client
  }

  static async open(port: number): Promise<Link> {
    const link = new Link(await RawClient.open({ port, keepsPropertyBytes: true, timeoutMs }))
    await link.client.call(barrierChannel, { type: 'channel.open' }, 'channel.open-ok')
    link.cursor = link.client.received.length
    return link
  }

  get alive(): boolean {
    this.#closed ||= this.client.received.slice(this.cursor).some(isEnd) || !this.client.socket.writable
    return !this.#closed
  }

  /** A channel of the sequence that did not end since the last look. */
  isOpen(number: number): boolean {
    const closed = this.client.received
      .slice(this.cursor)
      .some(
        (arrival) =>
          arrival.channel === number &&
          (arrival.type === 'channel.close' || arrival.type === 'channel.close-ok'),
      )
    return this.channels.has(number) && !closed
  }

  /** What came since the last time; the channels' waiting lists are emptied too. */
  takeNews(): readonly Arrival[] {
    const news = this.client.received.slice(this.cursor)
    if (news.some(isEnd)) this.#closed = true
    this.cursor = this.client.received.length
    for (const number of [0, barrierChannel, ...this.channels.keys()]) this.client.drain(number)
    return news
  }

  /** A round trip on a channel; false where the channel or the connection has ended instead. */
  async roundTrip(channel: number): Promise<boolean> {
    this.client.send(channel, { type: 'channel.flow', active: true })
    const answer = await this.client.next(channel, 'channel.flow-ok', 'channel.close')
    return answer.type === 'channel.flow-ok'
  }
}

/** A channel of the sequence. */
export interface ChannelState {
  /** Tags of deliveries that were not settled, as far as the client knows. */
  readonly outstanding: number[]
  readonly noAckTags: Set<string>
  /** Of each basic.get that was not answered yet, whether it acknowledges by itself. */
  readonly gets: boolean[]
  confirming: boolean
  published: number
  readonly unconfirmed: Set<number>
}

export class Lane {
  static #count = 0
  readonly port: number
  readonly links: [Link | undefined, Link | undefined] = [undefined, undefined]
  readonly #marker = `marker-${process.pid}-${(Lane.#count += 1)}`
  #observer: Link | undefined
  /** On which the marker's queue is declared. */
  #marked: Link | undefined

  constructor(port: number) {
    this.port = port
  }

  /** The connection of that number, opened where it is not. */
  async link(index: 0 | 1): Promise<Link> {
    const link = this.links[index]
    if (link?.alive === true) return link
    return (this.links[index] = await Link.open(this.port))
  }

  async observer(): Promise<Link> {
    if (this.#observer?.alive !== true) this.#observer = await Link.open(this.port)
    return this.#observer
  }

  /**
   * Waits until quorum queues have done what they were told: they do it once that is on their log, which is one for all, so a message
   * through another of them comes behind it.
   */
  async passQuorumQueues(): Promise<void> {
    const link = await this.observer()
    if (this.#marked !== link) await this.#mark(link)
    link.client.publish(markerChannel, { routingKey: this.#marker }, {}, 'marker')
    await link.client.next(markerChannel, 'basic.ack')
  }

  async #mark({ client }: Link): Promise<void> {
    await client.call(markerChannel, { type: 'channel.open' }, 'channel.open-ok')
    const marker = {
      type: 'queue.declare',
      queue: this.#marker,
      durable: true,
      arguments: { 'x-queue-type': 'quorum', 'x-max-length': 1 },
    } as const
    await client.call(markerChannel, marker, 'queue.declare-ok')
    await client.call(markerChannel, { type: 'confirm.select' }, 'confirm.select-ok')
    this.#marked = this.#observer
  }

  /** Makes ready for the next sequence: what is worn out is closed. */
  async renew(): Promise<void> {
    for (const index of [0, 1] as const) {
      const link = this.links[index]
      if (link === undefined) continue
      link.sequences += 1
      if (link.alive && link.sequences < sequencesPerConnection) continue
      this.links[index] = undefined
      await end(link)
    }
    const observer = this.#observer
    if (observer === undefined) return
    observer.sequences += 1
    if (observer.alive && observer.sequences < sequencesPerConnection) return
    this.#observer = undefined
    await end(observer)
  }

  /** Forgets connections of which it is not known how they are. */
  drop(): void {
    for (const link of [...this.links, this.#observer]) link?.client.destroy()
    this.links.fill(undefined)
    this.#observer = undefined
  }

  async close(): Promise<void> {
    if (this.#marked !== undefined) {
      const { client } = await this.observer()
      await client.call(barrierChannel, { type: 'queue.delete', queue: this.#marker }, 'queue.delete-ok')
    }
    for (const link of [...this.links, this.#observer]) if (link !== undefined) await end(link)
  }
}

async function end(link: Link): Promise<void> {
  if (link.alive) await link.client.close()
  else link.client.destroy()
}

export function isEnd(arrival: Arrival): boolean {
  return arrival.type === 'socket closed' || arrival.type === 'connection.close'
}
