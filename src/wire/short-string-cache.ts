/**
 * Short strings that come again and again: where the bytes are those of the last one, so is the string, and nothing is made.
 */
import { ProtocolError } from '../model/errors.ts'

/** What UTF-8 decoding puts in the place of bytes it cannot read. */
const replacement = '\ufffd'

export class ShortStringCache {
  #bytes: Buffer
  #length: number
  #text: string

  constructor() {
    this.#bytes = Buffer.alloc(0)
    this.#length = 0
    this.#text = ''
  }

  /** Throws ProtocolError (501) for what is no UTF-8. @param at where the length is; the bytes behind it are known to be there */
  read(buffer: Buffer, at: number): string {
    const length = buffer[at] as number
    const start = at + 1
    if (length === this.#length && this.#isSame(buffer, start, length)) return this.#text
    if (this.#bytes.length < length) this.#bytes = Buffer.allocUnsafeSlow(255)
    buffer.copy(this.#bytes, 0, start, start + length)
    this.#length = length
    this.#text = this.#bytes.toString('utf8', 0, length)
    if (this.#text.includes(replacement)) this.#check(length)
    return this.#text
  }

  /** As text the bytes would be others, and more of them. */
  #check(length: number): void {
    if (Buffer.from(this.#text).equals(this.#bytes.subarray(0, length))) return
    this.#length = -1
    throw new ProtocolError(501, 'Malformed UTF-8 in shortstr')
  }

  #isSame(buffer: Buffer, start: number, length: number): boolean {
    const bytes = this.#bytes
    for (let index = 0; index < length; index += 1) {
      if (buffer[start + index] !== bytes[index]) return false
    }
    return true
  }
}
