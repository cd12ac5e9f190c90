/** Declarations of quorum queues: most of what they may be declared with, and some of what they may not. */
import type { Dice } from './dice.ts'
import { shortTtlMs } from './step.ts'
import type { MethodStep } from './step.ts'
import type { Typed, TypedTable } from './typed-table.ts'

/** `@q1` has the arguments, the others are where it sends its dead letters. */
export function declareQuorumQueue(dice: Dice, queue: string): Omit<MethodStep, 'connection' | 'channel'> {
  const isQuorum = queue === '@q1' || dice.chance(0.8)
  const odd = isQuorum && dice.chance(0.06)
  return {
    type: 'method',
    method: {
      type: 'queue.declare',
      queue: odd && dice.chance(0.2) ? '' : queue,
      durable: !(odd && dice.chance(0.2)),
      exclusive: odd && dice.chance(0.2),
      autoDelete: odd && dice.chance(0.2),
      nowait: dice.chance(0.03),
    },
    table: {
      ...(queue === '@q1' || (isQuorum && dice.chance(0.15)) ? sound(dice, queue) : {}),
      ...(odd ? oddArguments(dice) : {}),
      ...(isQuorum ? { 'x-queue-type': 'quorum' } : {}),
      ...(!isQuorum && dice.chance(0.03) ? { 'x-delivery-limit': 2 } : {}),
    },
  }
}

function sound(dice: Dice, queue: string): TypedTable {
  const table: Record<string, Typed> = {}
  if (dice.chance(0.7)) {
    const key = queue === '@q2' || dice.chance(0.1) ? dice.pick(['@q1', '@q3', undefined]) : '@q2'
    table['x-dead-letter-exchange'] = ''
    if (key !== undefined) table['x-dead-letter-routing-key'] = key
    if (dice.chance(0.15))
      table['x-dead-letter-strategy'] = dice.pick(['at-most-once', 'at-least-once', 'at-least-once'])
    if (table['x-dead-letter-strategy'] !== undefined && dice.chance(0.7))
      table['x-overflow'] = 'reject-publish'
  }
  if (dice.chance(0.45)) table['x-delivery-limit'] = dice.pick([0, 1, 1, 2, 3])
  if (dice.chance(0.25)) {
    table['x-max-length'] = dice.below(4)
    if (dice.chance(0.3))
      table['x-overflow'] = dice.pick(['drop-head', 'reject-publish', 'reject-publish-dlx'])
  }
  if (dice.chance(0.08)) table['x-max-length-bytes'] = dice.pick([0, 5, 10, 25])
  if (dice.chance(0.12)) table['x-message-ttl'] = dice.pick([0, shortTtlMs, 60_000])
  if (dice.chance(0.1)) table['x-single-active-consumer'] = dice.chance(0.9)
  if (dice.chance(0.05)) table['x-expires'] = 60_000
  if (dice.chance(0.05)) table['x-max-in-memory-length'] = dice.below(3)
  return table
}

function oddArguments(dice: Dice): TypedTable {
  const table: Record<string, Typed> = {}
  const count = 1 + dice.below(2)
  for (let index = 0; index < count; index += 1) {
    table[dice.pick(oddNames)] = dice.pick<Typed>([
      0,
      1,
      -1,
      3,
      'text',
      'lazy',
      'client-local',
      'at-least-once',
      true,
      null,
      { $: 'l', value: 2 },
    ])
  }
  return table
}

const oddNames = [
  'x-delivery-limit',
  'x-dead-letter-strategy',
  'x-dead-letter-routing-key',
  'x-overflow',
  'x-max-length',
  'x-max-length-bytes',
  'x-max-priority',
  'x-max-in-memory-length',
  'x-max-in-memory-bytes',
  'x-quorum-initial-group-size',
  'x-queue-leader-locator',
  'x-queue-master-locator',
  'x-queue-version',
  'x-queue-mode',
  'x-single-active-consumer',
  'x-max-age',
] as const
