/** From a seed to a sequence of steps: mostly what clients do, on few names, so that things meet; and some of what they do not. */
import { Dice } from './dice.ts'
import { badFrames } from './generate-frames.ts'
import {
  cancel,
  consume,
  get,
  method,
  others,
  publish,
  qos,
  recover,
  requestOrReply,
  settle,
  transaction,
} from './generate-messages.ts'
import { isPipelined, pipelined, pipelinedThemes } from './generate-pipelined.ts'
import { isAboutQuorum, quorumSteps } from './generate-quorum.ts'
import {
  bindExchange,
  bindQueue,
  declareExchange,
  declareQueue,
  deleteSomething,
  exchangeNames,
  queueNames,
  themes,
} from './generate-topology.ts'
import type { Theme } from './generate-topology.ts'
import type { ConnectionIndex, Sequence, Step } from './step.ts'

type Kind =
  | 'publish'
  | 'get'
  | 'consume'
  | 'cancel'
  | 'settle'
  | 'recover'
  | 'qos'
  | 'other'
  | 'transaction'
  | 'declare-queue'
  | 'declare-exchange'
  | 'bind-queue'
  | 'bind-exchange'
  | 'delete'
  | 'close-channel'
  | 'close-connection'
  | 'abort'
  | 'unopened'
  | 'frames'
  | 'request'

const weights: Readonly<Record<Kind, number>> = {
  publish: 26,
  get: 8,
  consume: 10,
  cancel: 3,
  settle: 18,
  recover: 1.5,
  qos: 2,
  other: 4,
  transaction: 0,
  'declare-queue': 5,
  'declare-exchange': 2,
  'bind-queue': 3,
  'bind-exchange': 1,
  delete: 2,
  'close-channel': 1.2,
  'close-connection': 0.4,
  abort: 0.15,
  unopened: 0.1,
  frames: 0.25,
  request: 0.2,
}

const routingWeights: Partial<Record<Kind, number>> = {
  publish: 34,
  'declare-exchange': 5,
  'bind-queue': 12,
  'bind-exchange': 6,
  delete: 3,
}

/** Many consumers of few queues: whose turn is it? */
const consumerWeights: Partial<Record<Kind, number>> = {
  publish: 30,
  consume: 26,
  cancel: 6,
  settle: 30,
  qos: 8,
}

export function generate(seed: number): Sequence {
  const dice = new Dice(seed)
  if (isAboutQuorum(seed)) return { seed, steps: quorumSteps(dice, (index) => wild(dice, index)) }
  const joins = isPipelined(seed)
  const theme = themeOf(dice, joins)
  const steps: Step[] = [...setUp(dice, theme)]
  const transactional = dice.chance(0.08)
  if (transactional) steps.push(at(dice, method({ type: 'tx.select' }), 0, 1))
  else if (dice.chance(0.25)) steps.push(at(dice, method({ type: 'confirm.select' }), 0, 1))
  const kinds = {
    ...weights,
    ...(theme === 'routing' && routingWeights),
    ...(theme === 'consumers' && consumerWeights),
    ...(theme === 'replies' && { request: 50 }),
    ...(transactional && { transaction: 12 }),
  }
  const count = theme === 'consumers' ? 20 + dice.below(30) : 4 + dice.below(22)
  for (let index = 0; index < count; index += 1)
    steps.push(step(dice, { theme, kind: dice.weighted(kinds), index }))
  if (theme === 'expiry') steps.push({ type: 'wait', ms: 4_000 })
  return joins ? pipelined(dice, { seed, steps }) : { seed, steps }
}

function themeOf(dice: Dice, joins: boolean): Theme {
  if (joins) return dice.pick(pipelinedThemes)
  return dice.chance(0.015) ? 'expiry' : dice.pick(themes)
}

/** Any step but what ends a channel or a connection. */
function wild(dice: Dice, index: number): Step {
  const { 'close-connection': _, abort: _abort, unopened: _unopened, ...kinds } = weights
  return step(dice, { theme: 'plain', kind: dice.weighted({ ...kinds, settle: 1 }), index })
}

/** A few queues and exchanges to begin with. */
function setUp(dice: Dice, theme: Theme): Step[] {
  const steps: Step[] = []
  const exchanges = theme === 'routing' ? 2 + dice.below(2) : dice.below(3)
  for (const name of exchangeNames.slice(0, exchanges))
    steps.push(at(dice, declareExchange(dice, theme, name)))
  const queues = theme === 'consumers' ? 1 + dice.below(2) : 1 + dice.below(3)
  for (const name of queueNames.slice(0, queues)) steps.push(at(dice, declareQueue(dice, theme, name)))
  const bindings = exchanges === 0 ? 0 : dice.below(4)
  for (let index = 0; index < bindings; index += 1) steps.push(at(dice, bindQueue(dice)))
  if (theme === 'routing' && dice.chance(0.5)) steps.push(at(dice, bindExchange(dice)))
  return steps
}

function step(dice: Dice, what: { theme: Theme; kind: Kind; index: number }): Step {
  const { theme, kind, index } = what
  switch (kind) {
    case 'publish':
      return at(dice, publish(dice, theme, index))
    case 'get':
      return at(dice, get(dice))
    case 'consume':
      return at(dice, consume(dice, theme))
    case 'cancel':
      return at(dice, cancel(dice))
    case 'settle':
      return at(dice, settle(dice))
    case 'recover':
      return at(dice, recover(dice))
    case 'qos':
      return at(dice, qos(dice))
    case 'other':
      return at(dice, others(dice))
    case 'request':
      return at(dice, requestOrReply(dice, index))
    case 'transaction':
      return at(dice, transaction(dice), 0, 1)
    case 'declare-queue':
      return at(dice, declareQueue(dice, theme))
    case 'declare-exchange':
      return at(dice, declareExchange(dice, theme))
    case 'bind-queue':
      return at(dice, bindQueue(dice))
    case 'bind-exchange':
      return at(dice, bindExchange(dice))
    case 'delete':
      return at(dice, deleteSomething(dice))
    case 'close-channel':
    case 'close-connection':
    case 'abort':
    case 'unopened':
    case 'frames':
      return ending(dice, kind)
  }
}

/** What ends a channel or a connection, soundly or not. */
function ending(
  dice: Dice,
  kind: 'close-channel' | 'close-connection' | 'abort' | 'unopened' | 'frames',
): Step {
  const connection = connectionIndex(dice)
  switch (kind) {
    case 'close-channel':
      return at(dice, method({ type: 'channel.close', replyCode: 200, replyText: 'bye' }))
    case 'close-connection':
      return at(dice, method({ type: 'connection.close', replyCode: 200, replyText: 'bye' }), connection, 0)
    case 'abort':
      return { type: 'abort', connection }
    case 'unopened':
      return { ...at(dice, dice.pick([get(dice), consume(dice, 'plain')]), connection, 7), raw: true }
    case 'frames': {
      const channel = 1 + dice.below(2)
      return { type: 'frames', connection, channel, frames: badFrames(dice, channel) }
    }
  }
}

/** Mostly on the first channel of the first connection. */
function at<T extends object>(
  dice: Dice,
  what: T,
  connection: ConnectionIndex = connectionIndex(dice),
  channel: number = dice.chance(0.7) ? 1 : 2,
): T & { connection: ConnectionIndex; channel: number } {
  return { ...what, connection, channel }
}

function connectionIndex(dice: Dice): ConnectionIndex {
  return dice.chance(0.8) ? 0 : 1
}
