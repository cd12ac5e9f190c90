/**
 * Dead-lettering by the driver: the server could do it alone, but it cannot be told why. So the message is published to
 * the queue's dead-letter exchange with the reason, and with the history of deaths as RabbitMQ writes it
 * (https://www.rabbitmq.com/docs/dlx#effects).
 */
import type { QueueSpec } from '../../client/driver.ts'
import { shortened } from '../../model/death-account.ts'
import type { Incoming } from './amqplib.ts'
import { cleaned, headersOf, moved, ReceivedMessage, wireHeader } from './envelope.ts'
import type { Wire } from './envelope.ts'
import type { WireTable } from './field-values.ts'

export interface Death {
  readonly incoming: Incoming
  readonly queue: string
  readonly attempt: number
  readonly reason: string
  readonly error: string | undefined
}

/** The dead letter. @param to the queue's dead-letter exchange and routing key */
export function deadLetter(death: Death, to: NonNullable<QueueSpec['deadLetter']>, nowMs: number): Wire {
  const { incoming, queue, attempt, reason, error } = death
  const { exchange, routingKey } = new ReceivedMessage(incoming)
  const before = cleaned(headersOf(incoming))
  const headers: WireTable = {
    ...before,
    ...history(before, {
      queue,
      exchange,
      routingKey,
      nowMs,
      expiration: incoming.properties.expiration as unknown,
    }),
    'x-millrace-reason': shortened(reason),
    'x-millrace-attempts': attempt,
    // Not that of a former death.
    'x-millrace-error': error === undefined ? undefined : shortened(error),
  }
  for (const name of Object.values(wireHeader)) delete headers[name]
  if (to.routingKey !== undefined) delete headers['CC']
  const { content, fields } = moved(incoming, '')
  return {
    exchange: to.exchange,
    routingKey: to.routingKey ?? routingKey,
    content,
    fields: { ...fields, headers },
  }
}

function history(
  headers: WireTable,
  death: { queue: string; exchange: string; routingKey: string; nowMs: number; expiration: unknown },
): WireTable {
  const { queue, exchange, routingKey, nowMs, expiration } = death
  const deaths = (Array.isArray(headers['x-death']) ? headers['x-death'] : []) as WireTable[]
  const same = deaths.find((other) => other['queue'] === queue && other['reason'] === 'rejected')
  const count = typeof same?.['count'] === 'number' ? same['count'] : 0
  const latest: WireTable = {
    reason: 'rejected',
    queue,
    time: { '!': 'timestamp', value: Math.floor(nowMs / 1_000) },
    exchange,
    'routing-keys': [routingKey],
    ...(typeof expiration === 'string' && { 'original-expiration': expiration }),
    ...same,
    count: { '!': 'int64', value: count + 1 },
  }
  const result: WireTable = {
    'x-death': [latest, ...deaths.filter((other) => other !== same)],
    'x-last-death-reason': 'rejected',
    'x-last-death-queue': queue,
    'x-last-death-exchange': exchange,
  }
  if (headers['x-first-death-reason'] !== undefined) return result
  return {
    ...result,
    'x-first-death-reason': 'rejected',
    'x-first-death-queue': queue,
    'x-first-death-exchange': exchange,
  }
}
