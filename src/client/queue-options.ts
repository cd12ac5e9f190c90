/** A queue's options: what the engine must agree on becomes its declaration, the rest belongs to the worker. */
import { ValidationError } from '../model/errors.ts'
import { isBackoff } from './backoff.ts'
import type { Backoff } from './backoff.ts'
import type { QueueSpec, Topology } from './driver.ts'
import { durationMs } from './duration.ts'
import type { Duration } from './duration.ts'
import { isBoolean, isDuration, isEither, isFalse, isInteger, isOneOf, isString } from './options.ts'
import type { Check } from './options.ts'
import { isSchema } from './schema.ts'
import type { StandardSchema } from './schema.ts'

/** How failures are handled; belongs to the worker, so programs may differ in it. */
export interface RetryOptions {
  /** Times a message is tried, the first included, 1 to 1,000,000 (default 5); then it is dead-lettered. */
  readonly attempts?: number
  /** The wait before the next attempt (default exponential from 1s to 1h, jitter 0.2). */
  readonly backoff?: Backoff
  /** Aborts `job.signal` and counts as a failed attempt (default none). */
  readonly timeout?: Duration
}

export interface QueueOptions<Input = unknown, Output = Input> extends RetryOptions {
  /** Any Standard Schema; checked on send and on receipt. */
  readonly schema?: StandardSchema<Input, Output>
  /** Survives a restart (default true). Part of the declaration, as all below. */
  readonly durable?: boolean
  /** Levels of priority, 1 to 255 (default none). */
  readonly priorities?: number
  /** Messages are dropped (dead-lettered) when they wait longer (default never). */
  readonly ttl?: Duration
  /** Ready messages at most (default no limit). */
  readonly maxLength?: number
  /** Bytes of ready messages at most (default no limit). */
  readonly maxBytes?: number
  /** What happens to a message too many: the oldest is dead-lettered (default), or the new one is refused with QUEUE_FULL. */
  readonly overflow?: 'drop-head' | 'reject-publish' | 'reject-publish-dlx'
  /** The queue is deleted when nobody used it for so long (default never). */
  readonly expires?: Duration
  /** One consumer at a time works; the next takes over when it goes. */
  readonly singleActiveConsumer?: boolean
  /** The dead-letter queue's name (default the queue's name and '.dead'), or false for none: the dead are dropped. */
  readonly deadLetter?: string | false
  /** False: use the queue as it is declared elsewhere; NOT_FOUND where it is not (default true). */
  readonly declare?: boolean
}

/** A queue's options without its schema, whose types depend on the queue. */
export type DeclarationOptions = Omit<QueueOptions, 'schema'>

export const retryChecks: Readonly<Record<string, Check>> = {
  attempts: isInteger(1, 1_000_000),
  backoff: isBackoff,
  timeout: isDuration,
}

export const queueChecks: Readonly<Record<string, Check>> = {
  ...retryChecks,
  schema: isSchema,
  durable: isBoolean,
  priorities: isInteger(1, 255),
  ttl: isDuration,
  maxLength: isInteger(0, Number.MAX_SAFE_INTEGER),
  maxBytes: isInteger(0, Number.MAX_SAFE_INTEGER),
  overflow: isOneOf('drop-head', 'reject-publish', 'reject-publish-dlx'),
  expires: isDuration,
  singleActiveConsumer: isBoolean,
  deadLetter: isEither(isString, isFalse),
  declare: isBoolean,
}

const deadSuffix = '.dead'

/** The dead-letter queue of a queue, or undefined. A dead-letter queue has none unless it is asked for. */
export function deadLetterOf(name: string, options: DeclarationOptions): string | undefined {
  if (options.deadLetter === false) return undefined
  if (options.deadLetter !== undefined) return options.deadLetter
  return name.endsWith(deadSuffix) ? undefined : name + deadSuffix
}

/** The declaration: the dead-letter queue and the queue itself. */
export function queueTopology(name: string, options: DeclarationOptions): Topology {
  const dead = deadLetterOf(name, options)
  if (dead !== undefined && Buffer.byteLength(dead) > 255) {
    throw new ValidationError(
      'INVALID_NAME',
      `The dead-letter queue's name would be over 255 bytes: choose a shorter name for the queue, ` +
        `or name the dead-letter queue with deadLetter: '…' (false for none)`,
    )
  }
  const queue: QueueSpec = {
    name,
    durable: options.durable ?? true,
    ...(options.priorities !== undefined && { maxPriority: options.priorities }),
    ...(options.ttl !== undefined && { messageTtlMs: durationMs(options.ttl, 'ttl') }),
    ...(options.expires !== undefined && { expiresMs: durationMs(options.expires, 'expires') }),
    ...(options.maxLength !== undefined && { maxLength: options.maxLength }),
    ...(options.maxBytes !== undefined && { maxLengthBytes: options.maxBytes }),
    ...(options.overflow !== undefined && { overflow: options.overflow }),
    ...(options.singleActiveConsumer === true && { singleActiveConsumer: true }),
    ...(dead !== undefined && { deadLetter: { exchange: '', routingKey: dead } }),
  }
  const durable = options.durable ?? true
  return { queues: dead === undefined ? [queue] : [{ name: dead, durable }, queue] }
}
