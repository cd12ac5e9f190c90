/**
 * Moves messages from one queue to another: taken, published, confirmed, and only then acknowledged. A crash in between
 * leaves a message in both.
 */
import { MillraceError } from '../../model/errors.ts'
import { aborted } from '../in-process-abort.ts'
import { openChannel } from './amqplib.ts'
import type { Connection, Incoming } from './amqplib.ts'
import { moved } from './envelope.ts'
import { asMillraceError } from './failure.ts'
import type { Publisher } from './publisher.ts'

/** Messages taken and not yet acknowledged at most. */
const together = 200

export interface Move {
  readonly from: string
  readonly to: string
  readonly limit: number
  readonly signal: AbortSignal | undefined
}

/** Says how many were moved. @throws MillraceError ABORTED, QUEUE_FULL, NOT_FOUND, CONNECTION_LOST */
export async function moveMessages(
  connection: Connection,
  publisher: Publisher,
  move: Move,
): Promise<number> {
  const { from, to, limit, signal } = move
  const channel = await openChannel(connection, () => undefined)
  let count = 0
  try {
    while (count < limit) {
      if (signal?.aborted === true) throw aborted(signal)
      const taken: Incoming[] = []
      while (taken.length < Math.min(together, limit - count)) {
        const message = await channel.get(from)
        if (message === false) break
        taken.push(message)
      }
      if (taken.length === 0) break
      const verdicts = await publisher.send(taken.map((incoming) => moved(incoming, to)))
      for (const [index, incoming] of taken.entries()) {
        if (verdicts[index] !== 'stored') continue
        channel.ack(incoming)
        count += 1
      }
      const failed = verdicts.find((verdict) => verdict !== 'stored')
      if (failed !== undefined) throw failure(failed, to)
    }
    return count
  } catch (error) {
    throw asMillraceError(error, `move messages from ${from}`)
  } finally {
    // What was taken and not moved goes back to its place.
    await Promise.resolve()
      .then(() => channel.close())
      .catch(() => undefined)
  }
}

function failure(verdict: unknown, to: string): unknown {
  if (verdict === 'returned')
    return new MillraceError('NOT_FOUND', `There is no queue ${to}; declare it first`)
  if (verdict === 'refused') {
    return new MillraceError('QUEUE_FULL', `The queue ${to} is full; consume from it, or raise its maxLength`)
  }
  return verdict
}
