/**
 * Puts a content header and its body frames together. One per channel and direction; AMQP lets nothing come between them there.
 *
 * ```text
 * method ──expect──> header ──header──> body ──body, until all bytes are there──> method
 *                       └── header with body size 0 ──> method
 * ```
 */
import { assert } from '../std/assert.ts'
import type { ProtocolError } from '../model/errors.ts'
import { longLongAt, shortAt } from './frame-bytes.ts'
import { contentHeaderBytes } from './frame.ts'
import { methodIds } from './methods.ts'
import { expectedBody, expectedClass, expectedHeader, expectedMethod } from './wire-errors.ts'

export interface ContentReaderOptions {
  /** Of a larger body nothing is kept, and `isTooLarge` says so at its end. */
  readonly maximumBodyBytes: number
}

/**
 * Reads the contents of one channel (AMQP 0-9-1, section 4.2.6), in a sink's methods:
 *
 * ```ts
 * if (content.payload(buffer, start, end, restBytes)) received(content.propertyBytes, content.body)
 * ```
 */
export class ContentReader {
  /** Property flags and list as AMQP's bytes, copied. Where they are those of the content before, it is the same object. */
  propertyBytes: Uint8Array
  /** The body of the content that is complete, copied; empty where it was too large. */
  body: Uint8Array
  /** The body's size as the header said it. */
  bodyBytes: number
  readonly #maximumBodyBytes: number
  #state: 'method' | 'header' | 'body'
  /** The method that the content belongs to. */
  #methodId: number
  #receivedBytes: number

  constructor(options: ContentReaderOptions) {
    this.propertyBytes = nothing
    this.body = nothing
    this.bodyBytes = 0
    this.#maximumBodyBytes = options.maximumBodyBytes
    this.#state = 'method'
    this.#methodId = 0
    this.#receivedBytes = 0
  }

  /** Whether the content was over the limit, so that its body was not kept. */
  get isTooLarge(): boolean {
    return this.bodyBytes > this.#maximumBodyBytes
  }

  /** The body, which is let go of: a channel that says nothing afterwards keeps no memory for it. */
  takeBody(): Uint8Array {
    const { body } = this
    this.body = nothing
    return body
  }

  /** To be called for each method that comes. Throws ProtocolError (505) where content is not complete yet. */
  checkMethod(): void {
    if (this.#state !== 'method') throw this.#unexpected()
  }

  /** A method that has content came: a header is next. */
  expect(methodId: number = methodIds['basic.publish']): void {
    assert(this.#state === 'method', 'checkMethod comes first')
    this.#methodId = methodId
    this.#state = 'header'
  }

  /**
   * Takes a content header's payload. True when the content is complete, because the body is empty.
   *
   * Throws ProtocolError (505) where none is due, or it is of another class than the method.
   */
  header(buffer: Buffer, start: number, end: number): boolean {
    if (this.#state !== 'header') throw this.#unexpected()
    const classId = shortAt(buffer, start)
    const weight = shortAt(buffer, start + 2)
    if (weight !== 0) throw this.#unexpected()
    if (classId !== this.#methodId >>> 16) throw expectedClass(this.#methodId, classId)
    this.bodyBytes = longLongAt(buffer, start + 4)
    this.#readProperties(buffer, start + contentHeaderBytes, end)
    this.body = nothing
    this.#receivedBytes = 0
    this.#state = this.bodyBytes === 0 ? 'method' : 'body'
    return this.bodyBytes === 0
  }

  /**
   * Takes a body frame's payload, or a part of it. True when the content is complete.
   *
   * Throws ProtocolError (505) where none is due, or its frame goes beyond the body's size.
   *
   * @param restBytes how much of the frame is still to come
   */
  payload(buffer: Buffer, start: number, end: number, restBytes = 0): boolean {
    if (this.#state !== 'body') throw this.#unexpected()
    const bytes = this.#receivedBytes + end - start
    if (bytes + restBytes > this.bodyBytes) throw this.#unexpected()
    if (!this.isTooLarge) this.#keep(buffer, start, end)
    this.#receivedBytes = bytes
    if (bytes < this.bodyBytes) return false
    this.#state = 'method'
    return true
  }

  /** The same bytes as before stay the same object, so that what was made of them can be used again. */
  #readProperties(buffer: Buffer, start: number, end: number): void {
    if (!isSame(this.propertyBytes, buffer, start, end)) {
      this.propertyBytes = new Uint8Array(viewOf(buffer, start, end))
    }
  }

  /** Room grows with what arrives and not with what was announced; a body that comes at once gets its size at once. */
  #keep(buffer: Buffer, start: number, end: number): void {
    const received = this.#receivedBytes
    const bytes = received + end - start
    if (bytes <= smallBytes && bytes === this.bodyBytes && received === 0) {
      // So small an array lies in the heap itself, and costs half of a piece of Buffer's pool (micro-wire, read-16).
      this.body = new Uint8Array(viewOf(buffer, start, end))
      return
    }
    if (bytes > this.body.length) {
      const larger = Buffer.allocUnsafe(Math.min(this.bodyBytes, Math.max(bytes, this.body.length * 4)))
      if (received > 0) larger.set(this.body)
      this.body = larger
    }
    this.body.set(viewOf(buffer, start, end), received)
  }

  /** What came is not what was due. */
  #unexpected(): ProtocolError {
    if (this.#state === 'method') return expectedMethod()
    return this.#state === 'header' ? expectedHeader(this.#methodId) : expectedBody(this.#methodId)
  }
}

const nothing = new Uint8Array(0)

/** V8 keeps typed arrays up to this size in its own heap. */
const smallBytes = 64

/** A loop over more bytes than these takes longer than a call into native code. */
const loopBytes = 64

/** Half the time of `subarray`, which makes a Buffer (micro-wire, read-1024). */
function viewOf(buffer: Buffer, start: number, end: number): Uint8Array {
  return new Uint8Array(buffer.buffer, buffer.byteOffset + start, end - start)
}

function isSame(known: Uint8Array, buffer: Buffer, start: number, end: number): boolean {
  const length = end - start
  if (known.length !== length) return false
  if (length > loopBytes) return buffer.compare(known, 0, length, start, end) === 0
  // From the end: what differs (an id, a time) stands there.
  for (let index = length - 1; index >= 0; index -= 1) {
    if (known[index] !== buffer[start + index]) return false
  }
  return true
}
