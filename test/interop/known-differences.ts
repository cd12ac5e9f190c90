/**
 * Where Millrace's broker differs from RabbitMQ on purpose. Each is matched as narrowly as it can be, and documented for users
 * in docs/compatibility.md.
 */
import type { Difference } from './differential/compare.ts'
import type { Observation } from './differential/observation.ts'
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

function textOf(observation: Observation | undefined): string {
  return JSON.stringify(observation) ?? ''
}
