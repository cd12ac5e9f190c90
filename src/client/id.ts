/**
 * Message ids: UUID version 7 (RFC 9562, section 5.7), sortable by time.
 *
 * One is made for every message sent, so the random half and its text are made once per process and a
 * 42-bit counter keeps ids apart (method 1 and 3 of section 6.2); the time's text is made once per millisecond.
 */
import { randomFillSync } from 'node:crypto'

/** The version and the counter's upper 12 bits, the variant and its next 14, as text with their hyphen. */
const upper = Array.from({ length: 4_096 }, (_, value) => `7${value.toString(16).padStart(3, '0')}-`)
const middle = Array.from({ length: 16_384 }, (_, value) => `${(0x8000 | value).toString(16)}-`)

/** Random bits for a while, in hexadecimal: asking for a few at a time costs more than all else here. */
const pool = Buffer.alloc(6 * 512)
let drawn = pool.length

let lastMs = 0
let counter = 0
let prefix = ''
/** The counter's last 2 bits and the random rest. */
let suffixes: readonly [string, string, string, string] = ['', '', '', '']

/** A new UUIDv7, larger than those made before it in this process. */
export function newId(): string {
  const nowMs = Date.now()
  if (nowMs > lastMs || counter === 0x0fff_ffff) begin(Math.max(nowMs, lastMs + 1))
  counter += 1
  const text = prefix + (upper[counter >>> 16] as string) + (middle[(counter >>> 2) & 0x3fff] as string)
  return text + (suffixes[counter & 3] as string)
}

/** A new millisecond: its text, fresh random bits, and the counter at 0. */
function begin(ms: number): void {
  lastMs = ms
  counter = 0
  const text = ms.toString(16).padStart(12, '0')
  prefix = `${text.slice(0, 8)}-${text.slice(8)}-`
  const random = randomText()
  suffixes = [`0${random}`, `1${random}`, `2${random}`, `3${random}`]
}

/** 44 random bits as 11 hexadecimal digits. */
function randomText(): string {
  if (drawn === pool.length) {
    randomFillSync(pool)
    drawn = 0
  }
  drawn += 6
  return pool.toString('hex', drawn - 6, drawn).slice(1)
}
