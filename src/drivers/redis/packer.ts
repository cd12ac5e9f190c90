/**
 * Messages for one queue as arguments of `publish_packed`: MessagePack arrays of contents, and of pairs of options and content.
 *
 * Word by word, the client library and the socket handled each message by itself, which took a third of what a message
 * costs this process (benchmark P6); so they get one buffer for many.
 *
 * ```text
 * dd COUNT             array, count as 4 bytes
 *   db LENGTH content  a message without options, length as 4 bytes
 *   92 db LENGTH options db LENGTH content
 * ```
 */
import type { Body } from '../../model/message.ts'

export interface Pack {
  readonly bytes: Buffer
  /** Messages. */
  readonly count: number
}

/** The server does nothing else while it takes a pack. */
export const maximumPackMessages = 512
export const maximumPackBytes = 1_024 * 1_024

const arrayMark = 0xdd
const textMark = 0xdb
const pairMark = 0x92
/** A mark and 4 bytes. */
const headBytes = 5
const newline = 0x0a
/** UTF-8 bytes of one UTF-16 unit. */
const widest = 3

/** Buffers that packs are written into, and copied out of. */
const spare: Buffer[] = []
const maximumSpare = 16
const usualBytes = 128 * 1_024

export class Packer {
  readonly #packs: Pack[] = []
  #buffer = spare.pop() ?? Buffer.allocUnsafeSlow(usualBytes)
  #end = headBytes
  #count = 0

  /** @param options '' for none */
  add(options: string, envelope: string, body: Body): void {
    const most = widest * (options.length + envelope.length) + mostBytes(body) + 3 * headBytes
    if (this.#count === maximumPackMessages || (this.#count > 0 && this.#end + most > maximumPackBytes))
      this.#finish()
    this.#reserve(most)
    this.#count += 1
    if (options !== '') {
      this.#buffer[this.#end] = pairMark
      this.#end += 1
      this.#endText(this.#end, this.#write(options, this.#end + headBytes))
    }
    let end = this.#write(envelope, this.#end + headBytes)
    this.#buffer[end] = newline
    end += 1
    if (typeof body === 'string') end = this.#write(body, end)
    else {
      this.#buffer.set(body, end)
      end += body.length
    }
    this.#endText(this.#end, end)
  }

  /** Nothing may be added any more. */
  packs(): readonly Pack[] {
    if (this.#count > 0) this.#finish()
    if (this.#buffer.length === usualBytes && spare.length < maximumSpare) spare.push(this.#buffer)
    return this.#packs
  }

  #finish(): void {
    this.#buffer[0] = arrayMark
    this.#buffer.writeUInt32BE(this.#count, 1)
    this.#packs.push({ bytes: Buffer.from(this.#buffer.subarray(0, this.#end)), count: this.#count })
    this.#end = headBytes
    this.#count = 0
  }

  #write(text: string, at: number): number {
    return at + this.#buffer.write(text, at)
  }

  #endText(from: number, end: number): void {
    this.#buffer[from] = textMark
    this.#buffer.writeUInt32BE(end - from - headBytes, from + 1)
    this.#end = end
  }

  #reserve(bytes: number): void {
    const needed = this.#end + bytes
    if (needed <= this.#buffer.length) return
    const larger = Buffer.allocUnsafeSlow(Math.max(needed, 2 * this.#buffer.length))
    this.#buffer.copy(larger, 0, 0, this.#end)
    this.#buffer = larger
  }
}

function mostBytes(body: Body): number {
  return typeof body === 'string' ? widest * body.length : body.length
}
