/** Messages with any property, and what is done with them: get, consume, settle. */
import type { Dice } from './dice.ts'
import { anyQueue, exchangeNames, headerValue, queueNames } from './generate-topology.ts'
import type { Theme } from './generate-topology.ts'
import { shortTtlMs } from './step.ts'
import type { MethodStep, PublishStep } from './step.ts'
import type { TypedProperties } from './typed-properties.ts'
import type { Typed } from './typed-table.ts'

type Bare<T> = Omit<T, 'connection' | 'channel'>

/** @param count the number of the message, which its body says */
export function publish(dice: Dice, theme: Theme, count: number): Bare<PublishStep> {
  const direct = dice.chance(theme === 'routing' ? 0.2 : 0.75)
  const exchange = direct ? '' : anyExchange(dice)
  return {
    type: 'publish',
    publish: {
      exchange,
      routingKey: exchange === 'amq.direct' ? '@k' : keyFor(dice, direct),
      ...(dice.chance(0.2) && { mandatory: true }),
      ...(dice.chance(0.01) && { immediate: true }),
    },
    properties: propertiesOf(dice, theme),
    body: dice.chance(0.05) ? '' : `m${count}${'.'.repeat(dice.below(12))}`,
    ...(dice.chance(0.02) && { padding: dice.pick([4_000, 131_000, 131_064, 300_000]) }),
    ...(dice.chance(0.15) && { copies: 2 + dice.below(theme === 'consumers' ? 8 : 3) }),
  }
}

function anyExchange(dice: Dice): string {
  return dice.chance(0.06) ? dice.pick(['amq.direct', '@missing']) : dice.pick(exchangeNames)
}

function keyFor(dice: Dice, direct: boolean): string {
  if (direct) return dice.chance(0.08) ? dice.pick(['@missing', '$gen', '']) : dice.pick(queueNames)
  return dice.pick(['k1', 'k1', 'k2', 'a.b', 'a', '', 'a.b.c', '@q1'])
}

function propertiesOf(dice: Dice, theme: Theme): TypedProperties {
  const properties: Record<string, unknown> = {}
  if (dice.chance(0.3))
    properties['deliveryMode'] = dice.chance(0.05) ? dice.pick([0, 3, 255]) : 1 + dice.below(2)
  if (dice.chance(theme === 'priorities' ? 0.8 : 0.1))
    properties['priority'] = dice.pick([0, 1, 2, 3, 5, 9, 255])
  if (dice.chance(theme === 'ttl' ? 0.4 : 0.04)) properties['expiration'] = expiration(dice)
  const headers = headersOf(dice, theme)
  if (headers !== undefined) properties['headers'] = headers
  if (dice.chance(0.12)) Object.assign(properties, descriptions(dice))
  return properties
}

function expiration(dice: Dice): string {
  if (dice.chance(0.1)) return dice.pick(['', '-1', 'soon', '1.5', '5x', ' 5', '+7000', '99999999999999'])
  return dice.pick(['0', String(shortTtlMs), '60000', '60000'])
}

function descriptions(dice: Dice): Record<string, string | number> {
  const all: Record<string, string | number> = {
    contentType: 'text/plain',
    contentEncoding: 'gzip',
    correlationId: 'c-1',
    replyTo: 'somewhere',
    messageId: 'grüße',
    timestamp: 1_700_000_000,
    type: 'kind',
    userId: dice.chance(0.1) ? 'somebody' : 'guest',
    appId: 'app',
    clusterId: 'cluster',
  }
  return Object.fromEntries(Object.entries(all).filter(() => dice.chance(0.5)))
}

function headersOf(dice: Dice, theme: Theme): Record<string, Typed> | undefined {
  const headers: Record<string, Typed> = {}
  const matching = theme === 'routing' ? 0.4 : 0.1
  if (dice.chance(matching)) headers['h1'] = headerValue(dice)
  if (dice.chance(matching)) headers['h2'] = headerValue(dice)
  if (dice.chance(matching / 2)) headers['x-h'] = headerValue(dice)
  if (dice.chance(0.08)) headers['CC'] = copies(dice)
  if (dice.chance(0.08)) headers['BCC'] = copies(dice)
  if (dice.chance(0.05)) Object.assign(headers, everyType)
  if (dice.chance(0.02)) headers['x-death'] = dice.pick<Typed>(['mine', [], [{ count: 1 }], 5])
  return Object.keys(headers).length > 0 || dice.chance(0.03) ? headers : undefined
}

function copies(dice: Dice): Typed {
  if (dice.chance(0.1)) return dice.pick<Typed>(['@q1', 5, null, [5], ['@q1', 5]])
  return Array.from({ length: dice.below(3) }, () => dice.pick([...queueNames, 'k1', 'a.b', '@missing']))
}

const everyType: Readonly<Record<string, Typed>> = {
  text: 'grüße',
  bytes: { $: 'x', value: 'raw' },
  yes: true,
  octet: { $: 'b', value: -5 },
  unsignedOctet: { $: 'B', value: 200 },
  short: { $: 's', value: -500 },
  unsignedShort: { $: 'u', value: 60_000 },
  long: -70_000,
  unsignedLong: { $: 'i', value: 4_000_000_000 },
  longLong: { $: 'l', value: 1_099_511_627_776 },
  float: { $: 'f', value: 0.5 },
  double: { $: 'd', value: 0.1 },
  decimal: { $: 'D', value: 314 },
  time: { $: 'T', value: 1_700_000_000 },
  nothing: null,
  list: [1, 'two', [true], { three: 3 }],
  table: { inner: { deep: 'x' } },
}

