/**
 * The frames of a WebSocket (RFC 6455, section 5) as a client sends them, cut out of whatever chunks they come in.
 *
 * ```text
 * fin 1 bit | reserved 3 | opcode 4 | masked 1 | length 7 (126: u16 follows, 127: u64 follows) | mask 4 bytes | payload
 * ```
 *
 * AMQP is a stream of bytes here: where messages and frames begin says nothing, so payload is handed on as it arrives, and
 * nothing is gathered but the first bytes of a frame and what control frames hold.
 */

/** Where it all goes. */
export interface WebSocketSink {
  /** A part of the stream; its own memory, unmasked. */
  data(payload: Buffer): void
  ping(payload: Buffer): void
  /** The peer closes. */
  close(): void
}

/** Close codes (section 7.4.1). */
export const closeCode = { normal: 1000, protocolError: 1002, unsupported: 1003 } as const

/** What a peer sent that is no WebSocket for AMQP; `closeCode` says what it is told. */
export class WebSocketError extends Error {
  readonly closeCode: number

  constructor(code: number, message: string) {
    super(message)
    this.name = 'WebSocketError'
    this.closeCode = code
  }
}

const opcode = { continuation: 0, text: 1, binary: 2, close: 8, ping: 9, pong: 10 } as const
const maximumControlBytes = 125
/** Two bytes, eight of length, four of mask. */
const maximumHeaderBytes = 14

export class WebSocketReader {
  readonly #sink: WebSocketSink
  readonly #header = Buffer.alloc(maximumHeaderBytes)
  #headerBytes = 0
  #opcode = 0
  #restBytes = 0
  readonly #mask = Buffer.alloc(4)
  #maskAt = 0
  /** What has come of a control frame; undefined for the stream's own. */
  #control: Buffer | undefined
  /** A message has begun and is not finished. */
  #continues = false

  constructor(sink: WebSocketSink) {
    this.#sink = sink
  }

  /** Throws WebSocketError, after which nothing more may be pushed. */
  push(chunk: Buffer): void {
    let at = 0
    while (at < chunk.length) {
      at = this.#restBytes === 0 ? this.#readHeader(chunk, at) : this.#readPayload(chunk, at)
    }
  }

  #readHeader(chunk: Buffer, from: number): number {
    let at = from
    while (at < chunk.length) {
      this.#header[this.#headerBytes++] = chunk[at++]!
      if (this.#headerBytes < 2 || this.#headerBytes < headerBytes(this.#header[1]!)) continue
      this.#headerBytes = 0
      this.#begin()
      return at
    }
    return at
  }

  #begin(): void {
    const [first = 0, second = 0] = this.#header
    const code = first & 0x0f
    const isFinal = (first & 0x80) !== 0
    if ((first & 0x70) !== 0) throw wrong('a reserved bit is set, and no extension was agreed')
    if ((second & 0x80) === 0) throw wrong('a frame of a client is not masked')
    const short = second & 0x7f
    const length =
      short < 126 ? short : short === 126 ? this.#header.readUInt16BE(2) : longLength(this.#header)
    const maskStart = headerBytes(second) - 4
    this.#header.copy(this.#mask, 0, maskStart, maskStart + 4)
    this.#maskAt = 0
    this.#checkOpcode(code, isFinal, length)
    this.#opcode = code
    this.#restBytes = length
    if (length === 0) this.#ended()
  }

  #checkOpcode(code: number, isFinal: boolean, length: number): void {
    if (code >= opcode.close) {
      if (code > opcode.pong) throw wrong(`there is no opcode ${code}`)
      if (!isFinal || length > maximumControlBytes) throw wrong('a control frame is too long, or in parts')
      this.#control = Buffer.alloc(0)
      return
    }
    if (code === opcode.text) throw new WebSocketError(closeCode.unsupported, 'AMQP comes in binary messages')
    if (code > opcode.binary) throw wrong(`there is no opcode ${code}`)
    if ((code === opcode.continuation) !== this.#continues)
      throw wrong('a message begins in another, or goes on without')
    this.#continues = !isFinal
    this.#control = undefined
  }

  #readPayload(chunk: Buffer, from: number): number {
    const end = Math.min(chunk.length, from + this.#restBytes)
    const payload = Buffer.allocUnsafe(end - from)
    const mask = this.#mask
    let maskAt = this.#maskAt
    for (let index = 0; index < payload.length; index += 1) {
      payload[index] = chunk[from + index]! ^ mask[maskAt]!
      maskAt = (maskAt + 1) & 3
    }
    this.#maskAt = maskAt
    this.#restBytes -= payload.length
    if (this.#control === undefined) this.#sink.data(payload)
    else this.#control = Buffer.concat([this.#control, payload])
    if (this.#restBytes === 0) this.#ended()
    return end
  }

  #ended(): void {
    const control = this.#control
    if (control === undefined) return
    this.#control = undefined
    if (this.#opcode === opcode.ping) this.#sink.ping(control)
    else if (this.#opcode === opcode.close) this.#sink.close()
  }
}

/** A frame of a server: not masked. */
export function frameHeader(code: 'binary' | 'close' | 'pong', length: number): Buffer {
  const first = 0x80 | opcode[code]
  if (length < 126) return Buffer.of(first, length)
  if (length < 65_536) return Buffer.of(first, 126, length >> 8, length & 0xff)
  const header = Buffer.alloc(10)
  header[0] = first
  header[1] = 127
  header.writeBigUInt64BE(BigInt(length), 2)
  return header
}

/** Of a client's frame, whose second byte this is. */
function headerBytes(second: number): number {
  const short = second & 0x7f
  return (short < 126 ? 2 : short === 126 ? 4 : 10) + ((second & 0x80) === 0 ? 0 : 4)
}

function longLength(header: Buffer): number {
  const length = header.readBigUInt64BE(2)
  if (length > BigInt(Number.MAX_SAFE_INTEGER)) throw wrong('a frame is longer than any')
  return Number(length)
}

function wrong(message: string): WebSocketError {
  return new WebSocketError(closeCode.protocolError, message)
}
