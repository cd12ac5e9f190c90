/** Python's pika, in a process of its own that is told what to do: python/peer.py. */
import type { ChildProcessByStdio } from 'node:child_process'
import { once } from 'node:events'
import { createInterface } from 'node:readline'
import type { Readable, Writable } from 'node:stream'
import { spawnPython } from '../clients.ts'
import { Inbox } from '../inbox.ts'
import type { Delivered, Incoming, Peer, PeerKind, Properties, QueueState, Returned } from './peer.ts'

export const pikaPeer: PeerKind = {
  name: 'pika',
  connect: (url, caFile) => PikaPeer.open(url, caFile),
}

interface Text {
  readonly exchange: string
  readonly routingKey: string
  readonly properties: Properties
  /** base64. */
  readonly body: string
  readonly redelivered: boolean
  readonly deliveryTag: number
}

interface Answer {
  readonly id: number
  readonly ok?: unknown
  readonly error?: string
  readonly code?: number | null
}

type Line =
  | Answer
  | { readonly event: 'delivery'; readonly tag: string; readonly message: Text }
  | { readonly event: 'cancelled'; readonly tag: string }
  | { readonly event: 'returned'; readonly message: Text; readonly replyCode: number }
  | { readonly event: 'blocked'; readonly reason: string }
  | { readonly event: 'open' }
  | { readonly event: 'failed'; readonly error: string }

class PikaError extends Error {
  readonly code: number | undefined
  constructor(message: string, code: number | undefined) {
    super(message)
    this.code = code
  }
}

export class PikaPeer implements Peer {
  readonly returned = new Inbox<Returned>()
  readonly blocked = new Inbox<string>()
  readonly #child: ChildProcessByStdio<Writable, Readable, null>
  readonly #exited: Promise<unknown>
  readonly #answers = new Map<number, (line: Answer) => void>()
  readonly #consumers = new Map<string, { deliveries: Inbox<Delivered>; cancelled: Inbox<void> }>()
  readonly #opening = new Inbox<string | undefined>()
  #lastId = 0

  /** @throws what pika says of a connection that did not come about */
  static async open(url: string, caFile?: string): Promise<PikaPeer> {
    const peer = new PikaPeer(url, caFile)
    const error = await peer.#opening.next()
    if (error !== undefined) throw new PikaError(error, undefined)
    return peer
  }

  private constructor(url: string, caFile = '') {
    this.#child = spawnPython('peer.py', url, caFile)
    this.#child.stdin.on('error', () => undefined)
    this.#exited = once(this.#child, 'exit')
    createInterface({ input: this.#child.stdout }).on('line', (line) => this.#take(JSON.parse(line)))
    // Its last words may be read after its exit.
    this.#child.on('close', () => {
      this.#opening.push('the Python program ended')
      for (const [id, answer] of this.#answers) answer({ id, error: 'the Python program ended' })
    })
  }

  async declareQueue(queue: string, setting = {}): Promise<QueueState> {
    return (await this.#do('declareQueue', { queue, setting })) as QueueState
  }

  async deleteQueue(queue: string): Promise<void> {
    await this.#do('deleteQueue', { queue })
  }

  async declareExchange(exchange: string, type: string, setting = {}): Promise<void> {
    await this.#do('declareExchange', { exchange, type, setting })
  }

  async bindQueue(queue: string, exchange: string, routingKey: string, args = {}): Promise<void> {
    await this.#do('bindQueue', { queue, exchange, routingKey, arguments: args })
  }

  async publish(message: Parameters<Peer['publish']>[0]): Promise<void> {
    const body = Buffer.from(message.body).toString('base64')
    await this.#do('publish', { properties: {}, mandatory: false, ...message, body })
  }

  async get(queue: string): Promise<Delivered | undefined> {
    const message = (await this.#do('get', { queue })) as Text | null
    return message === null ? undefined : this.#delivered(message)
  }

  async consume(queue: string, setting: { prefetch?: number; noAck?: boolean } = {}) {
    const tag = `pika-${this.#consumers.size + 1}`
    const consumer = { deliveries: new Inbox<Delivered>(), cancelled: new Inbox<void>() }
    this.#consumers.set(tag, consumer)
    const { prefetch = 0, noAck = false } = setting
    await this.#do('consume', { queue, tag, prefetch, noAck })
    return {
      deliveries: consumer.deliveries,
      cancelledByServer: consumer.cancelled.next(),
      cancel: async () => void (await this.#do('cancel', { tag })),
    }
  }

  replyCode(error: unknown): number | undefined {
    return error instanceof PikaError ? error.code : undefined
  }

  async close(): Promise<void> {
    if (this.#child.exitCode !== null || this.#child.signalCode !== null) return
    await this.#do('close', {})
    await this.#exited
  }

  kill(): void {
    this.#child.kill('SIGKILL')
  }

  /** The process stands still, and its sockets with it. */
  freeze(): void {
    this.#child.kill('SIGSTOP')
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#child.stdin.end()
    this.#child.kill('SIGKILL')
    await this.#exited
  }

  async #do(what: string, words: object): Promise<unknown> {
    const id = (this.#lastId += 1)
    const line = await new Promise<Answer>((resolve) => {
      this.#answers.set(id, resolve)
      this.#child.stdin.write(`${JSON.stringify({ id, do: what, ...words })}\n`)
    })
    this.#answers.delete(id)
    if (line.error !== undefined) throw new PikaError(line.error, line.code ?? undefined)
    return line.ok
  }

  #take(line: Line): void {
    if ('id' in line) return this.#answers.get(line.id)?.(line)
    switch (line.event) {
      case 'delivery':
        return this.#consumers.get(line.tag)?.deliveries.push(this.#delivered(line.message))
      case 'cancelled':
        return this.#consumers.get(line.tag)?.cancelled.push()
      case 'returned':
        return this.returned.push({ ...incoming(line.message), replyCode: line.replyCode })
      case 'blocked':
        return this.blocked.push(line.reason)
      case 'open':
        return this.#opening.push(undefined)
      case 'failed':
        return this.#opening.push(line.error)
    }
  }

  #delivered(message: Text): Delivered {
    const { deliveryTag, redelivered } = message
    return {
      ...incoming(message),
      redelivered,
      ack: async () => void (await this.#do('ack', { deliveryTag })),
      reject: async ({ requeue }) => void (await this.#do('reject', { deliveryTag, requeue })),
    }
  }
}

function incoming({ exchange, routingKey, properties, body }: Text): Incoming {
  return { exchange, routingKey, properties, body: Buffer.from(body, 'base64') }
}
