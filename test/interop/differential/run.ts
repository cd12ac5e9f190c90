/**
 * Runs one sequence on one server, a step at a time, and waits after each until nothing more can come of it: a round trip on
 * the channel, its confirms, a passive declare of every queue (twice, since RabbitMQ's queues answer it before what else is
 * waiting for them; with dead letters once more for each queue that they may pass; each time quorum queues have done what is on
 * their log), and a round trip on every channel for what these have sent. What still was too early is found by trying again with more patience.
 */
import { setTimeout as delay } from 'node:timers/promises'
import { encodeMethod } from '../../../src/wire/index.ts'
import type { MethodName } from '../../../src/wire/index.ts'
import { complete } from '../raw-client.ts'
import type { Arrival, Sent } from '../raw-client.ts'
import { barrierChannel, timeoutMs } from './lane.ts'
import type { ChannelState, Lane, Link } from './lane.ts'
import { confirmsIn, describeNews, Names } from './observation.ts'
import type { ChannelNews, Observation } from './observation.ts'
import { QueueWatch } from './queue-watch.ts'
import {
  countsConsumers,
  groupsOf,
  hasDeadLetters,
  hasExpiringQueues,
  isTimed,
  quorumQueues,
} from './step.ts'
import type { ConnectionIndex, FramesStep, Group, MethodStep, PublishStep, Sequence, Step } from './step.ts'
import { encodeTypedProperties } from './typed-properties.ts'
import { encodeTypedTable } from './typed-table.ts'

export interface RunOptions {
  /** Of all names; nobody else may use it on this server. */
  readonly prefix: string
  /** Times are stretched by it; default 1. */
  readonly patience?: number
}

const timedWaitMs = 25
const quorumWaitMs = 10
const framesWaitMs = 5

/** Steps that no message moves by. */
const still: ReadonlySet<string> = new Set([
  'queue.declare',
  'queue.bind',
  'queue.unbind',
  'exchange.declare',
  'exchange.bind',
  'exchange.unbind',
  'exchange.delete',
  'confirm.select',
  'tx.select',
  'tx.rollback',
  'channel.open',
])

export class Run {
  readonly #lane: Lane
  readonly #sequence: Sequence
  readonly #names: Names
  readonly #watch: QueueWatch
  readonly #patience: number
  readonly #timed: boolean
  /** A quorum queue of RabbitMQ does what it is told a little later: it is waited for after each step. */
  readonly #quorum: boolean
  /** Queues go when they are not used: each is asked for after each step. */
  readonly #expires: boolean
  readonly #rounds: number
  readonly #exchanges = new Set<string>()

  constructor(lane: Lane, sequence: Sequence, options: RunOptions) {
    this.#lane = lane
    this.#sequence = sequence
    this.#names = new Names(options.prefix, countsConsumers(sequence))
    this.#patience = options.patience ?? 1
    this.#quorum = quorumQueues(sequence).size > 0
    this.#watch = new QueueWatch(lane, this.#patience, this.#quorum)
    this.#timed = isTimed(sequence)
    this.#expires = hasExpiringQueues(sequence)
    this.#rounds = (hasDeadLetters(sequence) ? 4 : 2) * (this.#patience > 1 ? 3 : 1)
  }

