/** Lines 84 to 100: what breaks, and what holds all the same. Hooks of the harness do the breaking. */
import { crashLines } from './crash.ts'
import type { Chapter } from './line.ts'
import { networkLines } from './network.ts'
import { pressureLines } from './pressure.ts'

export const faults: Chapter = {
  heading: 'Faults',
  lines: [...crashLines, ...networkLines, ...pressureLines].sort((a, b) => a.number - b.number),
}
