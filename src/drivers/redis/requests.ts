/**
 * Calls that must not be done twice, but are made again when their answer was lost with the connection: they have a number, and
 * the server remembers what it answered. One at a time for each queue, so that no number can push another out of that memory.
 */
import type { Caller } from './caller.ts'
import type { Keys } from './keys.ts'
import type { Argument, Reply } from './node-redis.ts'

export class Requests {
  readonly #caller: Caller
  readonly #keys: Keys
  /** Not the name under which messages are published: its numbers are others. */
  readonly #client: string
  #number = 0
  readonly #last = new Map<string, Promise<unknown>>()

  constructor(setup: { caller: Caller; keys: Keys; driver: string }) {
    this.#caller = setup.caller
    this.#keys = setup.keys
    this.#client = `${setup.driver}+`
  }

  /** @throws as Caller.call */
  call(request: {
    readonly name: string
    readonly queue: string
    readonly words: readonly Argument[]
    readonly doing: string
  }): Promise<Reply> {
    const { queue } = request
    const before = this.#last.get(queue) ?? Promise.resolve()
    const answered = before.then(() => this.#call(request))
    const last = answered
      .catch(() => undefined)
      .then(() => {
        if (this.#last.get(queue) === last) this.#last.delete(queue)
      })
    this.#last.set(queue, last)
    return answered
  }

  #call({ name, queue, words, doing }: Parameters<Requests['call']>[0]): Promise<Reply> {
    this.#number += 1
    return this.#caller.call({
      name,
      key: this.#keys.queue(queue),
      words: [this.#client, String(this.#number), '0', ...words],
      numbered: true,
      doing,
    })
  }
}
