/** Declarations and bindings, mostly sound ones, and often in conflict with those before. */
import type { Dice } from './dice.ts'
import type { MethodStep } from './step.ts'
import { shortTtlMs } from './step.ts'
import type { Typed, TypedTable } from './typed-table.ts'

/** What a sequence is about: the arguments that its queues like to have. */
export type Theme =
  | 'plain'
  | 'routing'
  | 'dead-letters'
  | 'lengths'
  | 'ttl'
  | 'priorities'
  | 'single-active'
  | 'exclusive'
  | 'arguments'
  | 'expiry'
  | 'replies'
  | 'consumers'

export const themes: readonly Theme[] = [
  'plain',
  'routing',
  'dead-letters',
  'lengths',
  'ttl',
  'priorities',
  'single-active',
  'exclusive',
  'arguments',
  'dead-letters',
  'replies',
  'consumers',
]

export const queueNames = ['@q1', '@q2', '@q3'] as const
export const exchangeNames = ['@x1', '@x2', '@x3'] as const

type Bare = Omit<MethodStep, 'connection' | 'channel'>

export function declareQueue(dice: Dice, theme: Theme, queue: string = anyQueue(dice)): Bare {
  const odd = dice.chance(theme === 'arguments' ? 0.5 : 0.06)
  return {
    type: 'method',
    method: {
      type: 'queue.declare',
      queue,
      passive: dice.chance(0.05),
      durable: dice.chance(0.3),
      exclusive: dice.chance(theme === 'exclusive' ? 0.5 : 0.04),
      autoDelete: dice.chance(theme === 'exclusive' ? 0.3 : 0.08),
      nowait: dice.chance(0.03),
    },
    table: odd ? oddArguments(dice) : argumentsOf(dice, theme),
  }
}

/** Arguments that belong to the theme, sound. */
function argumentsOf(dice: Dice, theme: Theme): TypedTable {
  switch (theme) {
    case 'dead-letters':
      return { ...deadLetters(dice), ...(dice.chance(0.5) ? lengths(dice) : {}), ...maybeTtl(dice, 0.4) }
    case 'lengths':
      return { ...lengths(dice), ...(dice.chance(0.5) ? deadLetters(dice) : {}), ...maybePriority(dice, 0.2) }
    case 'ttl':
      return { ...maybeTtl(dice, 0.7), ...(dice.chance(0.5) ? deadLetters(dice) : {}) }
    case 'priorities':
      return { ...maybePriority(dice, 0.9), ...(dice.chance(0.3) ? lengths(dice) : {}) }
    case 'single-active':
      return dice.chance(0.8) ? { 'x-single-active-consumer': true } : {}
    case 'expiry':
      return { 'x-expires': 3_000 }
    case 'plain':
    case 'routing':
    case 'exclusive':
    case 'arguments':
    case 'replies':
    case 'consumers':
      return {}
  }
}

function deadLetters(dice: Dice): TypedTable {
  const exchange = dice.pick(['', '', '@x1', '@x2', '@missing'])
  const key = dice.pick(['@q1', '@q2', '@q3', 'k1', undefined])
  return {
    'x-dead-letter-exchange': exchange,
    ...(key === undefined ? {} : { 'x-dead-letter-routing-key': key }),
  }
}

function lengths(dice: Dice): TypedTable {
  const overflow = dice.pick([undefined, 'drop-head', 'reject-publish', 'reject-publish-dlx'])
  return {
    ...(dice.chance(0.8) ? { 'x-max-length': dice.below(4) } : {}),
    ...(dice.chance(0.3) ? { 'x-max-length-bytes': dice.pick([0, 5, 10, 25]) } : {}),
    ...(overflow === undefined ? {} : { 'x-overflow': overflow }),
  }
}

function maybeTtl(dice: Dice, probability: number): TypedTable {
  return dice.chance(probability) ? { 'x-message-ttl': dice.pick([0, shortTtlMs, 60_000]) } : {}
}

function maybePriority(dice: Dice, probability: number): TypedTable {
  return dice.chance(probability) ? { 'x-max-priority': dice.pick([1, 3, 10]) } : {}
}

/** Any known argument with any value. */
function oddArguments(dice: Dice): TypedTable {
  const table: Record<string, Typed> = {}
  const count = 1 + dice.below(2)
  for (let index = 0; index < count; index += 1) {
    const name = dice.pick(argumentNames)
    const value = oddValue(dice)
    table[name] = name === 'x-message-ttl' || name === 'x-expires' ? later(value) : value
  }
  return table
}

/** Times are either short enough to be waited for, or too long to be met. */
function later(value: Typed): Typed {
  const isTime = (time: unknown): boolean => typeof time === 'number' && time > 0
  if (isTime(value)) return 60_000
  const isMarkedTime = typeof value === 'object' && value !== null && '$' in value && isTime(value['value'])
  return isMarkedTime ? { $: 'l', value: 60_000 } : value
}

const argumentNames = [
  'x-message-ttl',
  'x-expires',
  'x-dead-letter-exchange',
  'x-dead-letter-routing-key',
  'x-max-length',
  'x-max-length-bytes',
  'x-max-priority',
  'x-overflow',
  'x-single-active-consumer',
  'x-queue-mode',
  'x-queue-type',
  'x-unknown',
]

