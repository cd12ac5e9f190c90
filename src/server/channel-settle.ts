/**
 * Settling as AMQP cannot: a message published to the pseudo-queue `amq.millrace.settle` says in its headers which delivery
 * of its channel is to be tried again later, given back uncounted, or dead-lettered with a reason (docs/amqp-extensions.md).
 * Like an acknowledgement it holds at once, is one step of the queue, and is told to nobody unless the channel is in confirm mode.
 */
import type { Session } from '../broker/broker.ts'
import { settleHeader, settleOutcomes } from '../model/extension.ts'
import type { SettleOutcome } from '../model/extension.ts'
import type { FieldTable } from '../model/field-value.ts'
import type { Channel } from './channel.ts'
import { text, whole } from './publish-headers.ts'
import { preconditionFailed } from './refusal.ts'

/** Throws PRECONDITION_FAILED for headers that say nothing or too little, an unknown delivery tag, and in a transaction. */
export function settleDelivery(channel: Channel, headers: FieldTable): void {
  const { session, connection } = channel
  const { nowMs } = connection
  const deliveryTag = whole(headers, settleHeader.deliveryTag)
  if (deliveryTag === undefined)
    throw preconditionFailed(`the header '${settleHeader.deliveryTag}' is missing`)
  const outcome = outcomeOf(headers)
  if (session.transaction !== undefined)
    throw preconditionFailed('a transaction cannot settle deliveries by a message')
  const delayMs = whole(headers, settleHeader.delay) ?? 0
  if (!settle(session, { outcome, deliveryTag, delayMs, headers, nowMs }))
    throw preconditionFailed(`unknown delivery tag ${deliveryTag}`)
  connection.changes.changed()
}

interface Settlement {
  readonly outcome: SettleOutcome
  readonly deliveryTag: number
  readonly delayMs: number
  readonly headers: FieldTable
  readonly nowMs: number
}

/** False where that delivery is not outstanding. */
function settle(session: Session, { outcome, deliveryTag, delayMs, headers, nowMs }: Settlement): boolean {
  switch (outcome) {
    case 'retry':
      return session.settleRetry(deliveryTag, delayMs, nowMs)
    case 'release':
      return session.settleRelease(deliveryTag, delayMs, nowMs)
    case 'dead': {
      const reason = text(headers, settleHeader.reason) ?? 'rejected'
      return session.settleDead(deliveryTag, { reason, error: text(headers, settleHeader.error) }, nowMs)
    }
  }
}

function outcomeOf(headers: FieldTable): SettleOutcome {
  const said = text(headers, settleHeader.outcome)
  const outcome = settleOutcomes.find((each) => each === said)
  if (outcome !== undefined) return outcome
  throw preconditionFailed(
    `the header '${settleHeader.outcome}' must be one of ${settleOutcomes.join(', ')}, not '${said ?? ''}'`,
  )
}
