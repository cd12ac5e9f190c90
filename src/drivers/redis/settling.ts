/** What a consumer has to tell with its next request, and who waits for the answer. */
import { Deferred } from '../../std/deferred.ts'
import { shortened } from '../../model/death-account.ts'
import type { Outcome } from '../../client/driver.ts'
import type { RedisDelivery } from './delivery.ts'
import type { Argument } from './node-redis.ts'

interface Other {
  readonly delivery: RedisDelivery
  readonly outcome: Exclude<Outcome, { type: 'ack' }>
}

/** Settlements of one request. */
export class Settling {
  readonly #acks: RedisDelivery[] = []
  readonly #others: Other[] = []
  /** Of requests that were refused: nobody has them any more, and nobody waits for what becomes of them. */
  readonly #forsaken: RedisDelivery[] = []
  /** '0' or '1' for each acknowledgement, '' where all were held; and for each other settlement. */
  readonly #answer = new Deferred<{ acks: string; others: string }>()

  constructor() {
    this.#answer.promise.catch(() => undefined)
  }

  get size(): number {
    return this.#acks.length + this.#others.length
  }

  get hasDead(): boolean {
    return this.#others.some(({ outcome }) => outcome.type === 'dead')
  }

  acknowledge(delivery: RedisDelivery): Promise<boolean> {
    const index = this.#acks.push(delivery) - 1
    return this.#answer.promise.then(({ acks }) => acks === '' || acks[index] === '1')
  }

  settle(delivery: RedisDelivery, outcome: Exclude<Outcome, { type: 'ack' }>): Promise<boolean> {
    const index = this.#others.push({ delivery, outcome }) - 1
    return this.#answer.promise.then(({ others }) => others[index] === '1')
  }

  /**
   * As the function `work` takes them.
   *
   * @param holder who has them; what another had was lost with it
   */
  words(holder: string): Argument[] {
    const words: Argument[] = [String(this.#acks.length)]
    for (const { entry } of this.#acks) words.push(entry)
    for (const { delivery, outcome } of this.#others) words.push(delivery.entry, ...wordsOf(outcome))
    for (const delivery of this.#forsaken)
      if (delivery.holder === holder) words.push(delivery.entry, ...wordsOf({ type: 'release' }))
    return words
  }

  answer(acks: string, others: string): void {
    this.#answer.resolve({ acks, others })
  }

  /** None of them was held any more. */
  refuse(): void {
    this.answer('0'.repeat(this.#acks.length), '0'.repeat(this.#others.length))
  }

  /** Who waits is told that nothing was settled; if there is another request, it goes back to its place with that. */
  fail(error: Error, next: Settling): void {
    this.#answer.reject(error)
    for (const delivery of this.#acks) next.#forsaken.push(delivery)
    for (const { delivery } of this.#others) next.#forsaken.push(delivery)
    for (const delivery of this.#forsaken) next.#forsaken.push(delivery)
  }
}

function wordsOf(outcome: Exclude<Outcome, { type: 'ack' }>): string[] {
  switch (outcome.type) {
    case 'retry':
      return ['retry', String(Math.ceil(outcome.delayMs)), '', '']
    case 'release':
      return ['release', String(Math.ceil(outcome.delayMs ?? 0)), '', '']
    case 'dead':
      return ['dead', '0', shortened(outcome.reason), shortened(outcome.error ?? '')]
  }
}
