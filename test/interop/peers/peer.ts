/**
 * What the interop tests ask of a client library, whichever it is: the few things every AMQP program does, on one
 * connection with one channel in confirm mode. Each peer does them with its own library's calls, so that a test reads
 * the same for all of them, and any two can stand at the two ends of a queue.
 */
import type { Inbox } from '../inbox.ts'

export interface Properties {
  readonly contentType?: string
  readonly contentEncoding?: string
  readonly headers?: Readonly<Record<string, unknown>>
  readonly deliveryMode?: number
  readonly priority?: number
  readonly correlationId?: string
  readonly replyTo?: string
  /** Milliseconds, as text. */
  readonly expiration?: string
  readonly messageId?: string
  /** Seconds since 1970. */
  readonly timestamp?: number
  readonly type?: string
  readonly userId?: string
  readonly appId?: string
}

export interface Outgoing {
  readonly exchange: string
  readonly routingKey: string
  readonly body: string | Buffer
  readonly properties?: Properties
  readonly mandatory?: boolean
}

export interface Incoming {
  readonly exchange: string
  readonly routingKey: string
  readonly body: Buffer
  /** Only what was there. */
  readonly properties: Properties
}

export interface Delivered extends Incoming {
  readonly redelivered: boolean
  ack(): Promise<void>
  reject(options: { requeue: boolean }): Promise<void>
}

export interface Returned extends Incoming {
  readonly replyCode: number
}

export interface QueueSetting {
  readonly durable?: boolean
  readonly exclusive?: boolean
  readonly autoDelete?: boolean
  readonly passive?: boolean
  readonly arguments?: Readonly<Record<string, unknown>>
}

export interface QueueState {
  readonly queue: string
  readonly messages: number
  readonly consumers: number
}

export interface ConsumeSetting {
  /** Without it, without limit. */
  readonly prefetch?: number
  readonly noAck?: boolean
}

export interface Subscription {
  readonly deliveries: Inbox<Delivered>
  /** Settles when the server cancels it, or the client heard that it did. */
  readonly cancelledByServer: Promise<void>
  cancel(): Promise<void>
}

export interface Peer extends AsyncDisposable {
  readonly returned: Inbox<Returned>
  /** Reasons of connection.blocked; '' for connection.unblocked. */
  readonly blocked: Inbox<string>
  declareQueue(queue: string, setting?: QueueSetting): Promise<QueueState>
  deleteQueue(queue: string): Promise<void>
  declareExchange(exchange: string, type: string, setting?: { durable?: boolean }): Promise<void>
  bindQueue(
    queue: string,
    exchange: string,
    routingKey: string,
    args?: Readonly<Record<string, unknown>>,
  ): Promise<void>
  /** Resolves when it is confirmed, rejects when it is refused. */
  publish(message: Outgoing): Promise<void>
  get(queue: string): Promise<Delivered | undefined>
  consume(queue: string, setting?: ConsumeSetting): Promise<Subscription>
  /** The AMQP reply code that an error of this client is about, as far as the client says it. */
  replyCode(error: unknown): number | undefined
  close(): Promise<void>
  /** As if the process died: the socket goes, and nothing is said. */
  kill(): void
}

export interface PeerKind {
  readonly name: string
  /** @param caFile a PEM file with the certificate to trust, for amqps: */
  connect(url: string, caFile?: string): Promise<Peer>
}
