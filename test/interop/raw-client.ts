/**
 * An AMQP client without opinions, for tests: it sends any method, frame or bytes, and keeps what comes back as plain objects
 * in the order it came. No confirms, no retries, no state but the frames'.
 *
 * ```ts
 * await using client = await RawClient.open({ port })
 * await client.call(1, { type: 'channel.open' })
 * const { queue } = await client.call(1, { type: 'queue.declare', exclusive: true }, 'queue.declare-ok')
 * client.publish(1, { routingKey: queue }, { deliveryMode: 2 }, 'hello')
 * ```
 */
import { connect } from 'node:net'
import type { Socket } from 'node:net'
import {
  ContentReader,
  FrameReader,
  FrameWriter,
  decodeMethod,
  decodeProperties,
  encodeProperties,
  methodFields,
  methodIds,
  methodIdAt,
} from '../../src/wire/index.ts'
import type { Method, MethodName, MethodOf, Properties } from '../../src/wire/index.ts'
import { Arrivals, describe, isEnd } from './arrivals.ts'
import type { Arrival, Received, SocketClosed } from './arrivals.ts'

export type { Arrival, Received, SocketClosed } from './arrivals.ts'

export interface RawClientOptions {
  readonly host?: string
  readonly port: number
  readonly user?: string
  readonly password?: string
  readonly virtualHost?: string
  /** Seconds, asked for in tune-ok (default 0: none). */
  readonly heartbeat?: number
  /** Asked for in tune-ok (default: what the server offers). */
  readonly frameMax?: number
  readonly channelMax?: number
  /** Besides the capabilities of RabbitMQ's own clients. */
  readonly clientProperties?: MethodOf<'connection.start-ok'>['clientProperties']
  /** Whether closes are answered with close-ok by itself (default true). */
  readonly answersClose?: boolean
  /** How long to wait for anything (default 5000). */
  readonly timeoutMs?: number
  /** What comes with content has its properties as bytes too. */
  readonly keepsPropertyBytes?: boolean
}

/** A method to be sent: fields left out are empty, 0 or false. */
export type Sent<Name extends MethodName = MethodName> = Name extends MethodName
  ? { readonly type: Name } & Partial<MethodOf<Name>>
  : never

/** Methods that come by themselves; `call` leaves them for `next`. */
const unasked: ReadonlySet<string> = new Set([
  'basic.deliver',
  'basic.return',
  'basic.ack',
  'basic.nack',
  'basic.cancel',
  'connection.blocked',
  'connection.unblocked',
])

/** More than any answer takes, and less than a test has: so that it says what never came. */
const patienceMs = 60_000

export class RawClient implements AsyncDisposable {
  /** Heartbeat frames that came. */
  heartbeats = 0
  /** What was agreed in tune; the server's offer where tune-ok was not sent by `open`. */
  tune: Omit<MethodOf<'connection.tune'>, 'type'> = { channelMax: 0, frameMax: 0, heartbeat: 0 }
  /** Of connection.start. */
  serverProperties: MethodOf<'connection.start'>['serverProperties'] = {}
  /** The protocol header of a server that refused ours. */
  refusal: Buffer | undefined
  readonly socket: Socket
  readonly writer: FrameWriter
  readonly #reader: FrameReader
  readonly #contents = new Map<number, ContentReader>()
  readonly #methods = new Map<number, Method>()
  readonly #arrivals: Arrivals
  readonly #answersClose: boolean
  readonly #keepsPropertyBytes: boolean
  #error: string | undefined

