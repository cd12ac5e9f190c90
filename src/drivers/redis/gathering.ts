/** Work that many ask for: one is under way, and all who ask meanwhile share the next, which begins after they asked. */

export class Gathering {
  readonly #work: () => Promise<void>
  #underWay: Promise<void> = Promise.resolve()
  #next: Promise<void> | undefined

  constructor(work: () => Promise<void>) {
    this.#work = work
  }

  join(): Promise<void> {
    return (this.#next ??= this.#underWay
      .catch(() => undefined)
      .then(() => {
        this.#underWay = this.#next ?? Promise.resolve()
        this.#next = undefined
        return this.#work()
      }))
  }
}