const replyTo = 'amq.rabbitmq.reply-to'

/** Asks, or answers, by direct reply-to; or does either where it makes no sense. */
export function requestOrReply(dice: Dice, count: number): Bare<MethodStep> | Bare<PublishStep> {
  const kind = dice.weighted({ listen: 4, ask: 5, answer: 5, look: 1, cancel: 0.5, odd: 1 })
  if (kind === 'listen') {
    const consumerTag = dice.chance(0.2) ? '' : dice.pick(consumerTags)
    return method({ type: 'basic.consume', queue: replyTo, consumerTag, noAck: dice.chance(0.9) })
  }
  if (kind === 'look')
    return method({ type: 'queue.declare', queue: dice.pick([replyTo, '$reply']), passive: true })
  if (kind === 'cancel') return method({ type: 'basic.cancel', consumerTag: dice.pick(consumerTags) })
  if (kind === 'odd') {
    return dice.pick([
      method({ type: 'basic.get', queue: replyTo, noAck: true }),
      method({ type: 'queue.declare', queue: replyTo }),
      method({ type: 'queue.bind', queue: replyTo, exchange: '@x1' }),
      method({ type: 'queue.delete', queue: replyTo }),
      method({ type: 'queue.purge', queue: replyTo }),
    ])
  }
  return {
    type: 'publish',
    publish: {
      exchange: '',
      routingKey: kind === 'ask' ? dice.pick(queueNames) : '$reply',
      ...(dice.chance(0.3) && { mandatory: true }),
    },
    properties: { correlationId: 'c-1', ...(kind === 'ask' && { replyTo }) },
    body: `m${count}`,
  }
}

export function get(dice: Dice): Bare<MethodStep> {
  return method({ type: 'basic.get', queue: anyQueue(dice), noAck: dice.chance(0.3) })
}

export function consume(dice: Dice, theme: Theme): Bare<MethodStep> {
  const step = method({
    type: 'basic.consume',
    queue: anyQueue(dice),
    consumerTag: dice.chance(0.15) ? '' : dice.pick(consumerTags),
    noAck: dice.chance(0.25),
    exclusive: dice.chance(theme === 'exclusive' ? 0.3 : 0.05),
    noLocal: dice.chance(0.05),
    nowait: dice.chance(0.04),
  })
  if (!dice.chance(theme === 'priorities' || theme === 'single-active' ? 0.4 : 0.08)) return step
  const priority = dice.chance(0.1)
    ? dice.pick<Typed>(['high', null, true, { $: 'd', value: 1.5 }])
    : dice.pick<Typed>([-1, 0, 1, 5, { $: 's', value: 1 }, { $: 'l', value: 5 }])
  return { ...step, table: { 'x-priority': priority } }
}

const consumerTags = ['c1', 'c2', 'c3', 'c4', 'c5'] as const

export function cancel(dice: Dice): Bare<MethodStep> {
  return method({
    type: 'basic.cancel',
    consumerTag: dice.pick([...consumerTags, 'c9']),
    nowait: dice.chance(0.05),
  })
}

/** Acknowledges, rejects or returns: one that is outstanding, all of them, or none that ever was. */
export function settle(dice: Dice): Bare<MethodStep> {
  const known = dice.chance(0.95)
  const multiple = dice.chance(0.25)
  const deliveryTag = known ? 0 : dice.pick([0, 1, 2, 3, 99])
  const target = known && !(multiple && dice.chance(0.2)) ? { nth: dice.below(5) } : {}
  const kind = dice.weighted({ ack: 5, nack: 3, reject: 3 })
  if (kind === 'ack') return { ...method({ type: 'basic.ack', deliveryTag, multiple }), ...target }
  const requeue = dice.chance(0.5)
  if (kind === 'nack') return { ...method({ type: 'basic.nack', deliveryTag, multiple, requeue }), ...target }
  return { ...method({ type: 'basic.reject', deliveryTag, requeue }), ...target }
}

export function recover(dice: Dice): Bare<MethodStep> {
  return method({
    type: dice.chance(0.3) ? 'basic.recover-async' : 'basic.recover',
    requeue: dice.chance(0.93),
  })
}

export function qos(dice: Dice): Bare<MethodStep> {
  return method({
    type: 'basic.qos',
    prefetchSize: dice.chance(0.03) ? 100 : 0,
    prefetchCount: dice.pick([0, 1, 1, 2, 3, 10]),
    global: dice.chance(0.3),
  })
}

/** Purge, tx, confirm, flow: everything that is short. */
export function others(dice: Dice): Bare<MethodStep> {
  const kind = dice.weighted({
    purge: 4,
    'tx.select': 1,
    'confirm.select': 2,
    flow: 0.3,
    access: 0.3,
    exists: 4,
  })
  if (kind === 'purge')
    return method({ type: 'queue.purge', queue: anyQueue(dice), nowait: dice.chance(0.05) })
  if (kind === 'flow') return method({ type: 'channel.flow', active: false })
  if (kind === 'access') return method({ type: 'access.request', realm: '/data', read: true })
  if (kind === 'exists') return method({ type: 'queue.declare', queue: anyQueue(dice), passive: true })
  return method({ type: kind })
}

export function transaction(dice: Dice): Bare<MethodStep> {
  return method({ type: dice.chance(0.7) ? 'tx.commit' : 'tx.rollback' })
}

export function method(sent: MethodStep['method']): Bare<MethodStep> {
  return { type: 'method', method: sent }
}
