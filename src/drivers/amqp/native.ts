/**
 * What Millrace's own broker does by itself, asked for in its own words (docs/amqp-extensions.md): delays, keys and
 * de-duplication by headers of the message, and settlements by a message to its pseudo-queue, each one step of the queue.
 */
import type { Outcome, Outgoing } from '../../client/driver.ts'
import { shortened } from '../../model/death-account.ts'
import { ValidationError } from '../../model/errors.ts'
import { publishHeader, settleHeader, settleKey } from '../../model/extension.ts'
import type { Channel, Incoming } from './amqplib.ts'
import { wholeMs } from './envelope.ts'
import type { Wire } from './envelope.ts'
import type { WireTable } from './field-values.ts'

/** The longest delay, in ms: ten years. */
export const maximumNativeDelayMs = 3_650 * 86_400_000

/** The longest de-duplication window, in ms. */
export const maximumWindowMs = 30 * 86_400_000

/** What the broker takes for an order, whoever wrote it. */
const orders = Object.values(publishHeader)

/** The message with what the broker is to do with it. @throws ValidationError INVALID_ARGUMENT */
export function withOrders(wire: Wire, outgoing: Outgoing): Wire {
  const { delayMs = 0, key = '', dedupe } = outgoing
  assertNoOrders(outgoing)
  if (delayMs === 0 && key === '' && dedupe === undefined) return wire
  const headers: WireTable = { ...(wire.fields.headers as WireTable | undefined) }
  if (delayMs !== 0) headers[publishHeader.delay] = int64(wholeMs(Math.ceil(delayMs), 'delayMs'))
  if (key !== '') headers[publishHeader.key] = key
  if (dedupe !== undefined) {
    headers[publishHeader.dedupe] = dedupe.key
    headers[publishHeader.dedupeWindow] = int64(windowOf(dedupe.windowMs))
  }
  return { ...wire, fields: { ...wire.fields, headers } }
}

/** One that is wrong would end the channel, under all other messages. */
function assertNoOrders({ properties }: Outgoing): void {
  const { headers } = properties
  if (headers === undefined) return
  const order = orders.find((name) => Object.hasOwn(headers, name))
  if (order === undefined) return
  throw new ValidationError(
    'INVALID_ARGUMENT',
    `headers: ${order} is an order to Millrace's broker; give it as an option (delay, key, dedupe), or call the header otherwise`,
  )
}

/** The server would close the channel over it, under all other messages. */
function windowOf(windowMs: number): number {
  const whole = wholeMs(windowMs, 'dedupe.windowMs')
  if (whole <= maximumWindowMs) return whole
  throw new ValidationError(
    'INVALID_ARGUMENT',
    `dedupe: the window must be from 0 to ${maximumWindowMs} ms, not ${windowMs}`,
  )
}

/** What settles a delivery, in the broker's words. @throws ValidationError INVALID_ARGUMENT */
export function settlementOf(incoming: Incoming, outcome: Exclude<Outcome, { type: 'ack' }>): WireTable {
  const headers: WireTable = {
    [settleHeader.deliveryTag]: int64(incoming.fields.deliveryTag),
    [settleHeader.outcome]: outcome.type,
  }
  if (outcome.type === 'dead') {
    headers[settleHeader.reason] = shortened(outcome.reason)
    if (outcome.error !== undefined) headers[settleHeader.error] = shortened(outcome.error)
  } else if (outcome.delayMs !== undefined) {
    headers[settleHeader.delay] = int64(wholeMs(Math.ceil(outcome.delayMs), 'delayMs'))
  }
  return headers
}

/** On the delivery's own channel; it holds at once and without an answer, as an acknowledgement does. */
export function settleNatively(channel: Channel, settlement: WireTable): void {
  channel.publish('', settleKey, nothing, { headers: settlement })
}

const nothing = Buffer.alloc(0)

function int64(value: number): unknown {
  return { '!': 'int64', value }
}
