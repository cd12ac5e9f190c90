/**
 * What a peer is told of bytes that are not AMQP, or frames out of order: RabbitMQ's codes and words, terms of Erlang
 * included, so that what is known of its errors (and compared with them) holds here too.
 */
import { ProtocolError } from '../model/errors.ts'
import { frameOverheadBytes } from './frame.ts'

/** A frame whose payload is larger than was agreed (501). */
export function frameTooLarge(type: number, payloadBytes: number, frameMaxBytes: number): ProtocolError {
  const most = frameMaxBytes - frameOverheadBytes
  return frameError(type, nothing, `{frame_too_large,${payloadBytes},${most}}`)
}

/** Another byte where a frame's end should be (501). */
export function badFrameEnd(type: number, payload: Buffer, end: number): ProtocolError {
  return frameError(type, payload, `{invalid_frame_end_marker,${end}}`)
}

/** A frame of no known type, or a payload that its type cannot have (501). */
export function unknownFrame(type: number, payload: Buffer): ProtocolError {
  return frameError(type, payload, 'unknown_frame')
}

/** A frame that its channel cannot have, such as a heartbeat on another channel than 0 (505). */
export function unexpectedFrame(type: number, payload: Buffer): ProtocolError {
  return new ProtocolError(505, snippetOf(type, payload))
}

/** Fields that are not as long as the method's payload (501). */
export function undecodable(methodId: number, fields: Buffer): ProtocolError {
  return new ProtocolError(501, `cannot decode ${decimal(fields.subarray(0, 64))}`, methodId)
}

/** A content header or body where neither was due (505). */
export function expectedMethod(): ProtocolError {
  return new ProtocolError(505, 'expected method frame, got non method frame instead')
}

/** Another frame where a content header was due (505). */
export function expectedHeader(methodId: number): ProtocolError {
  const classId = methodId >>> 16
  return new ProtocolError(
    505,
    `expected content header for class ${classId}, got non content header frame instead`,
    methodId,
  )
}

/** A content header of another class than its method (505). */
export function expectedClass(methodId: number, classId: number): ProtocolError {
  return new ProtocolError(
    505,
    `expected content header for class ${methodId >>> 16}, got one for class ${classId} instead`,
    methodId,
  )
}

/** Another frame where a content body was due (505). */
export function expectedBody(methodId: number): ProtocolError {
  return new ProtocolError(505, 'expected content body, got non content body frame instead', methodId)
}

function frameError(type: number, payload: Buffer, reason: string): ProtocolError {
  return new ProtocolError(501, `${snippetOf(type, payload)}: ${reason}`)
}

function snippetOf(type: number, payload: Buffer): string {
  const which = payload.length > 16 ? 'first 16' : 'all'
  return `type ${type}, ${which} octets = ${term(payload.subarray(0, 16))}`
}

/** A binary as Erlang prints it: in quotes where it is text. */
function term(bytes: Buffer): string {
  const text = bytes.toString('latin1')
  return /^[ -~]+$/.test(text) ? `<<"${text.replaceAll(/["\\]/g, '\\$&')}">>` : decimal(bytes)
}

function decimal(bytes: Buffer): string {
  return `<<${bytes.join(',')}>>`
}

const nothing = Buffer.alloc(0)
