/**
 * Publisher confirms (https://www.rabbitmq.com/docs/confirms).
 *
 * Each channel in confirm mode numbers its messages from 1. What was published in one turn waits for one promise of the
 * broker, that of the sync which covers it; then each channel is told by one `basic.ack multiple`, cut only where a
 * message was refused:
 *
 * ```text
 * published 5 6 7 8 9, 7 refused   ->   ack 6 multiple, nack 7, ack 9 multiple
 * ```
 *
 * Messages are settled in the order of their numbers, so that `multiple` never covers one that is still open.
 */
import type { Broker } from '../broker/broker.ts'

/** Told of what was settled. */
export interface ConfirmSink {
  confirmed(sequence: number, multiple: boolean): void
  refused(sequence: number): void
}

/** The numbers of one channel. */
export class ConfirmSequence {
  readonly #sink: ConfirmSink
  #published = 0
  #settled = 0
  /** Ascending. */
  #refused: number[] = []
  /** The group that it waits in, and its place there. */
  group: ConfirmGroup | undefined
  place = 0
  /** It is on the list of those that published since the last `gather`. */
  touched = false

  constructor(sink: ConfirmSink) {
    this.#sink = sink
  }

  /** The number of the last message. */
  get published(): number {
    return this.#published
  }

  /** The number up to which everything is settled. */
  get settled(): number {
    return this.#settled
  }

  /** Numbers a message. */
  count(refused: boolean): void {
    this.#published += 1
    if (refused) this.#refused.push(this.#published)
  }

  /** Settles everything up to that number. */
  settle(through: number): void {
    if (this.#refused.length > 0) this.#settleRefused(through)
    const first = this.#settled + 1
    if (through < first) return
    this.#settled = through
    this.#sink.confirmed(through, through > first)
  }

  #settleRefused(through: number): void {
    const refused = this.#refused
    let count = 0
    while (count < refused.length && refused[count]! <= through) {
      const sequence = refused[count]!
      const first = this.#settled + 1
      if (sequence > first) this.#sink.confirmed(sequence - 1, sequence - 1 > first)
      this.#sink.refused(sequence)
      this.#settled = sequence
      count += 1
    }
    this.#refused = refused.slice(count)
  }
}

/** Channels that wait for the same promise, and up to which number. */
interface ConfirmGroup {
  readonly durable: Promise<void>
  readonly sequences: ConfirmSequence[]
  readonly through: number[]
}

/** All channels of a server: gathers those that published, and settles them when what they published is durable. */
export class Confirms {
  readonly #broker: Broker
  #touched: ConfirmSequence[] = []
  #group: ConfirmGroup | undefined

  constructor(broker: Broker) {
    this.#broker = broker
  }

  /** A message was published under this sequence; `gather` comes after the last of the turn. */
  touch(sequence: ConfirmSequence): void {
    if (sequence.touched) return
    sequence.touched = true
    this.#touched.push(sequence)
  }

  /** To be called once a chunk of input has been handled, not once a message. */
  gather(): void {
    if (this.#touched.length === 0) return
    const touched = this.#touched
    this.#touched = []
    if (this.#broker.store === undefined) {
      for (const sequence of touched) {
        sequence.touched = false
        sequence.settle(sequence.published)
      }
      return
    }
    const group = this.#currentGroup()
    for (const sequence of touched) {
      sequence.touched = false
      if (sequence.group !== group) {
        sequence.group = group
        sequence.place = group.sequences.length
        group.sequences.push(sequence)
      }
      group.through[sequence.place] = sequence.published
    }
  }

  #currentGroup(): ConfirmGroup {
    const durable = this.#broker.whenDurable()
    if (this.#group?.durable === durable) return this.#group
    const group: ConfirmGroup = { durable, sequences: [], through: [] }
    this.#group = group
    durable.then(
      () => this.#settle(group),
      // What is not durable is not confirmed; the broker's `failed` closes the connections.
      () => undefined,
    )
    return group
  }

  #settle(group: ConfirmGroup): void {
    if (this.#group === group) this.#group = undefined
    for (let index = 0; index < group.sequences.length; index += 1) {
      const sequence = group.sequences[index]!
      if (sequence.group === group) sequence.group = undefined
      sequence.settle(group.through[index]!)
    }
  }
}
