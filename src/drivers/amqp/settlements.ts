/** What becomes of a delivery besides its acknowledgement: published, and confirmed, before it is acknowledged. */
import { MillraceError } from '../../model/errors.ts'
import type { Outgoing, PublishResult, QueueSpec } from '../../client/driver.ts'
import { deadLetter } from './dead-letter.ts'
import { assertDelay } from './delays.ts'
import type { Delays } from './delays.ts'
import type { Settlements } from './delivery.ts'
import { republished, wholeMs } from './envelope.ts'
import type { Wire } from './envelope.ts'
import { isConnectionLoss } from './failure.ts'
import { held } from './outbound.ts'
import type { Outbound } from './outbound.ts'
import type { Publisher } from './publisher.ts'

export interface SettlementsSetup {
  readonly publisher: Publisher
  readonly outbound: Outbound
  readonly delays: Delays
  /** The queue as this connection declared it. */
  readonly declared: (queue: string) => QueueSpec | undefined
}

export function settlementsOver(setup: SettlementsSetup): Settlements {
  const { publisher, outbound, delays, declared } = setup
  return {
    publish: (out) => publishAll(outbound, out),
    again: async ({ incoming, queue, attempt, delayMs }) => {
      assertDelay(delayMs, delays.maximumMs)
      const isHeld = wholeMs(delayMs, 'delayMs') > 0
      const plain = republished(incoming, { attempt, routingKey: queue, held: isHeld })
      const wire = isHeld ? await heldBack(delays, plain, delayMs, queue) : plain
      return wire !== undefined && (await stored(publisher, wire))
    },
    dead: async (death) => {
      const to = declared(death.queue)?.deadLetter
      if (to === undefined) return false
      return (await decided(publisher, deadLetter(death, to, Date.now()))) !== 'refused'
    },
  }
}

/** Undefined where the queue is gone: there is nowhere to bring the message back to. */
async function heldBack(
  delays: Delays,
  wire: Wire,
  delayMs: number,
  queue: string,
): Promise<Wire | undefined> {
  try {
    return await held(wire, delays, delayMs, { type: 'queue', name: queue })
  } catch (error) {
    if (error instanceof MillraceError && error.code === 'NOT_FOUND') return undefined
    throw error
  }
}

async function stored(publisher: Publisher, wire: Wire): Promise<boolean> {
  return (await decided(publisher, wire)) === 'stored'
}

/**
 * The old copy is still held, so where a connection went before the confirm the message is simply sent once more: it may
 * come twice, and is never lost.
 */
async function decided(publisher: Publisher, wire: Wire): Promise<'stored' | 'returned' | 'refused'> {
  for (;;) {
    const [verdict] = await publisher.send([wire])
    if (isConnectionLoss(verdict)) continue
    return typeof verdict === 'string' ? verdict : 'refused'
  }
}

/** @throws the error of the first that was refused */
async function publishAll(outbound: Outbound, out: readonly Outgoing[]): Promise<void> {
  let left = out
  while (left.length > 0) {
    const sent = left
    const results = await outbound.publish(sent)
    const refused = results.find((result) => result.type === 'rejected' && !isConnectionLoss(result.error))
    if (refused?.type === 'rejected') throw refused.error
    left = sent.filter((_outgoing, index) => isLost(results[index]))
  }
}

function isLost(result: PublishResult | undefined): boolean {
  return result?.type === 'rejected' && isConnectionLoss(result.error)
}
