/**
 * Cuts what a socket receives into frames, wherever the chunks are split. A frame that lies whole in a chunk is handed on in
 * place; only one that is split is gathered in a buffer, which grows with what has arrived and never with what was announced.
 */
import {
  contentHeaderBytes,
  frameEnd,
  frameHeaderBytes,
  frameOverheadBytes,
  frameType,
  protocolHeaderBytes,
} from './frame.ts'
import { longAt, shortAt } from './frame-bytes.ts'
import { badFrameEnd, frameTooLarge, unknownFrame } from './wire-errors.ts'

/**
 * Where a reader's frames go. Buffers are only lent: they are valid during the call. What a sink throws comes out of `push`,
 * and the reader is stopped then. A sink does not call `push`.
 */
export interface FrameSink {
  /** The first 8 bytes, whatever they are; only from a reader that expects them. */
  protocolHeader(bytes: Buffer): void
  /** A method's payload from `start` to `end`, 4 bytes at least: `methodIdAt` and `decodeMethod` read it. */
  method(channel: number, buffer: Buffer, start: number, end: number): void
  /** A content header's payload, 12 bytes at least: `ContentReader` takes it. */
  header(channel: number, buffer: Buffer, start: number, end: number): void
  /**
   * A body frame's payload, which may be empty: `ContentReader` takes it. A large one that the chunks split comes in parts, each
   * as it arrives; `restBytes` is how much of the frame is still to come, 0 with the last part.
   */
  body(channel: number, buffer: Buffer, start: number, end: number, restBytes: number): void
  /** An empty payload. On another channel than 0 it is an error of the peer's. */
  heartbeat(channel: number): void
}

export interface FrameReaderOptions {
  /** Whether 8 bytes of protocol header come first, as they do to a server. */
  readonly expectsProtocolHeader: boolean
  /** The largest frame, with its 8 bytes of overhead; 0 for no limit. */
  readonly frameMaxBytes: number
}

/** Body frames from this size on are not gathered where they are split, but handed on in parts (benchmark P15). */
const partBytes = 4096

/**
 * Reads one direction of a connection (AMQP 0-9-1, section 4.2.3).
 *
 * ```ts
 * const reader = new FrameReader(sink, { expectsProtocolHeader: true, frameMaxBytes: minimumFrameMaxBytes })
 * socket.on('data', (chunk) => reader.push(chunk))
 * ```
 */
export class FrameReader {
  /** The largest frame, with its 8 bytes of overhead; 0 for no limit. Set anew when tuning is over. */
  frameMaxBytes: number
  readonly #sink: FrameSink
  #expectsProtocolHeader: boolean
  #isStopped: boolean
  /** The beginning of a frame (or protocol header) of which more is to come. */
  #pending: Buffer
  #pendingBytes: number
  /** How much is still to come of a body frame that is handed on in parts; 0 for none. */
  #bodyRestBytes: number
  #bodyChannel: number

  constructor(sink: FrameSink, options: FrameReaderOptions) {
    this.frameMaxBytes = options.frameMaxBytes
    this.#sink = sink
    this.#expectsProtocolHeader = options.expectsProtocolHeader
    this.#isStopped = false
    this.#pending = nothing
    this.#pendingBytes = 0
    this.#bodyRestBytes = 0
    this.#bodyChannel = 0
  }

  /** Memory held for a frame of which more is to come: about what has arrived of it. */
  get heldBytes(): number {
    return this.#pending.length
  }

