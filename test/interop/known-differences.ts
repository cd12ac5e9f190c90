/**
 * Where Millrace's broker differs from RabbitMQ on purpose. Each is matched as narrowly as it can be, and documented for users
 * in docs/compatibility.md.
 */
import type { Difference } from './differential/compare.ts'
import type { Observation } from './differential/observation.ts'
import { hasDeadLetters } from './differential/step.ts'
import type { Step } from './differential/step.ts'
import { isMarked } from './differential/typed-table.ts'

export interface KnownDifference {
  readonly name: string
  readonly reason: string
  explains(difference: Difference): boolean
}

export const knownDifferences: readonly KnownDifference[] = [
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
    name: 'method on channel 0 that is none',
    reason: "RabbitMQ's connection process fails and hangs up without a word",
    explains: ({ step, expected, actual }) =>
      step?.type === 'frames' &&
      step.frames.some(({ type, channel }) => type === 1 && channel === 0) &&
      textOf(expected).includes('"0/0":{"replies":["socket closed"]}') &&
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
    name: 'queue type that is no text',
    reason: 'RabbitMQ fails on some of them (541), here they are 406',
    explains: ({ step, expected, actual }) =>
      step?.type === 'method' &&
      typeof step.table?.['x-queue-type'] !== 'string' &&
      textOf(expected).includes('"replyCode":541,"replyText":"INTERNAL_ERROR"') &&
      textOf(actual).includes("PRECONDITION_FAILED - invalid arg 'x-queue-type'"),
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

/** Something that it declares or publishes expires. */
function hasExpiry(step: Step): boolean {
  if (step.type === 'publish') return step.properties.expiration !== undefined
  return step.type === 'method' && Object.hasOwn(step.table ?? {}, 'x-message-ttl')
}

function textOf(observation: Observation | undefined): string {
  return JSON.stringify(observation) ?? ''
}
