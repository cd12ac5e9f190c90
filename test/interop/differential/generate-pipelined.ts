/** Sequences whose steps are not waited for one by one: a client sends several at once, as most do. */
import type { Dice } from './dice.ts'
import type { Theme } from './generate-topology.ts'
import type { MethodStep, PublishStep, Sequence, Step } from './step.ts'

/** One seed in so many is sent in pieces, from this one on: none that is about quorum queues. */
export const pipelinedEvery = 8
export const pipelinedFirst = 4

export function isPipelined(seed: number): boolean {
  return seed % pipelinedEvery === pipelinedFirst
}

/** What such sequences are about. */
export const pipelinedThemes: readonly Theme[] = [
  'plain',
  'consumers',
  'lengths',
  'consumers',
  'priorities',
  'exclusive',
  'single-active',
  'replies',
  'routing',
]

/**
 * Joins steps, moved to the channel of the one before. Nothing in them goes on by itself, dead letters or what expires: in RabbitMQ that
 * races with what is sent.
 */
export function pipelined(dice: Dice, sequence: Sequence): Sequence {
  const steps: Step[] = []
  for (const step of sequence.steps.map(withoutRaces)) {
    const last = steps.at(-1)
    const joins = last !== undefined && isAnsweredInOrder(last) && isOrdered(step) && dice.chance(0.6)
    if (joins) steps.splice(-1, 1, { ...last, withNext: true })
    steps.push(joins ? { ...step, connection: last.connection, channel: last.channel } : step)
  }
  return { ...sequence, steps }
}

function withoutRaces(step: Step): Step {
  if (step.type === 'publish') {
    const { expiration: _, ...properties } = step.properties
    return { ...step, properties }
  }
  if (step.type !== 'method' || step.table === undefined) return step
  return {
    ...step,
    table: Object.fromEntries(Object.entries(step.table).filter(([name]) => !racing.has(name))),
  }
}

const racing: ReadonlySet<string> = new Set([
  'x-dead-letter-exchange',
  'x-dead-letter-routing-key',
  'x-message-ttl',
  'x-expires',
])

/** What a queue answers may come behind what the channel itself says meanwhile. */
function isAnsweredInOrder(step: Step): step is MethodStep | PublishStep {
  return isOrdered(step) && !(step.type === 'method' && answeredByQueues.has(step.method.type))
}

function isOrdered(step: Step | undefined): step is MethodStep | PublishStep {
  if (step?.type === 'publish') return true
  if (step?.type !== 'method' || !ordered.has(step.method.type)) return false
  // Behind a mistake RabbitMQ answers it all the same, and then takes the second close-ok for a mistake.
  return !('queue' in step.method && ['', '$gen'].includes(step.method.queue ?? ''))
}

const answeredByQueues: ReadonlySet<string> = new Set(['basic.consume', 'basic.cancel'])

/** Not declarations: how full a queue is it says before what else is waiting for it. */
const ordered: ReadonlySet<string> = new Set([
  'basic.get',
  'basic.consume',
  'basic.cancel',
  'basic.qos',
  'basic.ack',
  'basic.nack',
  'basic.reject',
  'queue.bind',
  'queue.unbind',
  'queue.purge',
  'queue.delete',
])
