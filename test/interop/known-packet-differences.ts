/** Where it is seen that several requests came in one packet. Part of known-differences.ts. */
import { textOf } from './differential/observation.ts'
import type { ChannelNews, Observation } from './differential/observation.ts'
import { groupsOf } from './differential/step.ts'
import type { Group, Sequence, Step } from './differential/step.ts'
import type { KnownDifference } from './known-differences.ts'

export const knownPacketDifferences: readonly KnownDifference[] = [
  {
    name: 'a mistake behind other requests',
    reason:
      'A mistake in the same packet may overtake deliveries, confirms, and answers of queues to what stood before it; what was not ' +
      'delivered is not redelivered later',
    explains: ({ sequence, at, before, expected, actual }) => {
      const seen = [...before, expected]
      const mistakes = endsOfGroups(sequence).filter(
        (end) => end <= at && /"replyCode":[345]/.test(textOf(seen[end])),
      )
      if (mistakes.length === 0 || textOf(expected) === textOf(actual)) return false
      if (!mistakes.includes(at)) return withoutRedelivered(expected) === withoutRedelivered(actual)
      return withoutRedelivered(withoutOvertaken(expected)) === withoutRedelivered(withoutOvertaken(actual))
    },
  },
  {
    name: 'settling within a packet',
    reason:
      'What is handed over before a get, purge, delete, consume or cancel is handled can be settled by what follows in the same packet',
    explains: ({ sequence, at, expected, actual }) => {
      const group = groupEndingAt(sequence, at)
      const looks = group.findIndex((step) => looking.has(nameOf(step)))
      return (
        looks >= 0 &&
        group.slice(looks + 1).some((step) => settling.has(nameOf(step))) &&
        textOf(expected).includes('PRECONDITION_FAILED - unknown delivery tag') &&
        !textOf(actual).includes('unknown delivery tag')
      )
    },
  },
  {
    name: 'end of a consumer that is cancelled anyway',
    reason:
      'Behind the delete of its queue in the same packet, a cancel is answered, and told of the end too',
    explains: ({ sequence, at, expected, actual }) =>
      endsOfGroups(sequence).includes(at) &&
      textOf(actual).includes('"cancels":') &&
      textOf(actual).includes('"basic.cancel-ok"') &&
      textOf(expected) === textOf(actual).replace(/,"cancels":\[[^\]]*\]/g, ''),
  },
  {
    name: 'order within a packet',
    reason:
      'What came in one packet is handed over together, the highest priority and what returned first; in RabbitMQ each for itself',
    explains: ({ sequence, at, expected, actual }) =>
      endsOfGroups(sequence).includes(at) &&
      sequence.steps.slice(0, at + 1).some((step) => isRequeue(step) || hasPriority(step)) &&
      textOf(expected) !== textOf(actual) &&
      JSON.stringify(withSortedDeliveries(expected)) === JSON.stringify(withSortedDeliveries(actual)),
  },
]

/** What came to each channel; to those that ended, alone or with their connection, only a part of it, if there is any. */
export function eachEnded(
  observation: Observation | undefined,
  partOf: (news: Partial<ChannelNews>) => Partial<ChannelNews>,
): unknown {
  const all = observation?.channels ?? {}
  const hasClose = (name: string): boolean =>
    /"type":"(channel|connection)\.close"/.test(JSON.stringify(all[name]?.replies ?? []))
  return Object.entries(all).flatMap(([name, news]) => {
    const connection = name.split('/')[0]
    const hasEnded = !name.endsWith('/0') && (hasClose(name) || hasClose(`${connection}/0`))
    const lists = Object.entries(hasEnded ? partOf(news) : news).filter(([, list]) => list.length > 0)
    return lists.length === 0 ? [] : [[name, lists]]
  })
}

/** Indexes of the last steps of what is sent in one piece. */
function endsOfGroups(sequence: Sequence): number[] {
  let end = -1
  return groupsOf(sequence.steps).flatMap((group) => {
    end += 'type' in group ? 1 : group.length
    return 'type' in group ? [] : [end]
  })
}

/** As it is where a mistake ends a channel at once: with what it cannot have overtaken. */
function withoutOvertaken(observation: Observation | undefined): unknown {
  const channels = eachEnded(observation, ({ replies = [], returns = [], wrong = [] }) => ({
    replies: replies.filter((reply) => !ofQueues.has((reply as { type: string }).type)),
    returns,
    wrong: wrong.filter((text) => !text.startsWith('not confirmed')),
  }))
  return { channels, queues: Object.keys(observation?.queues ?? {}), error: observation?.error }
}

const ofQueues: ReadonlySet<string> = new Set(['basic.consume-ok', 'basic.cancel-ok'])

/** None where that step stands alone. */
function groupEndingAt(sequence: Sequence, at: number): Group {
  const last = sequence.steps[at]
  const found = groupsOf(sequence.steps).find((group) => !('type' in group) && group.at(-1) === last)
  return found === undefined || 'type' in found ? [] : found
}

function nameOf(step: Group[number]): string {
  return step.type === 'method' ? step.method.type : 'basic.publish'
}

const looking: ReadonlySet<string> = new Set([
  'basic.get',
  'basic.consume',
  'basic.cancel',
  'queue.purge',
  'queue.delete',
])

const settling: ReadonlySet<string> = new Set(['basic.ack', 'basic.nack', 'basic.reject'])

function withoutRedelivered(observed: unknown): string {
  return (JSON.stringify(observed) ?? '').replaceAll('"redelivered":true', '"redelivered":false')
}

/** Deliveries of each channel in an order of their own, without tags. */
function withSortedDeliveries(observation: Observation | undefined): unknown {
  const channels = Object.entries(observation?.channels ?? {}).map(([name, news]) => {
    const deliveries = (news.deliveries ?? []).map((delivery) =>
      JSON.stringify({ ...(delivery as object), deliveryTag: 0 }),
    )
    return [name, { ...news, deliveries: deliveries.sort() }]
  })
  return { ...observation, channels }
}

function isRequeue(step: Step): boolean {
  if (step.type !== 'method') return false
  const { method } = step
  return (method.type === 'basic.reject' || method.type === 'basic.nack') && method.requeue === true
}

function hasPriority(step: Step): boolean {
  return step.type === 'method' && Object.hasOwn(step.table ?? {}, 'x-max-priority')
}
