/**
 * Where Millrace's broker differs from RabbitMQ on purpose. Each is matched as narrowly as it can be, and documented for users
 * in docs/compatibility.md.
 */
import type { Difference } from './differential/compare.ts'

export interface KnownDifference {
  readonly name: string
  readonly reason: string
  explains(difference: Difference): boolean
}

export const knownDifferences: readonly KnownDifference[] = []
