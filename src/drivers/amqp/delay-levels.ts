/**
 * The arithmetic of delays on a server that can only expire: a delay is a sum of powers of two, and a message waits
 * in one queue after the other, each of which holds everything for its one power.
 *
 * ```text
 * level  37 … 11    10     9       8     …   1     0
 *        2^27 s …  2 s    1 s   512 ms  256 ms …  2 ms  1 ms
 *        └──── 28 of seconds ────┘└── 10 of milliseconds ──┘
 * ```
 *
 * Each wait costs the server a message, so a delay is rounded up to few of them: it comes late by at most 1/16 of a
 * delay below a second, 32 ms below a minute, a second below 18 hours, and 1/32,768 of the delay beyond. Never early.
 */
import { assert } from '../../std/assert.ts'

const millisecondLevels = 10
const secondLevels = 28

export const levelCount = millisecondLevels + secondLevels

/** 3,106 days. */
export const maximumDelayMs = (2 ** secondLevels - 1) * 1_000

/** Significant bits that are kept of a delay below a second, and of the seconds of a long one. */
const shortBits = 5
const longBits = 16
/** Below this the milliseconds count. */
const exactBelowMs = 60_000
const coarseMs = 32

/** How long a level holds its messages, in ms. */
export function levelMs(level: number): number {
  assert(level >= 0 && level < levelCount, 'a level that there is')
  return level < millisecondLevels ? 2 ** level : 2 ** (level - millisecondLevels) * 1_000
}

/** '16ms', '64s': in the names of the level's exchange and queue. */
export function levelName(level: number): string {
  const ms = levelMs(level)
  return level < millisecondLevels ? `${ms}ms` : `${ms / 1_000}s`
}

/** The levels a message goes through, the longest first. @param delayMs above 0, up to {@link maximumDelayMs} */
export function levelsOf(delayMs: number): number[] {
  assert(delayMs > 0 && delayMs <= maximumDelayMs, 'a delay within the limits')
  const roundedMs = roundedUp(delayMs)
  const wholeSeconds = Math.floor(roundedMs / 1_000)
  const restMs = roundedMs - wholeSeconds * 1_000
  const levels: number[] = []
  for (let bit = secondLevels - 1; bit >= 0; bit -= 1) {
    if (Math.floor(wholeSeconds / 2 ** bit) % 2 === 1) levels.push(bit + millisecondLevels)
  }
  for (let bit = millisecondLevels - 1; bit >= 0; bit -= 1) if ((restMs >> bit) % 2 === 1) levels.push(bit)
  return levels
}

/** What the delay comes to, in ms. */
export function roundedUp(delayMs: number): number {
  const ms = Math.ceil(delayMs)
  if (ms < 1_000) return significant(ms, shortBits)
  if (ms < exactBelowMs) return upTo(ms, coarseMs)
  // Rounding up at the far end would leave the levels there are.
  return Math.min(significant(Math.ceil(ms / 1_000), longBits) * 1_000, maximumDelayMs)
}

function significant(value: number, bits: number): number {
  const unit = 2 ** Math.max(0, Math.floor(Math.log2(value)) + 1 - bits)
  return Math.ceil(value / unit) * unit
}

/** The milliseconds beyond the whole seconds, to a multiple of the unit. */
function upTo(ms: number, unit: number): number {
  const seconds = Math.floor(ms / 1_000)
  return Math.min(Math.ceil((ms - seconds * 1_000) / unit) * unit, 1_000) + seconds * 1_000
}
