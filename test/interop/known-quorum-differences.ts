/** Where quorum queues differ on purpose. Part of known-differences.ts. */
import { textOf } from './differential/observation.ts'
import type { Observation } from './differential/observation.ts'
import { isQuorumDeclare, quorumQueues } from './differential/step.ts'
import type { MethodStep, Step } from './differential/step.ts'
import { isMarked } from './differential/typed-table.ts'
import type { Typed } from './differential/typed-table.ts'
import type { KnownDifference } from './known-differences.ts'

export const knownQuorumDifferences: readonly KnownDifference[] = [
  {
    name: 'arguments of quorum queues',
    reason: 'Classic queues have a delivery limit here too, and take what means nothing on one machine',
    explains: ({ step, expected, actual }) =>
      step !== undefined &&
      isMethod(step, 'queue.declare') &&
      (textOf(expected).includes(' of queue type rabbit_classic_queue') ||
        /inequivalent arg 'x-(delivery-limit|dead-letter-strategy|max-in-memory-|quorum-|queue-leader)/.test(
          textOf(actual),
        )),
  },
  {
    name: 'delivery limits that are none',
    reason: 'RabbitMQ takes any value; what is no number is refused here, one below 0 is no limit',
    explains: ({ sequence, at }) =>
      sequence.steps.slice(0, at + 1).some((step) => {
        const limit = isQuorumDeclare(step) ? step.table?.['x-delivery-limit'] : undefined
        return limit !== undefined && !(typeof limit === 'number' && limit >= 0) && !isLong(limit)
      }),
  },
  {
    name: 'exclusive consumers of a quorum queue',
    reason: 'RabbitMQ forgets that a consumer wants to be the only one',
    explains: ({ step, expected, actual }) =>
      step !== undefined &&
      isMethod(step, 'basic.consume') &&
      textOf(actual).includes('in exclusive use') &&
      !textOf(expected).includes('in exclusive use'),
  },
  {
    name: 'consumer tags of a quorum queue used again',
    reason:
      'RabbitMQ fails where something is delivered under the tag of a consumer whose messages are unsettled',
    explains: ({ sequence, at, expected }) =>
      quorumQueues(sequence).size > 0 &&
      textOf(expected).includes('"replyCode":541,"replyText":"INTERNAL_ERROR"') &&
      hasTwice(tagsOf(sequence.steps.slice(0, at + 1))),
  },
  {
    name: 'prefetch of a channel that consumes a quorum queue',
    reason: 'RabbitMQ refuses the consumer, but forgets the prefetch where that comes after it',
    explains: ({ sequence, at }) => {
      const before = sequence.steps.slice(0, at + 1)
      const limits = before.findLastIndex(
        (step) => step.type === 'method' && step.method.type === 'basic.qos' && step.method.global === true,
      )
      const consumes = before.findIndex((step) => isMethod(step, 'basic.consume'))
      return quorumQueues(sequence).size > 0 && consumes >= 0 && consumes < limits
    },
  },
  {
    name: 'prefetch of consumers without acknowledgement',
    reason:
      'What they are sent counts in RabbitMQ until it is on record as settled: the next of a burst goes to others',
    explains: ({ sequence, at, step, expected, actual }) =>
      quorumQueues(sequence).size > 0 &&
      step?.type === 'publish' &&
      (step.copies ?? 1) > 1 &&
      sequence.steps.slice(0, at).some(isPrefetch) &&
      sequence.steps.slice(0, at).some(isWithoutAck) &&
      anyMessages(expected, false) === anyMessages(actual, false),
  },
  {
    name: 'prefetch after a delivery limit',
    reason: 'RabbitMQ gives a consumer one credit too many for each message that has come back too often',
    explains: ({ sequence, at, expected, actual }) => {
      const before = sequence.steps.slice(0, at + 1)
      return (
        before.some((step) => isQuorumDeclare(step) && step.table?.['x-delivery-limit'] !== undefined) &&
        before.some(isPrefetch) &&
        before.some(isReturn) &&
        !/replyCode/.test(`${textOf(expected)}${textOf(actual)}`) &&
        deliveriesIn(expected) > 0
      )
    },
  },
  {
    name: 'quorum queues that refuse what is too much',
    reason:
      'RabbitMQ learns that one is full when it holds one too many, and lets in more when much has gone; none is too many here',
    explains: ({ sequence, expected, actual }) =>
      sequence.steps.some(isSoftlyLimited) && !/replyCode/.test(`${textOf(expected)}${textOf(actual)}`),
  },
  {
    name: 'dead letters of a quorum queue that drops several',
    reason: 'Where one message makes several too many, RabbitMQ sends the last that it drops first',
    explains: ({ sequence, expected, actual }) =>
      sequence.steps.some(dropsSeveral) &&
      textOf(expected) !== textOf(actual) &&
      anyMessages(expected, sequence.steps.some(goesByItself)) ===
        anyMessages(actual, sequence.steps.some(goesByItself)),
  },
  {
    name: 'place of what returns to a quorum queue',
    reason:
      'Where it was before, as in classic queues; in RabbitMQ the tail, or the head, in the order of the returns',
    explains: ({ sequence, at, before, expected, actual }) =>
      quorumQueues(sequence).size > 0 &&
      (sequence.steps.slice(0, at + 1).some(isReturn) || [...before, expected].some(hasClose)) &&
      textOf(expected) !== textOf(actual) &&
      anyMessages(expected, sequence.steps.some(goesByItself)) ===
        anyMessages(actual, sequence.steps.some(goesByItself)),
  },
]

