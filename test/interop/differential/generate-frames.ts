/** Frames that no sound client sends: out of order, of no known kind, or with payloads that do not fit. */
import { encodeMethod } from '../../../src/wire/index.ts'
import { complete } from '../raw-client.ts'
import type { Sent } from '../raw-client.ts'
import type { Dice } from './dice.ts'
import type { FramesStep } from './step.ts'

type Frames = FramesStep['frames']

const method = 1
const header = 2
const body = 3
const heartbeat = 8

/** @param channel the one that the sequence has open */
export function badFrames(dice: Dice, channel: number): Frames {
  const recipe = dice.pick(recipes)
  return recipe(dice, channel)
}

function publish(channel: number): Frames[number] {
  return sent(channel, { type: 'basic.publish', routingKey: 'nowhere' })
}

function sent(channel: number, what: Sent): Frames[number] {
  return frame(method, channel, Buffer.from(encodeMethod(complete(what))).toString('hex'))
}

function frame(type: number, channel: number, payload: string): Frames[number] {
  return { type, channel, payload }
}

/** Class, weight, body size and no properties. */
function contentHeader(
  channel: number,
  bytes: number,
  options: { classId?: number; weight?: number } = {},
): Frames[number] {
  const { classId = 60, weight = 0 } = options
  return frame(header, channel, `${hex(classId, 4)}${hex(weight, 4)}${hex(bytes, 16)}0000`)
}

function hex(value: number, digits: number): string {
  return value.toString(16).padStart(digits, '0')
}

const recipes: readonly ((dice: Dice, channel: number) => Frames)[] = [
  // Heartbeats: fine on channel 0, wrong elsewhere.
  () => [frame(heartbeat, 0, '')],
  (_, channel) => [frame(heartbeat, channel, '')],
  // Content that nobody announced, or of another kind than announced.
  (_, channel) => [contentHeader(channel, 3)],
  (_, channel) => [frame(body, channel, '616263')],
  () => [contentHeader(9, 3)],
  () => [frame(body, 9, '616263')],
  (_, channel) => [publish(channel), frame(body, channel, '616263')],
  (_, channel) => [publish(channel), publish(channel)],
  (_, channel) => [publish(channel), contentHeader(channel, 3, { classId: 50 })],
  (_, channel) => [publish(channel), contentHeader(channel, 3, { weight: 1 })],
  (_, channel) => [publish(channel), contentHeader(channel, 3), contentHeader(channel, 3)],
  (_, channel) => [publish(channel), contentHeader(channel, 3), sent(channel, { type: 'tx.select' })],
  (_, channel) => [publish(channel), contentHeader(channel, 3), frame(body, channel, '61626364')],
  (_, channel) => [publish(channel), contentHeader(channel, 0), frame(body, channel, '61')],
  // In order, and legal: a body in many frames, an empty frame among them.
  (_, channel) => [
    publish(channel),
    contentHeader(channel, 3),
    frame(body, channel, '61'),
    frame(body, channel, ''),
    frame(body, channel, '6263'),
  ],
  // Properties that are cut short.
  (_, channel) => [publish(channel), frame(header, channel, `003c0000${hex(0, 16)}8000`)],
  (_, channel) => [publish(channel), frame(header, channel, `003c0000${hex(0, 16)}800005`)],
  // Frames of no kind.
  (dice, channel) => [frame(dice.pick([0, 4, 5, 9, 65]), channel, '00')],
  () => [frame(5, 0, '616263')],
  // Methods that are none, or not as long as they should be.
  (dice, channel) => [frame(method, channel, dice.pick(['003c0063', '00630001', '00000000', 'ffffffff']))],
  (dice) => [frame(method, 0, dice.pick(['000a0063', '003c0063']))],
  (_, channel) => [frame(method, channel, '003c')],
  (_, channel) => [frame(method, channel, '')],
  (_, channel) => [frame(method, channel, '003c00500000')],
  (_, channel) => [frame(method, channel, '0032000a0000057175')],
  (_, channel) => [frame(method, channel, `${sent(channel, { type: 'tx.select' }).payload}00ff`)],
  // Methods at the wrong time, on the wrong channel or in the wrong direction.
  (_, channel) => [sent(channel, { type: 'channel.open' })],
  () => [sent(0, { type: 'channel.open' })],
  () => [sent(0, { type: 'queue.declare', queue: 'q' })],
  () => [sent(0, { type: 'connection.open', virtualHost: '/' })],
  () => [sent(0, { type: 'connection.tune-ok', channelMax: 5 })],
  (_, channel) => [sent(channel, { type: 'connection.close' })],
  (_, channel) => [sent(channel, { type: 'connection.close-ok' })],
  (_, channel) => [sent(channel, { type: 'queue.declare-ok', queue: 'q' })],
  (_, channel) => [sent(channel, { type: 'basic.get-empty' })],
  (_, channel) => [sent(channel, { type: 'channel.flow-ok', active: true })],
  () => [sent(9, { type: 'queue.declare', queue: 'q' })],
  () => [sent(9, { type: 'channel.close' })],
  () => [sent(3000, { type: 'channel.open' })],
]
