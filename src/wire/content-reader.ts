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
import { contentHeaderBytes } from './frame.ts'
import { methodIds } from './methods.ts'
import { expectedBody, expectedClass, expectedHeader, expectedMethod } from './wire-errors.ts'

export interface ContentReaderOptions {
  /** Of a larger body nothing is kept, and `isTooLarge` says so at its end. */
  readonly maximumBodyBytes: number
}

export class ContentReader {
  /** Property flags and list of the content that is complete; AMQP's bytes, copied. */
  propertyBytes: Uint8Array
  /** The body of the content that is complete, copied; empty where it was too large. */
  body: Buffer
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
    const classId = buffer.readUInt16BE(start)
    const weight = buffer.readUInt16BE(start + 2)
    if (weight !== 0) throw this.#unexpected()
    if (classId !== this.#methodId >>> 16) throw expectedClass(this.#methodId, classId)
    this.bodyBytes = buffer.readUInt32BE(start + 4) * 4294967296 + buffer.readUInt32BE(start + 8)
    this.propertyBytes = Buffer.from(buffer.subarray(start + contentHeaderBytes, end))
    this.body = nothing
    this.#receivedBytes = 0
    this.#state = this.bodyBytes === 0 ? 'method' : 'body'
    return this.bodyBytes === 0
  }

  /**
   * Takes a body frame's payload. True when the content is complete.
   *
   * Throws ProtocolError (505) where none is due, or it goes beyond the body's size.
   */
  payload(buffer: Buffer, start: number, end: number): boolean {
    if (this.#state !== 'body') throw this.#unexpected()
    const bytes = this.#receivedBytes + end - start
    if (bytes > this.bodyBytes) throw this.#unexpected()
    if (!this.isTooLarge) this.#keep(buffer, start, end)
    this.#receivedBytes = bytes
    if (bytes < this.bodyBytes) return false
    this.#state = 'method'
    return true
  }

  /** Room grows with what arrives and not with what was announced; a body of one frame gets its size at once. */
  #keep(buffer: Buffer, start: number, end: number): void {
    const received = this.#receivedBytes
    const bytes = received + end - start
    if (bytes > this.body.length) {
      const larger = Buffer.allocUnsafe(Math.min(this.bodyBytes, Math.max(bytes, this.body.length * 2)))
      this.body.copy(larger, 0, 0, received)
      this.body = larger
    }
    buffer.copy(this.body, received, start, end)
  }

  /** What came is not what was due. */
  #unexpected(): ProtocolError {
    if (this.#state === 'method') return expectedMethod()
    return this.#state === 'header' ? expectedHeader(this.#methodId) : expectedBody(this.#methodId)
  }
}

const nothing = Buffer.alloc(0)
