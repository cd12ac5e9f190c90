/** Frames of a channel that waits, copied out of the socket's chunk, in order. */
import { Deque } from '../std/deque.ts'

export interface DeferredFrame {
  readonly type: 'method' | 'header' | 'body'
  readonly payload: Buffer
}

export class DeferredFrames {
  /** Promises that the channel waits for. */
  waits = 0
  #frames = new Deque<DeferredFrame>()

  add(type: DeferredFrame['type'], buffer: Buffer, start: number, end: number): void {
    this.#frames.push({ type, payload: Buffer.from(buffer.subarray(start, end)) })
  }

  take(): DeferredFrame | undefined {
    return this.#frames.shift()
  }

  /** Takes what the other one still has; this one has none yet. */
  takeOver(other: DeferredFrames): void {
    this.#frames = other.#frames
  }
}
