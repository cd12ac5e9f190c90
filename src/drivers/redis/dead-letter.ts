/** A dead letter's properties: why it died, and the history of deaths as RabbitMQ writes it (https://www.rabbitmq.com/docs/dlx#effects). */
import type { FieldTable, FieldValue } from '../../model/field-table.ts'
import { isFieldArray } from '../../model/field-value.ts'
import type { Properties } from '../../model/properties.ts'

export interface Death {
  readonly queue: string
  readonly reason: 'rejected' | 'expired' | 'maxlen' | 'delivery_limit'
  readonly atMs: number
  /** What the handler that gave it up said. */
  readonly account: { readonly reason: string; readonly error: string } | undefined
  /** Attempts used up before this one. */
  readonly attempts: number
}

export function deadProperties(
  message: { exchange: string; routingKey: string; properties: Properties },
  death: Death,
): Properties {
  const { expiration: _expiration, ...rest } = message.properties
  const headers = { ...message.properties.headers, ...deathHeaders(message, death), ...accountOf(death) }
  return { ...rest, headers }
}

function accountOf({ account, attempts }: Death): FieldTable {
  if (account === undefined) return {}
  return {
    'x-millrace-reason': account.reason,
    'x-millrace-attempts': attempts + 1,
    ...(account.error !== '' && { 'x-millrace-error': account.error }),
  }
}

function deathHeaders(
  message: { exchange: string; routingKey: string; properties: Properties },
  death: Death,
): FieldTable {
  const headers = message.properties.headers ?? {}
  const { queue, reason, atMs } = death
  const deaths = deathsOf(headers)
  const same = deaths.find((other) => other['queue'] === queue && other['reason'] === reason)
  const { expiration } = message.properties
  const latest: FieldTable = {
    reason,
    queue,
    time: new Date(Math.floor(atMs / 1_000) * 1_000),
    exchange: message.exchange,
    'routing-keys': [message.routingKey],
    ...(expiration !== undefined && { 'original-expiration': expiration }),
    ...same,
    count: Number(same?.['count'] ?? 0) + 1,
  }
  const isFirst = !Object.hasOwn(headers, 'x-first-death-reason')
  return {
    'x-death': [latest, ...deaths.filter((other) => other !== same)],
    'x-last-death-reason': reason,
    'x-last-death-queue': queue,
    'x-last-death-exchange': message.exchange,
    ...(isFirst && {
      'x-first-death-reason': reason,
      'x-first-death-queue': queue,
      'x-first-death-exchange': message.exchange,
    }),
  }
}

/** Those on record, newest first; whatever else a client put there counts as none. */
export function deathsOf(headers: FieldTable): readonly FieldTable[] {
  const deaths = headers['x-death']
  return deaths !== undefined && isFieldArray(deaths) ? deaths.filter(isTable) : []
}

function isTable(value: FieldValue): value is FieldTable {
  return (
    typeof value === 'object' &&
    value !== null &&
    !isFieldArray(value) &&
    !(value instanceof Uint8Array) &&
    !(value instanceof Date)
  )
}
