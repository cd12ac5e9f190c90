/** Subscribing a session to a queue, and ending that. */
import { describeResource, parseConsumerArguments } from '../model/arguments.ts'
import { MillraceError } from '../model/errors.ts'
import { emptyFieldTable } from '../model/field-value.ts'
import type { FieldTable } from '../model/field-value.ts'
import { Consumer } from './consumer.ts'
import type { Kernel } from './kernel.ts'
import type { Queue } from './queue.ts'
import { exclusivelyUsed, globalQosRefused, tooMany } from './refusals.ts'
import type { Session } from './session.ts'
import { removeQueue, touch } from './topology.ts'

export interface Consume {
  readonly queue: string
  /** '' has the broker make one. */
  readonly tag: string
  readonly noAck?: boolean
  readonly exclusive?: boolean
  readonly arguments?: FieldTable
  /** Instead of what `qos` said. */
  readonly prefetch?: number
}

/** Codes ACCESS_REFUSED (exclusive), NOT_ALLOWED (tag in use), PRECONDITION_FAILED (arguments), UNSUPPORTED (global qos), LIMIT_REACHED. */
export function subscribe(
  kernel: Kernel,
  session: Session,
  wanted: Consume & { prefetch: number },
  nowMs: number,
): Consumer {
  // That no queue was declared here is told of before all else.
  if (wanted.queue === '' && session.topology.lastQueueName === '') session.queue('')
  const tag = wanted.tag === '' ? `amq.ctag-${kernel.name()}` : wanted.tag
  if (session.consumers.has(tag)) {
    throw new MillraceError('NOT_ALLOWED', `attempt to reuse consumer tag '${tag}'`)
  }
  const queue = session.queue(wanted.queue)
  const where = { name: queue.name, vhost: session.vhost.name }
  const table = wanted.arguments ?? emptyFieldTable
  const resource = describeResource('queue', where)
  const { priority, isShownCount } = parseConsumerArguments(table, resource, queue.settings.type)
  const isLimitedAsWhole = session.creditLimit < kernel.limits.unackedPerSession
  if (isLimitedAsWhole && queue.settings.type === 'quorum') throw globalQosRefused(where)
  const exclusive = wanted.exclusive ?? false
  const taken = exclusive && (queue.consumers.size > 0 || queue.settings.singleActiveConsumer)
  if (taken || queue.consumers.exclusive) throw exclusivelyUsed(where)
  const limit = kernel.limits.consumersPerSession
  if (session.consumers.size >= limit) throw tooMany('consumers', limit)
  const consumer = new Consumer({
    session,
    queue,
    tag,
    noAck: wanted.noAck ?? false,
    exclusive,
    priority,
    arguments: table,
    isShownCount,
    prefetch: wanted.prefetch,
  })
  session.consumers.set(tag, consumer)
  queue.consumers.add(consumer)
  queue.hadConsumer = true
  touch(kernel, queue, nowMs)
  kernel.markDirty(queue)
  return consumer
}

/** The consumer is given nothing more; its queue stays, see `deleteIfUnused`. */
export function unsubscribe(kernel: Kernel, consumer: Consumer, nowMs: number): void {
  const queue = consumer.queue
  consumer.cancelled = true
  consumer.session.consumers.delete(consumer.tag)
  queue.consumers.remove(consumer)
  if (queue.consumers.size === 0) touch(kernel, queue, nowMs)
  if (queue.readyMessages > 0) kernel.markDirty(queue)
}

/** An auto-delete queue goes when the last consumer it had has gone. */
export function deleteIfUnused(kernel: Kernel, queue: Queue): void {
  if (queue.autoDelete && queue.hadConsumer && queue.consumers.size === 0 && !queue.deleted) {
    removeQueue(kernel, queue)
  }
}
