/**
 * Millrace: a message queue for Node.js, one API over engines chosen by URL.
 *
 * ```ts
 * import { connect } from 'millrace'
 *
 * const mq = await connect('file:./data')
 * const emails = mq.queue<{ to: string }>('emails')
 * await emails.send({ to: 'a@b.c' })
 * emails.work(async (job) => deliver(job.data.to))
 * ```
 */
import { Client } from './client/client.ts'
import type { Driver } from './client/driver.ts'
import { checkOptions, isShortString, isSignal } from './client/options.ts'
import { describe } from './client/duration.ts'
import { ValidationError } from './model/errors.ts'

export interface ConnectOptions {
  /** Keeps applications apart: queues and exchanges of two namespaces never meet; 1 to 255 bytes (default: the engine's own). */
  readonly namespace?: string
  /** Calls the wait off. */
  readonly signal?: AbortSignal
}

/**
 * Opens an engine.
 *
 * - `memory:` the engine in this process, of this connection alone; `memory:name` shared by all of this process
 * - `file:./data` a crash-safe log in that folder, made where it is missing; `?sync=group` (default: every `send` waits
 *   for its fsync), `?sync=100ms` (fsync at that interval) or `?sync=os` (left to the operating system)
 * - `amqp://user:password@host:5672/vhost` RabbitMQ, `amqps://` with TLS; needs the package `amqplib`; settings and limits are
 *   in docs/rabbitmq.md
 * - `redis://user:password@host:6379/0` Redis 6.2 and later or Valkey, `rediss://` with TLS, `redis+sentinel://host:26379/name`
 *   behind sentinels; needs the package `redis`; settings and limits are in docs/redis.md
 *
 * @throws ValidationError INVALID_URL, UNKNOWN_SCHEME; StoreError DIRECTORY_LOCKED, DIRECTORY_UNUSABLE, FORMAT_TOO_NEW;
 *   ConflictError where this process has the folder open with another `sync`; MillraceError UNREACHABLE, ACCESS_REFUSED,
 *   NOT_ALLOWED (no such virtual host), MISSING_PACKAGE
 */
export async function connect(url: string | URL, options: ConnectOptions = {}): Promise<Client> {
  checkOptions('connect', options, { namespace: isShortString, signal: isSignal })
  const driver = await createDriver(url, options)
  return new Client(driver, await driver.open(options.signal))
}

/** Each engine's code is loaded only when its URL is used. */
async function createDriver(url: string | URL, options: ConnectOptions): Promise<Driver> {
  const text = url instanceof URL ? url.href : url
  const scheme =
    typeof text === 'string' ? /^([a-z][a-z0-9+.-]*):/i.exec(text)?.[1]?.toLowerCase() : undefined
  if (scheme === undefined) throw noUrl(url)
  const settings = options.namespace === undefined ? {} : { namespace: options.namespace }
  switch (scheme) {
    case 'memory': {
      const { memoryDriver } = await import('./drivers/memory.ts')
      return memoryDriver(text, settings)
    }
    case 'file': {
      const { fileDriver } = await import('./drivers/file.ts')
      return fileDriver(text, settings)
    }
    case 'amqp':
    case 'amqps': {
      const { amqpDriver } = await import('./drivers/amqp/amqp.ts')
      return amqpDriver(text, settings)
    }
    case 'redis':
    case 'rediss':
    case 'redis+sentinel':
    case 'rediss+sentinel': {
      const { redisDriver } = await import('./drivers/redis/redis.ts')
      return redisDriver(text, settings)
    }
    default:
      // A host and a port: localhost:6379.
      if (/^[^:]+:\d+$/.test(text)) throw noUrl(url)
      throw new ValidationError(
        'UNKNOWN_SCHEME',
        `Millrace has no engine for '${scheme}:'; this version has 'memory:', 'file:./data', 'amqp://host' and 'redis://host'`,
      )
  }
}

function noUrl(given: unknown): ValidationError {
  return new ValidationError(
    'INVALID_URL',
    `connect takes a URL such as 'memory:', 'file:./data', 'amqp://host' or 'redis://host', not ${describe(given)}`,
  )
}

export { Client } from './client/client.ts'
export type { CloseOptions } from './client/client.ts'
export type { Backoff } from './client/backoff.ts'
export type { BrowsedJob, BrowseSettings } from './client/browse.ts'
export type { DeadLetters } from './client/dead-letters.ts'
export type { Duration } from './client/duration.ts'
export type {
  AnyExchange,
  Exchange,
  ExchangeOptions,
  Published,
  PublishSettings,
  SubscribeOptions,
} from './client/exchange.ts'
export type { Job } from './client/job.ts'
export type { ConsumeSettings, Messages } from './client/messages.ts'
export type { BindOptions, Queue, QueueReport, Sent } from './client/queue.ts'
export type { QueueOptions, RetryOptions } from './client/queue-options.ts'
export type { RequestOptions } from './client/requests.ts'
export type { StandardSchema } from './client/schema.ts'
export type { SendManyOptions, SendOptions } from './client/send-options.ts'
export type { WaitOptions } from './client/wait.ts'
export { NonRetryableError } from './client/handler-error.ts'
export type { Handler, WorkOptions } from './client/work-options.ts'
export type { Worker, WorkerEvents } from './client/worker.ts'
export type * from './client/driver.ts'
export {
  ClosedError,
  ConflictError,
  MillraceError,
  ProtocolError,
  RemoteError,
  StoreError,
  TimeoutError,
  UnsupportedError,
  ValidationError,
} from './model/errors.ts'
export type { ErrorCode } from './model/errors.ts'
export type { FieldTable, FieldValue } from './model/field-table.ts'
