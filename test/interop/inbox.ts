/** What comes in, in order, for a test that waits for the next one. */
export class Inbox<T> {
  readonly #items: T[] = []
  readonly #waiting: ((item: T) => void)[] = []

  get size(): number {
    return this.#items.length
  }

  push(item: T): void {
    const waiting = this.#waiting.shift()
    if (waiting === undefined) this.#items.push(item)
    else waiting(item)
  }

  next(): Promise<T> {
    if (this.#items.length > 0) return Promise.resolve(this.#items.shift() as T)
    return new Promise((resolve) => this.#waiting.push(resolve))
  }

  async take(count: number): Promise<T[]> {
    const items: T[] = []
    while (items.length < count) items.push(await this.next())
    return items
  }
}