  private constructor(socket: Socket, options: RawClientOptions) {
    this.socket = socket
    this.#answersClose = options.answersClose ?? true
    this.#keepsPropertyBytes = options.keepsPropertyBytes ?? false
    this.#arrivals = new Arrivals(options.timeoutMs ?? patienceMs)
    this.writer = new FrameWriter({ frameMaxBytes: 4096 })
    this.#reader = new FrameReader(
      {
        protocolHeader: () => {},
        method: (channel, buffer, start, end) => this.#onMethod(channel, buffer, start, end),
        header: (channel, buffer, start, end) => {
          if (this.#contentOf(channel).header(buffer, start, end)) this.#onContent(channel)
        },
        body: (channel, buffer, start, end, restBytes) => {
          if (this.#contentOf(channel).payload(buffer, start, end, restBytes)) this.#onContent(channel)
        },
        heartbeat: () => {
          this.heartbeats += 1
        },
      },
      { expectsProtocolHeader: false, frameMaxBytes: 0 },
    )
    socket.setNoDelay(true)
    socket.on('data', (chunk) => this.#onData(chunk))
    socket.on('error', (error) => {
      this.#error ??= error.message
    })
    socket.on('close', () => this.#onEnd())
  }

  /** All that ever came, in order. */
  get received(): readonly Arrival[] {
    return this.#arrivals.all
  }

  /** A TCP connection on which nothing was said yet. */
  static async connect(options: RawClientOptions): Promise<RawClient> {
    const socket = connect({ host: options.host ?? '127.0.0.1', port: options.port })
    await new Promise<void>((resolve, reject) => {
      socket.once('connect', resolve)
      socket.once('error', reject)
    })
    return new RawClient(socket, options)
  }

  /** A connection that is open, with no channel yet. */
  static async open(options: RawClientOptions): Promise<RawClient> {
    const client = await RawClient.connect(options)
    await client.handshake(options)
    return client
  }

  /** From the protocol header to open-ok. Throws where the server says no. */
  async handshake(options: Omit<RawClientOptions, 'port'> = {}): Promise<void> {
    this.writer.protocolHeader()
    this.flush()
    const start = await this.expect(0, 'connection.start')
    this.serverProperties = start.serverProperties
    this.send(0, {
      type: 'connection.start-ok',
      clientProperties: { capabilities: clientCapabilities, ...options.clientProperties },
      mechanism: 'PLAIN',
      response: Buffer.from(`\0${options.user ?? 'guest'}\0${options.password ?? 'guest'}`),
      locale: 'en_US',
    })
    const offer = await this.expect(0, 'connection.tune')
    this.tune = {
      channelMax: options.channelMax ?? offer.channelMax,
      frameMax: options.frameMax ?? offer.frameMax,
      heartbeat: options.heartbeat ?? 0,
    }
    this.send(0, { type: 'connection.tune-ok', ...this.tune })
    this.writer.frameMaxBytes = this.tune.frameMax
    this.send(0, { type: 'connection.open', virtualHost: options.virtualHost ?? '/' })
    await this.expect(0, 'connection.open-ok')
  }

  /** Sends a method without content. */
  send(channel: number, method: Sent): void {
    this.writer.method(channel, complete(method))
    this.flush()
  }

  /** Sends basic.publish and its content. */
  publish(
    channel: number,
    method: Omit<Sent<'basic.publish'>, 'type'>,
    properties: Properties = {},
    body: Uint8Array | string = '',
  ): void {
    const publish = complete({ type: 'basic.publish', ...method }) as MethodOf<'basic.publish'>
    this.writer.content(channel, publish, encodeProperties(properties), body)
    this.flush()
  }

  /** Sends a frame of any type and payload, sound or not. */
  sendFrame(type: number, channel: number, payload: Uint8Array): void {
    this.writer.frame(type, channel, payload)
    this.flush()
  }

  /** Sends bytes as they are. */
  sendBytes(bytes: Uint8Array): void {
    this.writer.raw(bytes)
    this.flush()
  }

  /** Sends what `writer` holds. */
  flush(): void {
    for (const bytes of this.writer.take()) if (this.socket.writable) this.socket.write(bytes)
  }

  /** Sends a method and takes what answers it, which may be a close. */
  async call(channel: number, method: Sent): Promise<Arrival>
  /** Sends a method and takes the answer; throws for any other. */
  async call<Name extends MethodName>(channel: number, method: Sent, answer: Name): Promise<Received<Name>>
  async call(channel: number, method: Sent, answer?: MethodName): Promise<Arrival> {
    this.send(channel, method)
    if (answer !== undefined) return this.expect(channel, answer)
    return this.#arrivals.take(
      channel,
      (arrival) => !unasked.has(arrival.type),
      `the answer to ${method.type}`,
    )
  }

  /** Takes the next on a channel of these methods, or of any; the end of the connection is one on every channel. */
  next(channel: number, ...types: readonly MethodName[]): Promise<Arrival> {
    const matches = (arrival: Arrival): boolean => types.length === 0 || types.includes(arrival.type as never)
    return this.#arrivals.take(channel, matches, types.join(' or ') || 'any method')
  }

  /** Takes the next of that method; throws where a close comes before it. */
  async expect<Name extends MethodName>(channel: number, type: Name): Promise<Received<Name>> {
    const arrival = await this.#arrivals.take(
      channel,
      (arrival) => arrival.type === type || isEnd(arrival) || arrival.type === 'channel.close',
      type,
    )
    if (arrival.type === type) return arrival as Received<Name>
    throw new Error(`expected ${type}, got ${describe(arrival)}`)
  }

  /** Takes so many deliveries of a channel, in order. */
  async deliveries(channel: number, count: number): Promise<Received<'basic.deliver'>[]> {
    const taken: Received<'basic.deliver'>[] = []
    while (taken.length < count) taken.push(await this.expect(channel, 'basic.deliver'))
    return taken
  }

  /** Takes all that came on a channel so far and was not taken yet: of these methods, or of any. */
  drain(channel: number, ...types: readonly MethodName[]): Arrival[] {
    return this.#arrivals.drain(
      (arrival) =>
        arrival.channel === channel && (types.length === 0 || types.includes(arrival.type as never)),
    )
  }

