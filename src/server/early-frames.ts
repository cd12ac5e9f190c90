/**
 * Frames that came while a login was looked at, in the same chunk as that: the socket is not read meanwhile, so there are few. They
 * are handed on afterwards, in order.
 */
import type { FrameSink } from '../wire/frame-reader.ts'

interface EarlyFrame {
  readonly type: 'method' | 'header' | 'body'
  readonly channel: number
  readonly payload: Buffer
  readonly restBytes: number
}

export class EarlyFrames {
  readonly #frames: EarlyFrame[] = []

  /** @param restBytes how much of the frame is still to come */
  add(
    type: EarlyFrame['type'],
    channel: number,
    bytes: { buffer: Buffer; start: number; end: number },
    restBytes = 0,
  ): void {
    const payload = Buffer.from(bytes.buffer.subarray(bytes.start, bytes.end))
    this.#frames.push({ type, channel, payload, restBytes })
  }

  replay(sink: FrameSink): void {
    for (const { type, channel, payload, restBytes } of this.#frames) {
      sink[type](channel, payload, 0, payload.length, restBytes)
    }
  }
}