  /** What was seen after each step. Where the server gave no answer, that is the last that was seen. */
  async run(): Promise<Observation[]> {
    const observations: Observation[] = []
    try {
      for (const group of groupsOf(this.#sequence.steps)) {
        const steps = 'type' in group ? [group] : group
        const last = steps.at(-1)!
        if ('type' in group) await this.#perform(group)
        else await this.#performAll(group)
        for (let held = 1; held < steps.length; held += 1) observations.push({ channels: {}, queues: {} })
        observations.push(this.#names.compare(await this.#observe(last)))
      }
      await this.#cleanUp()
    } catch (error) {
      observations.push({ channels: {}, queues: {}, error: this.#names.compare(String(error)) })
      this.#lane.drop()
    }
    return observations
  }

  async #perform(step: Step): Promise<void> {
    if (step.type === 'wait') {
      await delay(step.ms * this.#patience)
      return
    }
    const link = await this.#lane.link(step.connection)
    if (step.type === 'abort') {
      link.client.destroy()
      await link.client.ended()
      this.#watch.connectionEnded(step.connection)
      await delay(20 * this.#patience)
      return
    }
    if (step.raw !== true && step.channel !== 0) await this.#open(link, step.channel)
    if (isIdle(link, step)) return
    if (step.type === 'publish') this.#publish(link, step)
    else if (step.type === 'frames') sendFrames(link, step)
    else this.#send(link, step)
    if (!(await this.#settle(link, step))) this.#watch.connectionEnded(step.connection)
  }

  /** In one write, so that a server reads them at once. */
  async #performAll(group: Group): Promise<void> {
    const last = group.at(-1)!
    const link = await this.#lane.link(last.connection)
    await this.#open(link, last.channel)
    link.client.socket.cork()
    for (const step of group) {
      if (isIdle(link, step)) continue
      if (step.type === 'publish') this.#publish(link, step)
      else this.#send(link, step)
    }
    const settled = this.#settle(link, last)
    link.client.socket.uncork()
    if (!(await settled)) this.#watch.connectionEnded(last.connection)
  }

  async #open(link: Link, number: number): Promise<void> {
    if (link.channels.has(number)) return
    await link.client.call(number, { type: 'channel.open' }, 'channel.open-ok')
    link.channels.set(number, newChannel())
  }

  #publish(link: Link, step: PublishStep): void {
    const { client } = link
    const publish = this.#names.sendAll({ exchange: '', routingKey: '', mandatory: false, immediate: false })
    const method = { type: 'basic.publish', ...publish, ...this.#names.sendAll(step.publish) } as const
    const properties = encodeTypedProperties(this.#names.sendAll(step.properties))
    const channel = link.channels.get(step.channel)
    const padding = 'x'.repeat(step.padding ?? 0)
    for (let copy = 0; copy < (step.copies ?? 1); copy += 1) {
      client.writer.content(
        step.channel,
        method,
        properties,
        `${step.body}${copy === 0 ? '' : copy}${padding}`,
      )
      if (channel?.confirming === true) channel.unconfirmed.add((channel.published += 1))
    }
    client.flush()
  }

  #send(link: Link, step: MethodStep): void {
    const method = { ...this.#names.sendAll(step.method) } as Sent & { deliveryTag?: number }
    const channel = link.channels.get(step.channel)
    if (channel !== undefined) {
      const { outstanding } = channel
      if (step.nth !== undefined) method.deliveryTag = outstanding[step.nth % outstanding.length] ?? 1
      this.#foresee(channel, method)
    }
    if (step.table === undefined) {
      link.client.send(step.channel, method)
    } else {
      const bytes = encodeMethod(complete(method))
      const table = encodeTypedTable(this.#names.sendAll(step.table))
      link.client.sendFrame(1, step.channel, Buffer.concat([bytes.subarray(0, -4), table]))
    }
    if (method.type === 'queue.declare') this.#watch.declared(method, step.connection)
    if (method.type === 'exchange.declare') this.#exchanges.add(method.exchange ?? '')
  }

  /** What a client keeps in mind of what it sends. */
  #foresee(channel: ChannelState, method: Sent): void {
    if (method.type === 'confirm.select') channel.confirming = true
    if (method.type === 'basic.get') channel.gets.push(method.noAck === true)
    if (method.type === 'basic.consume' && method.noAck === true)
      channel.noAckTags.add(method.consumerTag ?? '')
    if (method.type === 'basic.ack' || method.type === 'basic.nack' || method.type === 'basic.reject') {
      const { deliveryTag = 0 } = method
      const multiple = method.type !== 'basic.reject' && method.multiple === true
      const kept = channel.outstanding.filter((tag) =>
        multiple ? deliveryTag !== 0 && tag > deliveryTag : tag !== deliveryTag,
      )
      channel.outstanding.splice(0, channel.outstanding.length, ...kept)
    }
  }

  /** Waits for the answer to a step; false where the connection has ended. */
  async #settle(link: Link, step: MethodStep | PublishStep | FramesStep): Promise<boolean> {
    const { client } = link
    const name = step.type === 'method' ? step.method.type : undefined
    if (name === 'connection.close' && step.channel === 0) {
      // Who says goodbye also hangs up.
      await client.next(0, 'connection.close-ok')
      client.destroy()
    } else if (name === 'channel.close') await client.next(step.channel, 'channel.close-ok')
    else if (name === 'channel.open') await client.next(step.channel, 'channel.open-ok')
    // Anything that comes behind a commit before it is done is an error in RabbitMQ.
    else if (name === 'tx.commit') await client.next(step.channel, 'tx.commit-ok', 'channel.close')
    else if (step.channel !== 0) await link.roundTrip(step.channel)
    else await link.roundTrip(barrierChannel)
    // A frame on another channel is answered at a time of its own.
    if (step.type === 'frames') await delay(framesWaitMs * this.#patience)
    if (!link.alive) {
      await client.ended()
      return false
    }
    await this.#confirms(link, step.channel)
    return true
  }

  async #confirms(link: Link, number: number): Promise<void> {
    const channel = link.channels.get(number)
    if (channel === undefined || channel.unconfirmed.size === 0) return
    const since = performance.now()
    for (;;) {
      const news = link.client.received.slice(link.cursor).filter((arrival) => arrival.channel === number)
      const ended = news.some((arrival) => arrival.type === 'channel.close')
      const left = new Set(channel.unconfirmed)
      confirmsIn(news, left)
      if (left.size === 0 || ended || !link.alive) return
      if (performance.now() - since > timeoutMs / 2) return
      await delay(2)
    }
  }

  async #observe(step: Step): Promise<Observation> {
    const quiet = !this.#expires && step.type === 'method' && still.has(step.method.type)
    if (this.#timed && !quiet) await delay(timedWaitMs * this.#patience)
    else if (this.#quorum) await delay(quorumWaitMs * this.#patience)
    let queues: Record<string, string> = {}
    if (!quiet || this.#timed || this.#quorum) {
      for (let round = 0; round < this.#rounds; round += 1) queues = await this.#watch.ask()
    }
    const channels: Record<string, Partial<ChannelNews>> = {}
    for (const index of [0, 1] as const) await this.#look(index, channels)
    return { channels, queues }
  }

  async #look(index: ConnectionIndex, channels: Record<string, Partial<ChannelNews>>): Promise<void> {
    const link = this.#lane.links[index]
    if (link === undefined) return
    const numbers = [...link.channels.keys()]
    const open = numbers.filter((number) => link.isOpen(number))
    if (link.alive) await Promise.all(open.map((number) => link.roundTrip(number)))
    const all = link.takeNews().filter((arrival) => !isHarness(arrival))
    // The channels of a connection that ends do so one after another, and may be handed what the first gave back.
    const news = link.alive ? all : all.filter((arrival) => arrival.type !== 'basic.deliver')
    const active = new Set([...numbers, ...news.map((arrival) => arrival.channel)])
    for (const number of active) {
      const ofChannel = news.filter((arrival) => arrival.channel === number)
      const described = this.#digest(link, { index, number, news: ofChannel })
      if (Object.keys(described).length > 0) channels[`${index}/${number}`] = described
    }
    if (!link.alive) {
      this.#watch.connectionEnded(index)
      this.#lane.links[index] = undefined
      link.client.destroy()
    }
  }

  /** Takes what came on a channel to mind, and describes it. */
  #digest(
    link: Link,
    channelNews: { index: ConnectionIndex; number: number; news: readonly Arrival[] },
  ): Partial<ChannelNews> {
    const { index, number, news } = channelNews
    const state = link.channels.get(number)
    const confirms = confirmsIn(news, state?.unconfirmed ?? new Set())
    for (const arrival of news) {
      if (state !== undefined) remember(state, arrival)
      if (arrival.type === 'queue.declare-ok') {
        if (arrival.queue.startsWith('amq.gen-')) this.#names.generated = arrival.queue
        this.#watch.exists(arrival.queue, index)
      }
      const replyTo = 'properties' in arrival ? arrival.properties?.replyTo : undefined
      if (replyTo?.startsWith('amq.rabbitmq.reply-to.') === true) this.#names.replyAddress = replyTo
      if (arrival.type === 'channel.open-ok' && state === undefined) link.channels.set(number, newChannel())
      if (arrival.type === 'channel.close' || arrival.type === 'channel.close-ok')
        link.channels.delete(number)
    }
    if (state !== undefined && link.channels.get(number) === state && state.unconfirmed.size > 0) {
      confirms.wrong.push(`not confirmed: ${[...state.unconfirmed].join()}`)
      state.unconfirmed.clear()
    }
    return describeNews(news, confirms)
  }

  /** Leaves nothing to the sequences after it. */
  async #cleanUp(): Promise<void> {
    for (const link of this.#lane.links) {
      if (link?.alive !== true) continue
      const numbers = [...link.channels.keys()]
      const closing: MethodName = 'channel.close'
      await Promise.all(
        numbers.map((number) =>
          link.client.call(number, { type: closing, replyCode: 200, replyText: 'bye' }),
        ),
      )
      link.channels.clear()
      link.takeNews()
    }
    await this.#watch.deleteAll()
    const observer = await this.#lane.observer()
    for (const exchange of this.#exchanges) {
      if (exchange === '' || exchange.startsWith('amq.')) continue
      observer.client.send(barrierChannel, { type: 'exchange.delete', exchange, nowait: true })
    }
    await observer.roundTrip(barrierChannel)
    observer.takeNews()
    await this.#lane.renew()
  }
}

function remember(state: ChannelState, arrival: Arrival): void {
  if (arrival.type === 'basic.deliver' && !state.noAckTags.has(arrival.consumerTag)) {
    state.outstanding.push(arrival.deliveryTag)
  } else if (arrival.type === 'basic.get-ok') {
    if (state.gets.shift() !== true) state.outstanding.push(arrival.deliveryTag)
  } else if (arrival.type === 'basic.get-empty') {
    state.gets.shift()
  } else if (arrival.type === 'basic.consume-ok' && state.noAckTags.delete('')) {
    state.noAckTags.add(arrival.consumerTag)
  }
}

/** It settles something that is outstanding, and nothing is. */
function isIdle(link: Link, step: Step): boolean {
  return (
    step.type === 'method' &&
    step.ifHeld === true &&
    link.channels.get(step.channel)?.outstanding.length === 0
  )
}

function sendFrames(link: Link, step: FramesStep): void {
  for (const { type, channel, payload } of step.frames) {
    link.client.writer.frame(type, channel, Buffer.from(payload, 'hex'))
  }
  link.client.flush()
}

function newChannel(): ChannelState {
  return {
    outstanding: [],
    noAckTags: new Set(),
    gets: [],
    confirming: false,
    published: 0,
    unconfirmed: new Set(),
  }
}

/** Answers to what the harness asked itself. */
function isHarness(arrival: Arrival): boolean {
  return (
    arrival.type === 'channel.flow-ok' ||
    (arrival.channel === barrierChannel && arrival.type !== 'connection.close')
  )
}
