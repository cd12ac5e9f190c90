/**
 * Where Millrace's broker differs from RabbitMQ on purpose. Each is matched as narrowly as it can be, and documented for users
 * in docs/compatibility.md.
 */
import type { Difference } from './differential/compare.ts'
import { textOf } from './differential/observation.ts'
import type { Observation } from './differential/observation.ts'
import { hasDeadLetters } from './differential/step.ts'
import type { Step } from './differential/step.ts'
import { isMarked } from './differential/typed-table.ts'
import { eachEnded, knownPacketDifferences } from './known-packet-differences.ts'
import { knownQuorumDifferences } from './known-quorum-differences.ts'

export interface KnownDifference {
  readonly name: string
  readonly reason: string
  explains(difference: Difference): boolean
}

export const knownDifferences: readonly KnownDifference[] = [
  ...knownQuorumDifferences,
  ...knownPacketDifferences,
  {
    name: 'unknown exchange type',
    reason: 'RabbitMQ 3 closes the connection with 503; RabbitMQ 4 and Millrace close the channel with 406',
    explains: ({ step, expected, actual }) =>
      step?.type === 'method' &&
      step.method.type === 'exchange.declare' &&
      textOf(expected).includes('"replyCode":503,"replyText":"COMMAND_INVALID - ') &&
      textOf(actual).includes('"replyCode":406,"replyText":"PRECONDITION_FAILED - unknown exchange type'),
  },
  {
    name: 'method that is none, where no channel is open',
    reason: "RabbitMQ's connection process fails on it and hangs up without a word",
    explains: ({ step, expected, actual }) =>
      step?.type === 'frames' &&
      step.frames.some(({ type }) => type === 1) &&
      textOf(expected).includes('/0":{"replies":["socket closed"]}') &&
      textOf(actual).includes('"type":"connection.close"'),
  },
  {
    name: 'malformed properties',
    reason: 'RabbitMQ fails on them (541), here they are a syntax error (502)',
    explains: ({ step, expected, actual }) =>
      step?.type === 'frames' &&
      textOf(expected).includes('"replyCode":541,"replyText":"INTERNAL_ERROR"') &&
      textOf(actual).includes(
        '"replyCode":502,"replyText":"SYNTAX_ERROR - the content header holds no property list',
      ),
  },
  {
    name: 'no such queue type',
    reason: 'RabbitMQ fails where the queue is to be named by the server (541), here it is 406 as for others',
    explains: ({ step, expected, actual }) =>
      step?.type === 'method' &&
      step.method.type === 'queue.declare' &&
      textOf(expected).includes('"replyCode":541,"replyText":"INTERNAL_ERROR"') &&
      Object.hasOwn(step.table ?? {}, 'x-queue-type') &&
      textOf(actual).includes('PRECONDITION_FAILED - invalid '),
  },
  {
    name: 'two faults in one message',
    reason: 'RabbitMQ tells of CC before the delivery mode, Millrace after it; both are 406',
    explains: ({ expected, actual }) =>
      textOf(expected).includes('unacceptable_type_in_header') &&
      textOf(actual).includes('delivery_mode_unknown'),
  },
  {
    name: 'expiry in a queue with priorities',
    reason:
      "RabbitMQ looks at a message's expiry when it enters an empty queue, not when it becomes the head by its priority",
    explains: ({ sequence }) =>
      sequence.steps.some(
        (step) => step.type === 'method' && Object.hasOwn(step.table ?? {}, 'x-max-priority'),
      ) && sequence.steps.some(hasExpiry),
  },
  {
    name: 'dead letters of blind copies',
    reason: 'RabbitMQ routes a dead letter by the keys of BCC too, Millrace has forgotten them by then',
    explains: ({ sequence }) =>
      sequence.steps.some(
        (step) => step.type === 'publish' && step.properties.headers?.['BCC'] !== undefined,
      ) && hasDeadLetters(sequence),
  },
  {
    name: 'order of older deaths',
    reason:
      'RabbitMQ 3 turns them over with each new one, by which it sees cycles where a message was rejected meanwhile, or none; here ' +
      'the latest is first',
    explains: ({ sequence, at, before, expected, actual }) => {
      if (!hasDeadLetters(sequence)) return false
      if (textOf(expected) !== textOf(actual) && withSortedDeaths(expected) === withSortedDeaths(actual))
        return true
      return (
        sequence.steps.filter(deadLetters).length > 1 &&
        sequence.steps.slice(0, at + 1).some(isRefusal) &&
        before.some((seen) => textOf(seen).includes('"x-death":[')) &&
        withoutDeadLetters(expected) === withoutDeadLetters(actual)
      )
    },
  },
  {
    name: "deaths of a client's own making",
    reason:
      'In an x-death that a publisher sent, RabbitMQ keeps what is no history of deaths; Millrace makes one of it',
    explains: ({ sequence }) =>
      hasDeadLetters(sequence) &&
      sequence.steps.some(
        (step) => step.type === 'publish' && step.properties.headers?.['x-death'] !== undefined,
      ),
  },
  {
    name: 'order between queues',
    reason:
      'Of a message for several queues nobody promises whose consumer on one channel is handed it first, nor of a get meanwhile',
    explains: ({ sequence, expected, actual }) =>
      new Set(sequence.steps.flatMap((step) => consumedQueue(step) ?? [])).size > 1 &&
      textOf(expected) !== textOf(actual) &&
      textOf(byConsumer(expected)) === textOf(byConsumer(actual)),
  },
  {
    name: 'dead letters of a burst',
    reason:
      'Where several messages come at once, dead letters of one queue race with what the next is sent directly',
    explains: ({ sequence, at }) =>
      hasDeadLetters(sequence) &&
      sequence.steps.slice(0, at + 1).some((step) => step.type === 'publish' && (step.copies ?? 1) > 1),
  },
  {
    name: 'channels of a connection that ends',
    reason:
      'RabbitMQ ends them one by one; what the first gives back the next may be handed, and lose without acknowledgement, or ' +
      'give back once more than a delivery limit allows',
    explains: ({ sequence, step, expected }) =>
      sequence.steps.some(
        (other) =>
          other.type === 'method' &&
          ((other.method.type === 'basic.consume' && other.method.noAck === true) ||
            other.table?.['x-delivery-limit'] !== undefined),
      ) &&
      (step?.type === 'abort' || /"type":"connection.close|"socket closed"/.test(textOf(expected))),
  },
  {
    name: 'consumers of a channel that ends',
    reason:
      'RabbitMQ ends them one by one; what the first gives back the next may be sent, though its channel is closed',
    explains: ({ sequence, expected, actual }) =>
      hasDeadLetters(sequence) &&
      textOf(expected) !== textOf(actual) &&
      JSON.stringify(withoutClosed(expected)) === JSON.stringify(withoutClosed(actual)),
  },
  {
    name: 'end of an exclusive queue',
    reason:
      'RabbitMQ has its unacknowledged messages expire into dead letters before it goes with its connection',
    explains: ({ sequence, expected, step }) =>
      hasDeadLetters(sequence) &&
      sequence.steps.some(hasExpiry) &&
      sequence.steps.some(
        (other) => other.type === 'method' && 'exclusive' in other.method && other.method.exclusive,
      ) &&
      (step?.type === 'abort' || textOf(expected).includes('"type":"connection.close')),
  },
  {
    name: 'direct reply in a transaction',
    reason: 'A reply goes to no queue, and is not held back until the commit here',
    explains: ({ sequence }) =>
      sequence.steps.some((step) => step.type === 'method' && step.method.type === 'tx.select') &&
      sequence.steps.some((step) => step.type === 'publish' && step.publish.routingKey === '$reply'),
  },
  {
    name: 'declare of an address for replies',
    reason: 'RabbitMQ fails (541) where the address is that of the same channel, here it is found',
    explains: ({ step, expected }) =>
      step?.type === 'method' &&
      step.method.type === 'queue.declare' &&
      step.method.queue === '$reply' &&
      textOf(expected).includes('"replyCode":541,"replyText":"INTERNAL_ERROR"'),
  },
  {
    name: 'prefetch of a channel, and gets',
    reason:
      'RabbitMQ counts what basic.get took before basic.qos as well, and does not give it back when it is settled',
    explains: ({ sequence }) =>
      sequence.steps.some(
        (step) => step.type === 'method' && step.method.type === 'basic.qos' && step.method.global === true,
      ) &&
      sequence.steps.some(
        (step) => step.type === 'method' && step.method.type === 'basic.get' && step.method.noAck !== true,
      ),
  },
  {
    name: 'prefetch of a channel, and returns',
    reason: 'In RabbitMQ the room that a return makes may be known before what returned is back',
    explains: ({ sequence, step, expected, actual }) =>
      sequence.steps.some(
        (other) =>
          other.type === 'method' && other.method.type === 'basic.qos' && other.method.global === true,
      ) &&
      step?.type === 'method' &&
      ['basic.recover', 'basic.recover-async', 'basic.nack', 'basic.reject'].includes(step.method.type) &&
      countOfDeliveries(expected) > 0 &&
      countOfDeliveries(expected) === countOfDeliveries(actual) &&
      withoutMessages(expected) === withoutMessages(actual),
  },
  {
    name: 'no queue named on an unopened channel',
    reason: 'RabbitMQ looks for the last queue declared before it looks whether the channel is open',
    explains: ({ step, expected, actual }) =>
      step?.type === 'method' &&
      step.raw === true &&
      textOf(expected).includes('NOT_FOUND - no previously declared queue') &&
      textOf(actual).includes("CHANNEL_ERROR - expected 'channel.open'"),
  },
  {
    name: 'floating point without a fraction',
    reason:
      'A number of type d or f that is whole is an integer here, since JavaScript knows one kind of number',
    explains: ({ step }) =>
      step?.type === 'method' &&
      Object.values(step.table ?? {}).some(
        (value) => isMarked(value) && 'df'.includes(value.$) && Number.isInteger(Number(value.value)),
      ),
  },
]

function consumedQueue(step: Step): string | undefined {
  if (step.type !== 'method') return undefined
  return step.method.type === 'basic.consume' || step.method.type === 'basic.get'
    ? step.method.queue
    : undefined
}

/** Deliveries in the order of their consumers, and what was asked for, without their tags. */
function byConsumer(observation: Observation | undefined): Observation | undefined {
  if (observation === undefined) return undefined
  const channels = Object.entries(observation.channels).map(([name, news]) => {
    const deliveries = (news.deliveries ?? []) as readonly { consumerTag: string; deliveryTag: number }[]
    const sorted = deliveries
      .map((delivery) => ({ ...delivery, deliveryTag: 0 }))
      .sort((a, b) => a.consumerTag.localeCompare(b.consumerTag))
    const replies = (news.replies ?? []).map((reply) => (isGot(reply) ? { ...reply, deliveryTag: 0 } : reply))
    return [name, { ...news, replies, deliveries: sorted }] as const
  })
  return { ...observation, channels: Object.fromEntries(channels) }
}

function countOfDeliveries(observation: Observation | undefined): number {
  const all = Object.values(observation?.channels ?? {})
  return all.reduce((sum, { deliveries = [] }) => sum + deliveries.length, 0)
}

/** A message is dead-lettered because somebody said so, after which it may come to the same queue again. */
function isRefusal(step: Step): boolean {
  if (step.type !== 'method') return false
  const { method } = step
  return (method.type === 'basic.reject' || method.type === 'basic.nack') && method.requeue !== true
}

function deadLetters(step: Step): boolean {
  return step.type === 'method' && step.table?.['x-dead-letter-exchange'] !== undefined
}

function withSortedDeaths(observation: Observation | undefined): string {
  const sorted = (name: string, value: unknown): unknown =>
    name === 'x-death' && Array.isArray(value) ? value.map((death) => JSON.stringify(death)).sort() : value
  return JSON.stringify(observation, sorted) ?? ''
}

/** What there is in an observation besides messages and their numbers. */
function withoutMessages(observation: Observation | undefined): string {
  const channels = Object.entries(observation?.channels ?? {}).flatMap(([name, news]) => {
    const others = Object.entries({ ...news, replies: (news.replies ?? []).filter((reply) => !isGot(reply)) })
    const told = others.filter(([list, items]) => list !== 'deliveries' && items.length > 0)
    return told.length === 0 ? [] : [[name, told]]
  })
  return JSON.stringify([channels, observation?.error])
}

/** An observation but for dead letters, how many there are, and the tags that they have taken. */
function withoutDeadLetters(observation: Observation | undefined): string {
  const channels = Object.entries(observation?.channels ?? {}).flatMap(([name, news]) => {
    const deliveries = (news.deliveries ?? []).filter((delivery) => !isDeadLetter(delivery)).map(withoutTag)
    const replies = (news.replies ?? []).map((reply) => {
      if (!isGot(reply)) return reply
      return isDeadLetter(reply) ? { type: 'basic.get-empty' } : withoutTag(reply)
    })
    const lists = Object.entries({ ...news, deliveries, replies }).filter(([, list]) => list.length > 0)
    return lists.length === 0 ? [] : [[name, lists.sort(([a], [b]) => (a < b ? -1 : 1))]]
  })
  return JSON.stringify([channels, Object.keys(observation?.queues ?? {}), observation?.error])
}

function isDeadLetter(message: unknown): boolean {
  return JSON.stringify(message).includes('"x-death":[')
}

function withoutTag(message: unknown): unknown {
  const { deliveryTag: _tag, messageCount: _count, ...others } = message as Record<string, unknown>
  return others
}

function isGot(reply: unknown): reply is object {
  return ['basic.get-ok', 'basic.get-empty'].includes((reply as { type?: string }).type ?? '')
}

/** Without what came to channels that ended. */
function withoutClosed(observation: Observation | undefined): unknown {
  return {
    ...observation,
    channels: eachEnded(observation, (news) => ({ ...news, deliveries: [] })),
  }
}

/** Something that it declares or publishes expires. */
function hasExpiry(step: Step): boolean {
  if (step.type === 'publish') return step.properties.expiration !== undefined
  return step.type === 'method' && Object.hasOwn(step.table ?? {}, 'x-message-ttl')
}
