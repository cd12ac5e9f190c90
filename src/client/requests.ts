/**
 * Request and reply. A request is a message to the queue of that name which says where the answer goes: an exclusive
 * queue of the asking connection, deleted with it. Requests and replies need not survive a restart, since who asked
 * does not: they are transient and expire with the asker's patience.
 */
import { MillraceError, RemoteError, TimeoutError } from '../model/errors.ts'
import type { Body } from '../model/message.ts'
import { contentTypeOf, decodeBody, encodeBody } from './codec.ts'
import type { Consumer, Delivery, PublishResult, QueueSpec } from './driver.ts'
import { durationMs } from './duration.ts'
import type { Duration } from './duration.ts'
import { asError } from './handler-error.ts'
import { newId } from './id.ts'
import type { Job } from './job.ts'
import type { Link } from './link.ts'
import { after } from './timer.ts'
import { abortError, assertNotAborted } from './wait.ts'
import type { WaitOptions } from './wait.ts'
import type { Handler, WorkOptions } from './work-options.ts'
import { Worker } from './worker.ts'

/** On a reply: the handler failed, the body is its message. */
const errorHeader = 'x-millrace-error'

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

interface Request {
  readonly name: string
  readonly correlationId: string
  readonly contentType: string
  readonly body: Body
  /** Of `performance.now()`: nobody waits for the answer after it. */
  readonly deadlineMs: number
}

/** Replies that may be awaited at once from one connection. */
const repliesPrefetch = 1_000

export class Requests {
  readonly #link: Link
  readonly #replyQueue = `millrace.reply.${newId()}`
  readonly #pending = new Map<string, Pending>()
  /** The queues of requests, by name. */
  readonly #declaredAtMs = new Map<string, number>()
  #listening: Promise<Consumer> | undefined
  #closed: Error | undefined

  constructor(link: Link) {
    this.#link = link
  }

  /** @throws TimeoutError, RemoteError (the handler failed), MillraceError ABORTED, CLOSED */
  async request(name: string, data: unknown, options: RequestOptions): Promise<unknown> {
    const timeoutMs = durationMs(options.timeout ?? '30s', 'request: timeout')
    const body = encodeBody(data)
    assertNotAborted(options.signal)
    if (this.#closed !== undefined) throw this.#closed
    const request: Request = {
      name,
      correlationId: newId(),
      contentType: contentTypeOf(data),
      body,
      deadlineMs: performance.now() + timeoutMs,
    }
    const reply = this.#await(request, timeoutMs, options.signal)
    this.#ask(request).catch((error: unknown) => this.#settle(request.correlationId, asError(error)))
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
          prepare: () => this.#declare(name),
          onClosed,
        }),
    )
  }

  /** Rejects what still waits. The consumer of the replies ends with the connection. */
  close(error: Error): void {
    this.#closed = error
    for (const correlationId of this.#pending.keys()) this.#settle(correlationId, error)
  }

  async #ask(request: Request): Promise<void> {
    const { name, correlationId } = request
    await (this.#listening ??= this.#listen())
    await this.#declare(name)
    let result = await this.#send(request)
    if (result?.type === 'unroutable') {
      // Somebody deleted the queue since we declared it: declare it again, once.
      this.#link.declarations.forget(`queue ${name}`)
      await this.#declare(name)
      result = await this.#send(request)
    }
    if (result?.type === 'rejected') this.#settle(correlationId, result.error)
    if (result?.type === 'unroutable') this.#settle(correlationId, noQueue(name))
  }

  /** Undefined where nobody waits for the answer any more. */
  async #send(request: Request): Promise<PublishResult | undefined> {
    const { name, correlationId, contentType, body, deadlineMs } = request
    if (!this.#pending.has(correlationId)) return undefined
    return this.#link.outbox.put({
      exchange: '',
      routingKey: name,
      mandatory: true,
      ttlMs: Math.max(1, Math.ceil(deadlineMs - performance.now())),
      properties: {
        messageId: correlationId,
        correlationId,
        replyTo: this.#replyQueue,
        contentType,
        deliveryMode: 1,
      },
      body,
    })
  }

  /** Declared again now and then: that is the use which keeps the queue from expiring. */
  async #declare(name: string): Promise<void> {
    const key = `queue ${name}`
    const nowMs = performance.now()
    const declaredAtMs = this.#declaredAtMs.get(name)
    const isOld = declaredAtMs !== undefined && nowMs - declaredAtMs >= renewAfterMs
    if (isOld) this.#link.declarations.forget(key)
    if (isOld || declaredAtMs === undefined) this.#declaredAtMs.set(name, nowMs)
    await this.#link.declarations.declare(key, { queues: [requestQueue(name)] })
  }

  /** Whoever waits for longer uses the queue too; returns what ends it. */
  #keepAlive(name: string): () => void {
    let callOff: () => void
    const renew = (): void => {
      callOff = after(renewAfterMs, () => {
        this.#declare(name).catch(() => undefined)
        renew()
      })
    }
    renew()
    return () => callOff()
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

  #await(request: Request, timeoutMs: number, signal: AbortSignal | undefined): Promise<unknown> {
    const { name, correlationId } = request
    return new Promise((resolve, reject) => {
      const abort = (): void => this.#settle(correlationId, abortError(signal as AbortSignal))
      const callOff = after(timeoutMs, () =>
        this.#settle(correlationId, new TimeoutError(`No reply from ${name} within ${timeoutMs} ms`)),
      )
      const letExpire = timeoutMs > renewAfterMs ? this.#keepAlive(name) : undefined
      const done = (): void => {
        callOff()
        letExpire?.()
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

/** Goes by itself when for an hour nobody replies and nobody asks: a mistyped name leaves nothing behind. */
const requestQueueExpiresMs = 3_600_000
/** Who uses it declares it again after so long, well before it goes. */
const renewAfterMs = requestQueueExpiresMs / 4

function requestQueue(name: string): QueueSpec {
  return { name, durable: true, expiresMs: requestQueueExpiresMs }
}

function noQueue(name: string): MillraceError {
  return new MillraceError(
    'NOT_FOUND',
    `The request queue ${name} was deleted; ask again and it is declared anew`,
  )
}
