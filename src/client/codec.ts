/**
 * Data to bodies and back. JSON unless the data is bytes; what comes from elsewhere is read by its content type, and
 * accepted as text or bytes where it has none that we know.
 */
import { bodyBytes } from '../model/message.ts'
import type { Body } from '../model/message.ts'
import { ValidationError } from '../model/errors.ts'
import type { Received } from './driver.ts'

export const jsonType = 'application/json'
const bytesType = 'application/octet-stream'

/** @throws ValidationError UNSERIALIZABLE for what JSON cannot hold: undefined, functions, BigInt, cycles, maps, promises, NaN */
export function encodeBody(data: unknown): Body {
  // A copy: what the sender does with its bytes afterwards is its own (and a Buffer's `slice` would be no copy).
  if (data instanceof Uint8Array) return Buffer.from(data)
  if (ArrayBuffer.isView(data)) throw unfit(data.constructor.name)
  let text: string | undefined
  try {
    text = JSON.stringify(data)
  } catch (error) {
    throw new ValidationError(
      'UNSERIALIZABLE',
      `The message cannot be written as JSON (${(error as Error).message}); send plain data or bytes (Uint8Array)`,
      { cause: error },
    )
  }
  if (text === undefined) throw unfit(typeof data)
  if (text === '{}' && isHolder(data)) throw unfit(Object.prototype.toString.call(data).slice(8, -1))
  if (text === 'null' && typeof data === 'number') throw unfit(String(data))
  return text
}

/** What keeps what it holds from JSON, which would write `{}`. A promise is most likely a forgotten `await`. */
function isHolder(data: unknown): boolean {
  return holders.some((holder) => data instanceof holder)
}

const holders = [Map, Set, WeakMap, WeakSet, Promise, ArrayBuffer] as const

function unfit(what: string): ValidationError {
  return new ValidationError(
    'UNSERIALIZABLE',
    `A message must be JSON data or bytes (Uint8Array), not ${what}; send null for none`,
  )
}

export function contentTypeOf(data: unknown): string {
  return data instanceof Uint8Array ? bytesType : jsonType
}

/** @throws ValidationError SCHEMA_MISMATCH where a body says that it is JSON and is not */
export function decodeBody(message: Received): unknown {
  const contentType = message.properties.contentType
  if (contentType === jsonType) return parse(message.body)
  if (contentType === undefined) return guess(message.body)
  if (contentType === bytesType) return ownBytes(message.body)
  const essence = contentType.split(';', 1)[0]?.trim().toLowerCase() ?? ''
  if (essence === jsonType || essence.endsWith('+json')) return parse(message.body)
  if (essence.startsWith('text/')) return bodyText(message.body)
  return ownBytes(message.body)
}

/** A body as text; bytes that are not UTF-8 become replacement characters. */
function bodyText(body: Body): string {
  return typeof body === 'string' ? body : asBuffer(body).toString('utf8')
}

function parse(body: Body): unknown {
  try {
    return JSON.parse(bodyText(body)) as unknown
  } catch (error) {
    throw new ValidationError(
      'SCHEMA_MISMATCH',
      `The message is not valid JSON: ${(error as Error).message}`,
      {
        cause: error,
      },
    )
  }
}

/** No content type: JSON if it reads as JSON, else bytes. */
function guess(body: Body): unknown {
  try {
    return JSON.parse(bodyText(body)) as unknown
  } catch {
    return ownBytes(body)
  }
}

/** A copy: the engine keeps the message for a retry, and for other queues. */
function ownBytes(body: Body): Uint8Array {
  return Buffer.from(bodyBytes(body))
}

function asBuffer(bytes: Uint8Array): Buffer {
  return Buffer.isBuffer(bytes) ? bytes : Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength)
}