/** It may refuse a publish. */
function isSoftlyLimited(step: Step): boolean {
  if (!isQuorumDeclare(step) || step.table?.['x-overflow'] !== 'reject-publish') return false
  return step.table['x-max-length'] !== undefined || step.table['x-max-length-bytes'] !== undefined
}

/** One message may put several out of it, to be dead-lettered. */
function dropsSeveral(step: Step): boolean {
  if (!isQuorumDeclare(step) || step.table?.['x-dead-letter-exchange'] === undefined) return false
  return step.table['x-max-length-bytes'] !== undefined && step.table['x-overflow'] !== 'reject-publish'
}

function isPrefetch(step: Step): boolean {
  return step.type === 'method' && step.method.type === 'basic.qos' && (step.method.prefetchCount ?? 0) > 0
}

function isWithoutAck(step: Step): boolean {
  return step.type === 'method' && step.method.type === 'basic.consume' && step.method.noAck === true
}

function deliveriesIn(observation: Observation | undefined): number {
  return Object.values(observation?.channels ?? {}).reduce(
    (sum, { deliveries = [] }) => sum + deliveries.length,
    0,
  )
}

/** Something may go back to where it was. */
function isReturn(step: Step): boolean {
  if (step.type === 'abort') return true
  if (step.type !== 'method') return false
  const { method } = step
  if (method.type === 'basic.nack' || method.type === 'basic.reject') return method.requeue === true
  return returns.has(method.type)
}

/** A mistake has ended a channel or a connection. */
function hasClose(observation: Observation | undefined): boolean {
  return /"type":"(channel|connection)\.close"/.test(textOf(observation))
}

const returns: ReadonlySet<string> = new Set([
  'basic.recover',
  'basic.recover-async',
  'channel.close',
  'connection.close',
])

/** How many messages go may depend on which come first: on their sizes, or on what each has left of its time. */
function goesByItself(step: Step): boolean {
  if (step.type === 'publish') return step.properties.expiration !== undefined
  return step.type === 'method' && step.table?.['x-max-length-bytes'] !== undefined
}

/** An observation without which messages were handed to whom: only how many. @param uncounted and not how many are left */
function anyMessages(observation: Observation | undefined, uncounted: boolean): string {
  let delivered = 0
  const channels = Object.entries(observation?.channels ?? {}).map(([name, news]) => {
    const { deliveries = [], replies = [], ...others } = news
    delivered += deliveries.length
    return [name, { ...others, replies: replies.map((reply) => withoutMessage(reply, uncounted)) }] as const
  })
  const { queues, error } = observation ?? {}
  return JSON.stringify({
    delivered,
    channels,
    queues: uncounted ? Object.keys(queues ?? {}) : queues,
    error,
  })
}

function withoutMessage(reply: unknown, uncounted: boolean): unknown {
  const got = reply as { type?: string; messageCount?: number; deliveryTag?: number }
  if (got.type !== 'basic.get-ok') return reply
  const { type, deliveryTag, messageCount } = got
  return uncounted ? { type, deliveryTag } : { type, deliveryTag, messageCount }
}

function isLong(value: Typed): boolean {
  return isMarked(value) && value.$ === 'l'
}

function isMethod(step: Step, type: string): step is MethodStep {
  return step.type === 'method' && step.method.type === type
}

function tagsOf(steps: readonly Step[]): string[] {
  return steps.flatMap((step) =>
    step.type === 'method' && step.method.type === 'basic.consume' ? [step.method.consumerTag ?? ''] : [],
  )
}

function hasTwice(items: readonly string[]): boolean {
  return new Set(items).size < items.length
}