  /**
   * Hands on every frame that this chunk completes. The chunk's memory may be used again afterwards.
   *
   * Throws ProtocolError (501) once, for bytes that are no frame or a frame that is too large, or what the sink throws; what
   * comes later is ignored.
   */
  push(chunk: Buffer): void {
    if (this.#isStopped) return
    let isDone = false
    try {
      this.#read(chunk)
      isDone = true
    } finally {
      if (!isDone) this.stop()
    }
  }

  /** Ignores all bytes from here on, those of the chunk being read too. */
  stop(): void {
    this.#isStopped = true
    this.#pending = nothing
    this.#pendingBytes = 0
  }

  #read(chunk: Buffer): void {
    let at = 0
    if (this.#expectsProtocolHeader) {
      at = this.#readProtocolHeader(chunk)
      if (this.#expectsProtocolHeader) return
    }
    if (this.#bodyRestBytes > 0) at = this.#readBodyRest(chunk, at)
    else if (this.#pendingBytes > 0) at = this.#readSplit(chunk, at)
    this.#readWhole(chunk, at)
  }

  /** Every frame that lies whole in the chunk from `at` on, in place; what is left over is kept. */
  #readWhole(chunk: Buffer, from: number): void {
    const end = chunk.length
    let at = from
    while (end - at >= frameHeaderBytes) {
      const size = longAt(chunk, at + 3)
      this.#checkSize(chunk[at] as number, size)
      const last = at + frameHeaderBytes + size
      if (last >= end) {
        if (this.#isInParts(chunk[at] as number, size, end - at))
          at = this.#readFirstPart(chunk, at, end, size)
        break
      }
      this.#handOn(chunk, at, last)
      if (this.#isStopped) return
      at = last + 1
    }
    if (at < end) {
      this.#gather(chunk, at, end)
    } else if (this.#pendingBytes === 0) {
      // A connection that says nothing for a while holds no buffer meanwhile (benchmark P14).
      this.#pending = nothing
    }
  }

  /** Goes on with the frame that the last chunk left unfinished, and gives the place behind it. */
  #readSplit(chunk: Buffer, from: number): number {
    let at = from
    if (this.#pendingBytes < frameHeaderBytes) {
      at = this.#gather(chunk, at, at + frameHeaderBytes - this.#pendingBytes)
      if (this.#pendingBytes < frameHeaderBytes) return at
    }
    const pending = this.#pending
    const pendingBytes = this.#pendingBytes
    const size = longAt(pending, 3)
    this.#checkSize(pending[0] as number, size)
    if (this.#isInParts(pending[0] as number, size, pendingBytes)) {
      this.#pendingBytes = 0
      this.#readFirstPart(pending, 0, pendingBytes, size)
      return this.#isStopped ? chunk.length : this.#readBodyRest(chunk, at)
    }
    at = this.#gather(chunk, at, at + frameOverheadBytes + size - pendingBytes)
    if (this.#pendingBytes < frameOverheadBytes + size) return at
    this.#pendingBytes = 0
    this.#handOn(this.#pending, 0, frameHeaderBytes + size)
    return this.#isStopped ? chunk.length : at
  }

  /**
   * Whether a frame of which not all is there is a large body, to be handed on in parts. The last part waits for the end byte, so
   * that no content is complete before its frame is: hence not where that alone is missing.
   */
  #isInParts(type: number, size: number, bytes: number): boolean {
    return type === frameType.body && size >= partBytes && bytes < frameHeaderBytes + size
  }

  /** Hands on what is there of a large body frame that begins at `at`. */
  #readFirstPart(buffer: Buffer, at: number, end: number, size: number): number {
    const start = at + frameHeaderBytes
    this.#bodyChannel = shortAt(buffer, at + 1)
    this.#bodyRestBytes = size - (end - start)
    if (end > start) this.#sink.body(this.#bodyChannel, buffer, start, end, this.#bodyRestBytes)
    return end
  }

  /** Hands on what came of a large body frame, and gives the place behind it. */
  #readBodyRest(chunk: Buffer, from: number): number {
    const rest = this.#bodyRestBytes
    const available = chunk.length - from
    if (this.#pendingBytes === 0 && available < rest) {
      this.#bodyRestBytes = rest - available
      if (available > 0) this.#sink.body(this.#bodyChannel, chunk, from, chunk.length, rest - available)
      return chunk.length
    }
    if (this.#pendingBytes === 0 && available > rest) {
      this.#readLastPart(chunk, from, from + rest)
      return this.#isStopped ? chunk.length : from + rest + 1
    }
    const at = this.#gather(chunk, from, from + rest + 1 - this.#pendingBytes)
    if (this.#pendingBytes <= rest) return at
    this.#pendingBytes = 0
    this.#readLastPart(this.#pending, 0, rest)
    return this.#isStopped ? chunk.length : at
  }

  #readLastPart(buffer: Buffer, start: number, end: number): void {
    this.#bodyRestBytes = 0
    if (buffer[end] !== frameEnd) {
      throw badFrameEnd(frameType.body, buffer.subarray(start, end), buffer[end] as number)
    }
    this.#sink.body(this.#bodyChannel, buffer, start, end, 0)
  }

  #readProtocolHeader(chunk: Buffer): number {
    const at = this.#gather(chunk, 0, protocolHeaderBytes - this.#pendingBytes)
    if (this.#pendingBytes < protocolHeaderBytes) return at
    this.#expectsProtocolHeader = false
    this.#pendingBytes = 0
    this.#sink.protocolHeader(this.#pending.subarray(0, protocolHeaderBytes))
    return this.#isStopped ? chunk.length : at
  }

  /** Copies from the chunk what there is up to `end`, and gives the place behind that. */
  #gather(chunk: Buffer, start: number, end: number): number {
    const last = Math.min(end, chunk.length)
    const bytes = this.#pendingBytes + last - start
    if (bytes > this.#pending.length) {
      const larger = Buffer.allocUnsafe(Math.max(bytes, this.#pending.length * 2, 64))
      this.#pending.copy(larger, 0, 0, this.#pendingBytes)
      this.#pending = larger
    }
    chunk.copy(this.#pending, this.#pendingBytes, start, last)
    this.#pendingBytes = bytes
    return last
  }

  /** Before the payload is there. As RabbitMQ does, it forgives the 8 bytes that some clients forget. */
  #checkSize(type: number, size: number): void {
    if (this.frameMaxBytes !== 0 && size > this.frameMaxBytes) {
      throw frameTooLarge(type, size, this.frameMaxBytes)
    }
  }

  /** The frame that begins at `at` and whose end byte is at `last`. */
  #handOn(buffer: Buffer, at: number, last: number): void {
    const type = buffer[at] as number
    const start = at + frameHeaderBytes
    if (buffer[last] !== frameEnd) {
      throw badFrameEnd(type, buffer.subarray(start, last), buffer[last] as number)
    }
    const channel = shortAt(buffer, at + 1)
    if (type === frameType.method && last - start >= 4) {
      this.#sink.method(channel, buffer, start, last)
    } else if (type === frameType.header && last - start >= contentHeaderBytes) {
      this.#sink.header(channel, buffer, start, last)
    } else if (type === frameType.body) {
      this.#sink.body(channel, buffer, start, last, 0)
    } else if (type === frameType.heartbeat && last === start) {
      this.#sink.heartbeat(channel)
    } else {
      throw unknownFrame(type, buffer.subarray(start, last))
    }
  }
}

const nothing = Buffer.alloc(0)
