/** A WebSocket as a stream of bytes, so that a connection takes it for any other socket. */
import type { Socket } from 'node:net'
import { Duplex } from 'node:stream'
import { WebSocketError, WebSocketReader, closeCode, frameHeader } from './websocket-reader.ts'

/** Pongs are left out while more than that waits for a peer: one that asks and does not read must cost nothing. */
const waitingPongBytes = 16_384

export class WebSocketStream extends Duplex {
  readonly #socket: Socket
  readonly #reader: WebSocketReader
  #closing = false

  /** @param head what came behind the request already */
  constructor(socket: Socket, head: Buffer) {
    super({ allowHalfOpen: false, autoDestroy: true })
    this.#socket = socket
    this.#reader = new WebSocketReader({
      data: (payload) => {
        // Behind a close frame, in the same chunk.
        if (this.#closing) return
        if (!this.push(payload)) socket.pause()
      },
      ping: (payload) => {
        if (socket.writableLength <= waitingPongBytes) this.#send('pong', payload)
      },
      close: () => this.#close(closeCode.normal),
    })
    socket.on('data', (chunk: Buffer) => this.#received(chunk))
    socket.on('end', () => this.push(null))
    socket.on('error', (error) => this.destroy(error))
    socket.on('close', () => this.destroy())
    if (head.length > 0) this.#received(head)
  }

  override _read(): void {
    this.#socket.resume()
  }

  override _write(chunk: Buffer, _encoding: string, done: (error?: Error | null) => void): void {
    if (this.#closing) return done()
    this.#socket.cork()
    this.#socket.write(frameHeader('binary', chunk.length))
    this.#socket.write(chunk, done)
    this.#socket.uncork()
  }

  override _final(done: () => void): void {
    this.#close(closeCode.normal)
    done()
  }

  override _destroy(error: Error | null, done: (error: Error | null) => void): void {
    this.#socket.destroy()
    done(error)
  }

  #received(chunk: Buffer): void {
    if (this.#closing) return
    try {
      this.#reader.push(chunk)
    } catch (error) {
      if (!(error instanceof WebSocketError)) throw error
      this.#close(error.closeCode)
    }
  }

  /** Says why, and ends both directions. */
  #close(code: number): void {
    if (this.#closing) return
    this.#send('close', Buffer.of(code >> 8, code & 0xff))
    this.#closing = true
    this.push(null)
    this.#socket.end()
  }

  #send(code: 'close' | 'pong', payload: Buffer): void {
    if (this.#closing || !this.#socket.writable) return
    this.#socket.write(Buffer.concat([frameHeader(code, payload.length), payload]))
  }
}