function oddValue(dice: Dice): Typed {
  return dice.pick<Typed>([
    0,
    1,
    5,
    255,
    256,
    -1,
    60_000,
    { $: 'l', value: 60_000 },
    { $: 'l', value: 5 },
    { $: 's', value: 5 },
    { $: 'b', value: 5 },
    { $: 'B', value: 5 },
    { $: 'd', value: 5.5 },
    { $: 'd', value: 5 },
    { $: 'f', value: 5 },
    { $: 'T', value: 5 },
    { $: 'x', value: 'bytes' },
    'text',
    '',
    '5',
    'lazy',
    'default',
    'classic',
    'drop-head',
    'reject-publish',
    true,
    false,
    null,
    [1, 'a'],
    { inner: 1 },
    '@q1',
    '@x1',
  ])
}

export function declareExchange(dice: Dice, theme: Theme, exchange: string = anyExchange(dice)): Bare {
  const odd = dice.chance(theme === 'arguments' ? 0.3 : 0.04)
  const alternate = dice.chance(0.2)
    ? { 'alternate-exchange': dice.pick(['@x1', '@x2', '@missing', '']) }
    : {}
  return {
    type: 'method',
    method: {
      type: 'exchange.declare',
      exchange,
      exchangeType: dice.chance(0.005)
        ? dice.pick(['bogus', '', 'x-bogus'])
        : dice.pick(['fanout', 'direct', 'topic', 'headers']),
      passive: dice.chance(0.05),
      durable: dice.chance(0.3),
      autoDelete: dice.chance(0.12),
      internal: dice.chance(0.06),
      nowait: dice.chance(0.03),
    },
    table: odd ? { 'alternate-exchange': oddValue(dice), 'x-unknown': oddValue(dice) } : alternate,
  }
}

export function bindQueue(dice: Dice): Bare {
  const unbind = dice.chance(0.2)
  const { key, table } = bindingOf(dice)
  const exchange = dice.chance(0.06) ? dice.pick(['', 'amq.direct', '@missing']) : dice.pick(exchangeNames)
  return {
    type: 'method',
    method: {
      type: unbind ? 'queue.unbind' : 'queue.bind',
      queue: anyQueue(dice),
      exchange,
      routingKey: exchange === 'amq.direct' ? '@k' : key,
      ...(unbind ? {} : { nowait: dice.chance(0.03) }),
    },
    table,
  }
}

export function bindExchange(dice: Dice): Bare {
  const unbind = dice.chance(0.2)
  const { key, table } = bindingOf(dice)
  return {
    type: 'method',
    method: {
      type: unbind ? 'exchange.unbind' : 'exchange.bind',
      source: dice.chance(0.05) ? dice.pick(['', '@missing']) : dice.pick(exchangeNames),
      destination: dice.chance(0.05) ? dice.pick(['', '@missing']) : dice.pick(exchangeNames),
      routingKey: key,
      nowait: dice.chance(0.03),
    },
    table,
  }
}

function bindingOf(dice: Dice): { key: string; table: TypedTable } {
  const key = dice.pick(['', 'k1', 'k1', 'k2', 'a.b', 'a.*', 'a.#', '#', '*', '*.b', '#.b.#', 'a.b.c', '@q1'])
  const table: Record<string, Typed> = {}
  if (dice.chance(0.3)) {
    table['x-match'] = dice.chance(0.07)
      ? dice.pick<Typed>(['bogus', 5, true, null])
      : dice.pick(['all', 'any', 'all-with-x', 'any-with-x'])
  }
  if (dice.chance(0.3)) table['h1'] = headerValue(dice)
  if (dice.chance(0.2)) table['h2'] = headerValue(dice)
  if (dice.chance(0.1)) table['x-h'] = headerValue(dice)
  return { key, table }
}

/** Few values, so that a message and a binding agree at times. */
export function headerValue(dice: Dice): Typed {
  return dice.pick<Typed>([
    1,
    1,
    'v',
    'v',
    true,
    null,
    { $: 'l', value: 1 },
    { $: 's', value: 1 },
    { $: 'd', value: 1 },
  ])
}

export function deleteSomething(dice: Dice): Bare {
  if (dice.chance(0.3)) {
    return {
      type: 'method',
      method: {
        type: 'exchange.delete',
        exchange: dice.chance(0.1) ? dice.pick(['', 'amq.direct', '@missing']) : dice.pick(exchangeNames),
        ifUnused: dice.chance(0.5),
        nowait: dice.chance(0.03),
      },
    }
  }
  return {
    type: 'method',
    method: {
      type: 'queue.delete',
      queue: anyQueue(dice),
      ifUnused: dice.chance(0.4),
      ifEmpty: dice.chance(0.4),
      nowait: dice.chance(0.03),
    },
  }
}

/** A queue's name: mostly one of the three, at times the server's, the last declared, none, or a reserved one. */
export function anyQueue(dice: Dice): string {
  return dice.chance(0.12)
    ? dice.pick(['', '$gen', '', '@missing', 'amq.mine', '@q1\r\n'])
    : dice.pick(queueNames)
}

function anyExchange(dice: Dice): string {
  return dice.chance(0.05)
    ? dice.pick(['', 'amq.mine', 'amq.direct', 'amq.topic', '@missing', '@x1\n'])
    : dice.pick(exchangeNames)
}