  /** Waits until nothing has come for so long. */
  async quiet(ms: number): Promise<void> {
    let count = -1
    while (count !== this.received.length) {
      count = this.received.length
      await new Promise((resolve) => setTimeout(resolve, ms))
    }
  }

  /** Waits until the socket is closed, by whomever. */
  ended(): Promise<SocketClosed> {
    return this.#arrivals.closed()
  }

  /** Says goodbye as the protocol has it. */
  async close(): Promise<void> {
    if (this.socket.writable) {
      this.send(0, { type: 'connection.close', replyCode: 200, replyText: 'bye' })
      await this.#arrivals.take(0, (arrival) => arrival.type === 'connection.close-ok', 'connection.close-ok')
    }
    this.socket.destroy()
    await this.ended()
  }

  /** Drops the connection without a word. */
  destroy(): void {
    this.socket.destroy()
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.destroy()
    await this.ended()
  }

  #onData(chunk: Buffer): void {
    if (this.received.length === 0 && chunk.subarray(0, 4).equals(amqp)) {
      this.refusal = Buffer.from(chunk)
      return
    }
    try {
      this.#reader.push(chunk)
    } catch (error) {
      this.#error = String(error)
      this.socket.destroy()
    }
  }

  #onMethod(channel: number, buffer: Buffer, start: number, end: number): void {
    const method = decodeMethod(buffer, start, end)
    this.#contentOf(channel).checkMethod()
    if (withContent.has(methodIdAt(buffer, start))) {
      this.#methods.set(channel, method)
      this.#contentOf(channel).expect()
      return
    }
    this.#arrivals.add({ ...method, channel })
    if (!this.#answersClose) return
    if (method.type === 'channel.close') this.send(channel, { type: 'channel.close-ok' })
    if (method.type === 'connection.close') this.send(0, { type: 'connection.close-ok' })
  }

  #onContent(channel: number): void {
    const content = this.#contentOf(channel)
    const method = this.#methods.get(channel)
    const properties = decodeProperties(content.propertyBytes)
    const bytes = this.#keepsPropertyBytes ? { propertyBytes: Buffer.from(content.propertyBytes) } : {}
    this.#arrivals.add({
      ...method,
      channel,
      properties,
      body: Buffer.from(content.body),
      ...bytes,
    } as Received)
  }

  #onEnd(): void {
    const error = this.#error === undefined ? {} : { error: this.#error }
    this.#arrivals.add({ type: 'socket closed', channel: 0, ...error })
  }

  #contentOf(channel: number): ContentReader {
    let content = this.#contents.get(channel)
    if (content === undefined) {
      content = new ContentReader({ maximumBodyBytes: Infinity })
      this.#contents.set(channel, content)
    }
    return content
  }
}

const amqp = Buffer.from('AMQP')

const withContent: ReadonlySet<number> = new Set([
  methodIds['basic.deliver'],
  methodIds['basic.return'],
  methodIds['basic.get-ok'],
])

const clientCapabilities = {
  publisher_confirms: true,
  exchange_exchange_bindings: true,
  'basic.nack': true,
  consumer_cancel_notify: true,
  'connection.blocked': true,
  authentication_failure_close: true,
}

const empty: Readonly<Record<string, unknown>> = {
  octet: 0,
  short: 0,
  long: 0,
  longlong: 0,
  bit: false,
  shortstr: '',
  longstr: new Uint8Array(0),
  longtext: '',
  table: {},
}

/** Gives the fields that were left out. */
export function complete(method: Sent): Method {
  const whole: Record<string, unknown> = {}
  for (const [name, kind] of Object.entries(methodFields[method.type])) whole[name] = empty[kind as string]
  return { ...whole, ...method } as Method
}
