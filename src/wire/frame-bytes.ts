/**
 * AMQP's basic types at a place in a buffer that is known to have them, or room for them. What writes gives the place behind.
 * Bytes are got and set one by one: Buffer's own methods check first, and take three times as long (benchmark micro-wire).
 */
import { ValidationError } from '../model/errors.ts'
import { frameHeaderBytes } from './frame.ts'

/** Above this length the call into native code is quicker than a loop over the characters. */
const loopCharacters = 32

/** 16 bits, unsigned. */
export function shortAt(buffer: Buffer, at: number): number {
  return ((buffer[at] as number) << 8) | (buffer[at + 1] as number)
}

/** 32 bits, unsigned. */
export function longAt(buffer: Buffer, at: number): number {
  return ((shortAt(buffer, at) << 16) | shortAt(buffer, at + 2)) >>> 0
}

/** 64 bits, unsigned; beyond 2 ** 53 the nearest number. */
export function longLongAt(buffer: Buffer, at: number): number {
  return longAt(buffer, at) * 4294967296 + longAt(buffer, at + 4)
}

/** Type, channel and size in front of a frame's payload. */
export function putFrameHeader(
  buffer: Buffer,
  at: number,
  type: number,
  channel: number,
  size: number,
): number {
  buffer[at] = type
  buffer[at + 1] = channel >>> 8
  buffer[at + 2] = channel
  putLong(buffer, at + 3, size)
  return at + frameHeaderBytes
}

/** 32 bits. */
export function putLong(buffer: Buffer, at: number, value: number): number {
  buffer[at] = value >>> 24
  buffer[at + 1] = value >>> 16
  buffer[at + 2] = value >>> 8
  buffer[at + 3] = value
  return at + 4
}

/** 64 bits, of a whole number from 0 to 2 ** 53. */
export function putLongLong(buffer: Buffer, at: number, value: number): number {
  putLong(buffer, at, value > 0xffffffff ? Math.floor(value / 4294967296) : 0)
  return putLong(buffer, at + 4, value)
}

/** The most bytes that a short string can take. */
export function shortStringRoom(text: string): number {
  return 1 + text.length * 3
}

/** Throws ValidationError for more than 255 bytes. @param what names it in the error */
export function putShortString(buffer: Buffer, at: number, text: string, what: string): number {
  const bytes = putText(buffer, at + 1, text)
  if (bytes > 255) {
    throw new ValidationError('INVALID_ARGUMENT', `${what} has ${bytes} bytes; shorten it to 255 at most`)
  }
  buffer[at] = bytes
  return at + 1 + bytes
}

function putText(buffer: Buffer, at: number, text: string): number {
  const length = text.length
  if (length > loopCharacters) return buffer.write(text, at, 'utf8')
  for (let index = 0; index < length; index += 1) {
    const code = text.charCodeAt(index)
    if (code > 127) return buffer.write(text, at, 'utf8')
    buffer[at + index] = code
  }
  return length
}
