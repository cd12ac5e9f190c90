/**
 * Short strings that come again and again: where the bytes are those of the last one, so is the string, and nothing is made.
 */
export class ShortStringCache {
  #bytes: Buffer
  #length: number
  #text: string

  constructor() {
    this.#bytes = Buffer.alloc(0)
    this.#length = 0
    this.#text = ''
  }

  /** @param at where the length is; the bytes behind it are known to be there */
  read(buffer: Buffer, at: number): string {
    const length = buffer[at] as number
    const start = at + 1
    if (length === this.#length && this.#isSame(buffer, start, length)) return this.#text
    if (this.#bytes.length < length) this.#bytes = Buffer.allocUnsafeSlow(255)
    buffer.copy(this.#bytes, 0, start, start + length)
    this.#length = length
    this.#text = this.#bytes.toString('utf8', 0, length)
    return this.#text
  }

  #isSame(buffer: Buffer, start: number, length: number): boolean {
    const bytes = this.#bytes
    for (let index = 0; index < length; index += 1) {
      if (buffer[start + index] !== bytes[index]) return false
    }
    return true
  }
}
