/**
 * What one connection has to say: frames gather in one writer, and are written to the socket once a turn of the event loop,
 * together.
 *
 * Two marks keep a peer that does not read from filling memory. At the lower one its deliveries stop, at the higher one, which
 * only replies can reach, its socket is not read either. Both end when the socket has drained.
 */
import type { Duplex } from 'node:stream'
import { FrameWriter } from '../wire/frame-writer.ts'
import { minimumFrameMaxBytes } from '../wire/frame.ts'
import { Deferred } from '../std/deferred.ts'

/** Told of the marks. */
export interface OutputOwner {
  /** Deliveries are to stop. Called from inside a dispatch too. */
  outputFilled(): void
  /** Nothing is to be read: the peer asks and does not listen. */
  outputFlooded(): void
  /** Both may go on. */
  outputDrained(): void
}

/** Writes the outputs that have something to say, all of them in one turn. */
export class Flusher {
  #waiting: Output[] = []
  #coming = false

  add(output: Output): void {
    this.#waiting.push(output)
    if (this.#coming) return
    this.#coming = true
    setImmediate(this.#flush)
  }

  readonly #flush = (): void => {
    this.#coming = false
    const waiting = this.#waiting
    this.#waiting = []
    for (const output of waiting) output.flush()
  }
}

export class Output {
  readonly writer: FrameWriter
  readonly #socket: Duplex
  readonly #owner: OutputOwner
  readonly #flusher: Flusher
  readonly #fullBytes: number
  readonly #floodedBytes: number
  /** It is on the flusher's list. */
  #dirty: boolean
  /** Bytes that the socket had not yet passed on when it was last asked. */
  #socketBytes: number
  #full: boolean
  #flooded: boolean
  #closed: boolean
  /** Writes that are done; it changes while the peer reads. */
  #writes: number
  /** For who waits for room. */
  #room: Deferred<void> | undefined

  constructor(
    socket: Duplex,
    owner: OutputOwner,
    options: { flusher: Flusher; fullBytes: number; floodedBytes: number },
  ) {
    this.writer = new FrameWriter({ frameMaxBytes: minimumFrameMaxBytes })
    this.#socket = socket
    this.#owner = owner
    this.#flusher = options.flusher
    this.#fullBytes = options.fullBytes
    this.#floodedBytes = options.floodedBytes
    this.#dirty = false
    this.#socketBytes = 0
    this.#full = false
    this.#flooded = false
    this.#closed = false
    this.#writes = 0
    this.#room = undefined
    socket.on('drain', () => this.#drained())
  }

  /** Bytes that the peer has not taken yet. */
  get pendingBytes(): number {
    return this.writer.bytes + this.#socketBytes
  }

  /** No more deliveries for now. */
  get full(): boolean {
    return this.#full
  }

  /** Resolves when it is not full any more; never where it is closed before. */
  whenRoom(): Promise<void> {
    this.#room ??= new Deferred<void>()
    return this.#room.promise
  }

  /** Writes that are done so far, and bytes that wait for the peer. */
  progress(): { writes: number; waitingBytes: number } {
    return { writes: this.#writes, waitingBytes: this.#socket.writableLength }
  }

  /** To be called after frames were given to the writer. */
  touch(): void {
    this.#schedule()
    if (!this.#full && this.writer.bytes + this.#socketBytes > this.#fullBytes) {
      this.#full = true
      this.#owner.outputFilled()
    }
  }

  heartbeat(): void {
    this.writer.heartbeat()
    this.#schedule()
  }

  /** Gives the socket what was gathered. */
  flush(): void {
    this.#dirty = false
    if (this.#closed) return
    const pieces = this.writer.take()
    if (pieces.length === 0) return
    const socket = this.#socket
    if (pieces.length === 1) {
      socket.write(pieces[0]!, this.#wrote)
    } else {
      socket.cork()
      const last = pieces.length - 1
      for (let index = 0; index < last; index += 1) socket.write(pieces[index]!)
      socket.write(pieces[last]!, this.#wrote)
      socket.uncork()
    }
    this.#measure()
  }

  /** Writes what is left and ends the socket's sending side. */
  end(): void {
    this.flush()
    if (this.#closed) return
    this.#closed = true
    this.#socket.end()
  }

  /** Forgets what was not written. */
  close(): void {
    this.#closed = true
    this.writer.take()
  }

  #schedule(): void {
    if (this.#dirty) return
    this.#dirty = true
    this.#flusher.add(this)
  }

  #measure(): void {
    const bytes = this.#socket.writableLength
    this.#socketBytes = bytes
    if (bytes > this.#floodedBytes && !this.#flooded) {
      this.#flooded = true
      this.#owner.outputFlooded()
    } else if (bytes === 0 && (this.#full || this.#flooded)) {
      this.#drained()
    }
  }

  readonly #wrote = (): void => {
    this.#writes += 1
  }

  #drained(): void {
    this.#socketBytes = this.#socket.writableLength
    if (!this.#full && !this.#flooded) return
    this.#full = false
    this.#flooded = false
    if (this.#closed) return
    this.#owner.outputDrained()
    this.#room?.resolve()
    this.#room = undefined
  }
}
