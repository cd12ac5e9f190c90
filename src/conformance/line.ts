/** One line of the list of what every engine passes: its number and title are stable, its test is `run`. */
import type { Trial } from './trial.ts'

export interface Line {
  /** From 1, as in docs/conformance; never used for another rule. */
  readonly number: number
  /** The rule, in words. */
  readonly title: string
  readonly run: (trial: Trial) => Promise<void>
}

export interface Chapter {
  readonly heading: string
  readonly lines: readonly Line[]
}
