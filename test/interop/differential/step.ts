/**
 * What a sequence is made of: plain data that can be printed, cut short and run again. Text that begins with `@` is a name
 * of the sequence's own, so that many run beside each other on one server; `$gen` is the last name that the server gave, `$reply` the last
 * address of a requester.
 */
import type { Sent } from '../raw-client.ts'
import type { TypedProperties } from './typed-properties.ts'
import type { TypedTable } from './typed-table.ts'

/** Two connections, so that exclusive and competing things can be tried. */
export type ConnectionIndex = 0 | 1

interface Place {
  readonly connection: ConnectionIndex
  readonly channel: number
  /** The channel is not opened first where it is closed. */
  readonly raw?: true
  /** Sent in one piece with the next, where that is on the same channel: what it leads to is seen after that one. */
  readonly withNext?: true
}

/** A method without content. */
export interface MethodStep extends Place {
  readonly type: 'method'
  readonly method: Sent
  /** Its `arguments`, which are the last field of every method that has them. */
  readonly table?: TypedTable
  /** Its delivery tag is that of the nth delivery that is outstanding on the channel. */
  readonly nth?: number
  /** Left out where none is outstanding. */
  readonly ifHeld?: true
}

export interface PublishStep extends Place {
  readonly type: 'publish'
  readonly publish: Omit<Sent<'basic.publish'>, 'type'>
  readonly properties: TypedProperties
  readonly body: string
  /** So many bytes more, for bodies of many frames; default 0. */
  readonly padding?: number
  /** So many of them, one after another at once; default 1. */
  readonly copies?: number
}

/** Frames of any kind, in whatever order. The payload is in hexadecimal digits. */
export interface FramesStep extends Place {
  readonly type: 'frames'
  readonly frames: readonly { readonly type: number; readonly channel: number; readonly payload: string }[]
}

export type Step =
  | MethodStep
  | PublishStep
  | FramesStep
  /** The socket is dropped without a word. */
  | { readonly type: 'abort'; readonly connection: ConnectionIndex }
  /** Time passes. */
  | { readonly type: 'wait'; readonly ms: number }

/** Steps that are sent in one piece. */
export type Group = readonly (MethodStep | PublishStep)[]

export interface Sequence {
  readonly seed: number
  readonly steps: readonly Step[]
}

/** The steps in groups of what is sent in one piece; most stand alone. */
export function groupsOf(steps: readonly Step[]): (Step | Group)[] {
  const groups: (Step | Group)[] = []
  for (let index = 0; index < steps.length; index += 1) {
    const group: (MethodStep | PublishStep)[] = []
    for (let step = steps[index]; isJoined(step, steps[index + 1]); step = steps[(index += 1)])
      group.push(step)
    const last = steps[index]!
    groups.push(group.length === 0 ? last : [...group, last as MethodStep | PublishStep])
  }
  return groups
}

function isJoined(step: Step | undefined, next: Step | undefined): step is MethodStep | PublishStep {
  if (!isRequest(step) || !isRequest(next) || step.withNext !== true) return false
  return step.connection === next.connection && step.channel === next.channel
}

function isRequest(step: Step | undefined): step is MethodStep | PublishStep {
  return (step?.type === 'method' || step?.type === 'publish') && step.raw !== true && step.channel !== 0
}

/** What is waited after each step of a sequence in which something expires: the longest short time, and reserve. */
export const shortTtlMs = 5

/** Whether something in it expires while it runs. */
export function isTimed(sequence: Sequence): boolean {
  return sequence.steps.some((step) => {
    if (step.type === 'publish') return isShort(step.properties.expiration)
    if (step.type !== 'method' || step.table === undefined) return false
    const ttl = step.table['x-message-ttl']
    return isShort(typeof ttl === 'object' && ttl !== null && '$' in ttl ? ttl['value'] : ttl)
  })
}

/** A declaration of a quorum queue. */
export function isQuorumDeclare(step: Step): step is MethodStep {
  return step.type === 'method' && step.table?.['x-queue-type'] === 'quorum'
}

/** Names of its queues that are quorum queues, where they could be declared. */
export function quorumQueues(sequence: Sequence): ReadonlySet<string> {
  return new Set(
    sequence.steps.flatMap((step) =>
      isQuorumDeclare(step) && step.method.type === 'queue.declare' ? [step.method.queue ?? ''] : [],
    ),
  )
}

/**
 * Whether the consumers of its queues are counted alike: RabbitMQ counts with a quorum queue's who holds something by `basic.get`,
 * or was cancelled and holds something, and of those of a single active consumer that one.
 */
export function countsConsumers(sequence: Sequence): boolean {
  if (quorumQueues(sequence).size === 0) return true
  return !sequence.steps.some((step) => {
    if (step.type !== 'method') return false
    const { method } = step
    if (method.type === 'basic.get') return method.noAck !== true
    return method.type === 'basic.cancel' || Object.hasOwn(step.table ?? {}, 'x-single-active-consumer')
  })
}

/** How many of its steps name a quorum queue. */
export function countQuorumSteps(sequence: Sequence): number {
  const names = quorumQueues(sequence)
  return sequence.steps.filter((step) => {
    if (step.type === 'publish')
      return step.publish.exchange === '' && names.has(step.publish.routingKey ?? '')
    return step.type === 'method' && 'queue' in step.method && names.has(step.method.queue ?? '')
  }).length
}

/** Whether a message may go on from queue to queue by itself. */
export function hasDeadLetters(sequence: Sequence): boolean {
  return sequence.steps.some(
    (step) => step.type === 'method' && step.table?.['x-dead-letter-exchange'] !== undefined,
  )
}

/** Whether a queue may go by itself. */
export function hasExpiringQueues(sequence: Sequence): boolean {
  return sequence.steps.some((step) => step.type === 'method' && step.table?.['x-expires'] !== undefined)
}

function isShort(ttl: unknown): boolean {
  return ttl !== undefined && Number(ttl) <= shortTtlMs
}
