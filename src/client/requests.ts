/**
 * Request and reply. A request is a message to the queue of that name which says where the answer goes: an exclusive
 * queue of the asking connection, deleted with it. Requests and replies need not survive a restart, since who asked
 * does not: they are transient and expire with the asker's patience.
 */
import { MillraceError, RemoteError, TimeoutError } from '../model/errors.ts'
import { contentTypeOf, decodeBody, encodeBody } from './codec.ts'
import type { Consumer, Delivery, PublishResult, QueueSpec } from './driver.ts'
import { durationMs } from './duration.ts'
import type { Duration } from './duration.ts'
import { asError } from './handler-error.ts'
import { newId } from './id.ts'
import type { Job } from './job.ts'
import type { Link } from './link.ts'
import { after } from './timer.ts'
import { abortError, assertNotAborted, unlessAborted } from './wait.ts'
import type { WaitOptions } from './wait.ts'
import type { Handler, WorkOptions } from './work-options.ts'
import { Worker } from './worker.ts'

/** On a reply: the handler failed, the body is its message. */
export const errorHeader = 'x-millrace-error'

/**
 * What a request holds where its replier does not say: no schema stands between the two, and `mq.reply('math.add', (msg) =>
 * msg.data.a + msg.data.b)` is code as it is written. The only `any` there is; with a type argument there is none.
 */
// oxlint-disable-next-line typescript/no-explicit-any
export type Untyped = any

export interface RequestOptions extends WaitOptions {
  /** How long to wait for the reply (default 30s). */
  readonly timeout?: Duration
}

interface Pending {
  readonly resolve: (data: unknown) => void
  readonly reject: (error: Error) => void
}

/** Replies that may be awaited at once from one connection. */
const repliesPrefetch = 1_000

export class Requests {
  readonly #link: Link
  readonly #replyQueue = `millrace.reply.${newId()}`
  readonly #pending = new Map<string, Pending>()
  #listening: Promise<Consumer> | undefined
  #closed: Error | undefined

  constructor(link: Link) {
    this.#link = link
  }

  /** @throws TimeoutError, RemoteError (the handler failed), MillraceError ABORTED, CLOSED */
  async request(name: string, data: unknown, options: RequestOptions): Promise<unknown> {
    const timeoutMs = durationMs(options.timeout ?? '30s', 'request: timeout')
    const body = encodeBody(data)
    await unlessAborted(options.signal, () => (this.#listening ??= this.#listen()))
    await unlessAborted(options.signal, () =>
      this.#link.declarations.declare(`queue ${name}`, { queues: [requestQueue(name)] }),
    )
    const correlationId = newId()
    if (this.#closed !== undefined) throw this.#closed
    assertNotAborted(options.signal)
    const reply = this.#await(name, correlationId, timeoutMs, options.signal)
    const sent = this.#link.outbox.put({
      exchange: '',
      routingKey: name,
      mandatory: true,
      ttlMs: Math.max(1, timeoutMs),
      properties: {
        messageId: correlationId,
        correlationId,
        replyTo: this.#replyQueue,
        contentType: contentTypeOf(data),
        deliveryMode: 1,
      },
      body,
    })
    sent.then(
      (result) => {
        if (result.type === 'rejected') this.#settle(correlationId, result.error)
        if (result.type !== 'unroutable') return
        this.#link.declarations.forget(`queue ${name}`)
        this.#settle(correlationId, noQueue(name))
      },
      (error: unknown) => this.#settle(correlationId, asError(error)),
    )
    return reply
  }

  /** Starts a worker that answers. A handler that throws is an answer too: the asker gets its message. */
  reply<Data>(name: string, handler: Handler<Data>, options: WorkOptions): Worker<Data> {
    return this.#link.keep(
      (onClosed) =>
        new Worker<Data>({
          driver: this.#link.driver,
          queue: name,
          handler: (job) => this.#answer(job, handler),
          schema: undefined,
          options,
          prepare: () => this.#link.declarations.declare(`queue ${name}`, { queues: [requestQueue(name)] }),
          onClosed,
        }),
    )
  }

