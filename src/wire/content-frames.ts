/** Writes content: header and body frames (section 4.2.6). */
import type { Body } from '../model/message.ts'
import { bodyBytes } from '../model/message.ts'
import { assert } from '../std/assert.ts'
import { basicClassId, contentHeaderBytes, frameEnd, frameOverheadBytes, frameType } from './frame.ts'
import { putFrameHeader, putLong, putLongLong } from './frame-bytes.ts'
import type { Slabs } from './slabs.ts'

/** From this size on a body is not copied: a piece of its own costs as much as copying so many bytes. */
export const referenceBytes = 16_384

/** What a content header frame takes besides its properties. */
export const headerFrameBytes = frameOverheadBytes + contentHeaderBytes

/** Writes a content header frame where there is room for it, and gives the place behind it. */
export function putHeaderFrame(
  buffer: Buffer,
  at: number,
  channel: number,
  propertyBytes: Uint8Array,
  bytes: number,
): number {
  const propertiesAt = at + headerFrameBytes - 1
  putFrameHeader(buffer, at, frameType.header, channel, contentHeaderBytes + propertyBytes.length)
  putLong(buffer, at + 7, basicClassId << 16)
  putLongLong(buffer, at + 11, bytes)
  buffer.set(propertyBytes, propertiesAt)
  const end = propertiesAt + propertyBytes.length
  buffer[end] = frameEnd
  return end + 1
}

/** Writes a body's bytes where there is room for them. */
export function putBody(buffer: Buffer, at: number, body: Body, bytes: number): void {
  if (typeof body !== 'string') {
    buffer.set(body, at)
    return
  }
  // Text with as many bytes as characters is ASCII, and that is written at twice the speed (benchmark micro-wire).
  const written = buffer.write(body, at, bytes, bytes === body.length ? 'latin1' : 'utf8')
  assert(written === bytes, 'a body has as many bytes as was said')
}

/** Writes as many body frames as it takes. @param most bytes of payload in one */
export function writeBody(slabs: Slabs, channel: number, body: Body, bytes: number, most: number): void {
  if (bytes === 0) return
  if (bytes <= most && bytes < referenceBytes) {
    const at = slabs.reserve(bytes + frameOverheadBytes)
    const start = putFrameHeader(slabs.buffer, at, frameType.body, channel, bytes)
    putBody(slabs.buffer, start, body, bytes)
    slabs.buffer[start + bytes] = frameEnd
    slabs.advance(start + bytes + 1)
    return
  }
  const whole = bodyBytes(body)
  for (let start = 0; start < bytes; start += most) {
    writeFrame(slabs, frameType.body, channel, whole.subarray(start, Math.min(start + most, bytes)))
  }
}

/** Writes a frame of any type; a large payload is not copied. */
export function writeFrame(slabs: Slabs, type: number, channel: number, payload: Uint8Array): void {
  const isLarge = payload.length >= referenceBytes
  const at = slabs.reserve(isLarge ? frameOverheadBytes : frameOverheadBytes + payload.length)
  const start = putFrameHeader(slabs.buffer, at, type, channel, payload.length)
  if (isLarge) {
    slabs.advance(start)
    slabs.refer(payload)
    slabs.buffer[start] = frameEnd
    slabs.advance(start + 1)
  } else {
    slabs.buffer.set(payload, start)
    slabs.buffer[start + payload.length] = frameEnd
    slabs.advance(start + payload.length + 1)
  }
}
