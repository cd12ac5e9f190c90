/** All hundred lines, in their order. Each has a test; whether it applies is found out by running it. */
import { consume } from './consume.ts'
import { delay } from './delay.ts'
import { faults } from './faults.ts'
import { lease } from './lease.ts'
import type { Chapter } from './line.ts'
import { operations } from './operations.ts'
import { publish } from './publish.ts'
import { request } from './request.ts'
import { routing } from './routing.ts'

export const chapters: readonly Chapter[] = [
  publish,
  routing,
  consume,
  lease,
  delay,
  request,
  operations,
  faults,
]

/** How many rules there are. */
export const lineCount = 100
