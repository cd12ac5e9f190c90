/**
 * A TCP proxy in front of a server, by which a test harms the network: it cuts what is connected and refuses what comes,
 * freezes everything so that nobody hears of anything, or delays each chunk. One per client, so that no other is harmed.
 */
import { once } from 'node:events'
import { connect, createServer } from 'node:net'
import type { AddressInfo, Server, Socket } from 'node:net'

type Health = 'well' | 'cut' | 'frozen'

/** A server has answered all that it was asked by so long after it began to. */
const answerMs = 50

interface Pair {
  readonly client: Socket
  readonly server: Socket
}

export class Proxy {
  readonly #listener: Server
  readonly #target: { host: string; port: number }
  readonly #pairs = new Set<Pair>()
  #health: Health = 'well'
  #delayMs = 0
  /** What a client says, and whether the server is to hear it before the connection goes. */
  #omen: { word: string; heard: boolean; seen: () => void } | undefined
  /** Connections accepted so far. */
  accepted = 0
  /** Those that were reset at once. */
  refused = 0

  private constructor(target: { host: string; port: number }) {
    this.#target = target
    // Half-open is allowed, so that the end of one side is passed on and not answered.
    this.#listener = createServer({ allowHalfOpen: true, noDelay: true }, (client) => this.#accept(client))
  }

  static async start(target: { host?: string; port: number }): Promise<Proxy> {
    const proxy = new Proxy({ host: target.host ?? '127.0.0.1', port: target.port })
    proxy.#listener.listen(0, '127.0.0.1')
    await once(proxy.#listener, 'listening')
    return proxy
  }

  get port(): number {
    return (this.#listener.address() as AddressInfo).port
  }

  /** Open connections. */
  get connections(): number {
    return this.#pairs.size
  }

  /** Resets every connection, and each new one at once, until `heal`. */
  cut(): void {
    this.#health = 'cut'
    this.reset()
  }

  /** Resets every connection; new ones are let through. */
  reset(): void {
    for (const { client, server } of this.#pairs) {
      hangUp(client)
      hangUp(server)
    }
    this.#pairs.clear()
  }

  /** Nothing passes any more, neither data nor ends, and nobody is told, until `heal`. */
  freeze(): void {
    this.#health = 'frozen'
    for (const { client, server } of this.#pairs) {
      client.pause()
      server.pause()
    }
  }

  /** What was cut may connect; what was frozen flows on. */
  heal(): void {
    this.#health = 'well'
    for (const { client, server } of this.#pairs) {
      client.resume()
      server.resume()
    }
  }

  /**
   * Cuts the connection on which this is said next: after the server has answered, whose reply is lost, or with `before`
   * ere it has heard. Resolves when that was.
   */
  cutAt(word: string, options: { before?: boolean } = {}): Promise<void> {
    return new Promise((seen) => (this.#omen = { word, heard: options.before !== true, seen }))
  }

  /** Each chunk is held back for so long, in both directions. */
  delay(ms: number): void {
    this.#delayMs = ms
  }

  async close(): Promise<void> {
    this.#health = 'cut'
    this.reset()
    if (!this.#listener.listening) return
    this.#listener.close()
    await once(this.#listener, 'close')
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close()
  }

  #accept(client: Socket): void {
    client.on('error', () => undefined)
    if (this.#health === 'cut') {
      this.refused += 1
      client.resetAndDestroy()
      return
    }
    this.accepted += 1
    const server = connect({ ...this.#target, allowHalfOpen: true, noDelay: true })
    const pair = { client, server }
    this.#pairs.add(pair)
    let isDoomed = false
    this.#pass(pair, client, server, (chunk) => {
      if (this.#omen === undefined || !chunk.includes(this.#omen.word)) return true
      const { heard, seen } = this.#omen
      this.#omen = undefined
      isDoomed = true
      if (!heard) this.#drop(pair)
      seen()
      return heard
    })
    this.#pass(pair, server, client, () => {
      // What was said before may be answered first.
      if (isDoomed) setTimeout(() => this.#drop(pair), answerMs)
      return !isDoomed
    })
    if (this.#health === 'frozen') {
      client.pause()
      server.pause()
    }
  }

  #drop(pair: Pair): void {
    hangUp(pair.client)
    hangUp(pair.server)
    this.#pairs.delete(pair)
  }

  /** @param lets whether what is said may pass */
  #pass(pair: Pair, from: Socket, to: Socket, lets: (chunk: Buffer) => boolean): void {
    from.on('data', (chunk) => {
      if (!lets(chunk)) return
      if (this.#delayMs === 0) this.#write(from, to, chunk)
      else setTimeout(() => this.#write(from, to, chunk), this.#delayMs)
    })
    to.on('drain', () => {
      if (this.#health !== 'frozen') from.resume()
    })
    from.on('end', () => to.end())
    from.on('error', () => to.destroy())
    from.on('close', () => {
      to.destroySoon()
      this.#pairs.delete(pair)
    })
  }

  #write(from: Socket, to: Socket, chunk: Buffer): void {
    if (!to.writable) return
    if (!to.write(chunk)) from.pause()
  }
}

/** With a reset; where the end is under way, Node forgets a socket that is reset, and never ends for it. */
function hangUp(socket: Socket): void {
  if (socket.writableEnded) socket.destroy()
  else socket.resetAndDestroy()
}