  /** Rejects what still waits. */
  async close(error: Error): Promise<void> {
    this.#closed = error
    for (const correlationId of this.#pending.keys()) this.#settle(correlationId, error)
    const consumer = await this.#listening?.catch(() => undefined)
    await consumer?.cancel().catch(() => undefined)
  }

  async #listen(): Promise<Consumer> {
    const { driver } = this.#link
    const queue: QueueSpec = { name: this.#replyQueue, durable: false, exclusive: true, autoDelete: true }
    try {
      await driver.declare({ queues: [queue] })
      return await driver.consume(
        this.#replyQueue,
        { prefetch: repliesPrefetch, onCancelled: (error) => this.#cancelled(error) },
        (delivery) => this.#replied(delivery),
      )
    } catch (error) {
      this.#listening = undefined
      throw error
    }
  }

  /** Nobody's answer comes any more; the next request listens anew. */
  #cancelled(error: Error | undefined): void {
    this.#listening = undefined
    const why = error ?? new MillraceError('NOT_FOUND', 'The queue of the replies was deleted')
    for (const correlationId of this.#pending.keys()) this.#settle(correlationId, why)
  }

  #await(name: string, correlationId: string, timeoutMs: number, signal?: AbortSignal): Promise<unknown> {
    return new Promise((resolve, reject) => {
      const abort = (): void => this.#settle(correlationId, abortError(signal as AbortSignal))
      const callOff = after(timeoutMs, () =>
        this.#settle(correlationId, new TimeoutError(`No reply from ${name} within ${timeoutMs} ms`)),
      )
      const done = (): void => {
        callOff()
        signal?.removeEventListener('abort', abort)
      }
      signal?.addEventListener('abort', abort, { once: true })
      this.#pending.set(correlationId, {
        resolve: (data) => (done(), resolve(data)),
        reject: (error) => (done(), reject(error)),
      })
    })
  }

  #settle(correlationId: string, error: Error): void {
    const pending = this.#pending.get(correlationId)
    this.#pending.delete(correlationId)
    pending?.reject(error)
  }

  /** A late or unknown reply is acknowledged and forgotten. */
  #replied(delivery: Delivery): void {
    delivery.settle({ type: 'ack' }).catch(() => undefined)
    const { properties } = delivery.message
    const correlationId = properties.correlationId ?? ''
    const pending = this.#pending.get(correlationId)
    if (pending === undefined) return
    this.#pending.delete(correlationId)
    try {
      const data = decodeBody(delivery.message)
      if (properties.headers?.[errorHeader] === undefined) pending.resolve(data)
      else pending.reject(new RemoteError(String(data)))
    } catch (error) {
      pending.reject(asError(error))
    }
  }

  /** The reply goes out before the request is acknowledged: a crash between the two asks again, and answers twice. */
  async #answer<Data>(job: Job<Data>, handler: Handler<Data>): Promise<void> {
    let data: unknown
    let failed = false
    try {
      data = (await handler(job)) ?? null
      encodeBody(data)
    } catch (error) {
      data = asError(error).message
      failed = true
    }
    const replyTo = job.delivery.message.properties.replyTo
    if (replyTo === undefined) return
    const sent = await this.#respond(job, replyTo, { data, failed })
    // Too large, most likely: who asked is told so, and not left waiting.
    if (sent.type === 'rejected') {
      await this.#respond(job, replyTo, { data: sent.error.message, failed: true })
    }
  }

  #respond<Data>(
    job: Job<Data>,
    replyTo: string,
    reply: { data: unknown; failed: boolean },
  ): Promise<PublishResult> {
    const { data, failed } = reply
    return this.#link.outbox.put({
      exchange: '',
      routingKey: replyTo,
      properties: {
        contentType: contentTypeOf(data),
        deliveryMode: 1,
        ...(job.correlationId !== undefined && { correlationId: job.correlationId }),
        ...(failed && { headers: { [errorHeader]: true } }),
      },
      body: encodeBody(data),
    })
  }
}

/** Goes by itself when for an hour nobody replies and nobody new asks: a mistyped name leaves nothing behind. */
const requestQueueExpiresMs = 3_600_000

function requestQueue(name: string): QueueSpec {
  return { name, durable: true, expiresMs: requestQueueExpiresMs }
}

function noQueue(name: string): MillraceError {
  return new MillraceError(
    'NOT_FOUND',
    `The request queue ${name} was deleted; ask again and it is declared anew`,
  )
}
