/**
 * Bodies that have come in part. They are in nobody's queue, so no other limit sees them, and a peer may begin as many as it
 * has channels: all of them together are counted.
 */
import { MillraceError } from '../model/errors.ts'

export class PartialContents {
  readonly #limit: number
  #bytes: number

  constructor(limit: number) {
    this.#limit = limit
    this.#bytes = 0
  }

  get bytes(): number {
    return this.#bytes
  }

  /** So many bytes more. Throws LIMIT_REACHED, and has counted them then too. */
  hold(bytes: number): void {
    this.#bytes += bytes
    if (this.#bytes > this.#limit) {
      throw new MillraceError('LIMIT_REACHED', 'too many bytes of messages that have not come in full')
    }
  }

  /** A body is complete, or will never be. */
  release(bytes: number): void {
    this.#bytes -= bytes
  }
}
