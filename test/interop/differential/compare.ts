/** Runs sequences on two servers and says where the second differs from the first; and makes a sequence that differs shorter. */
import { setTimeout as delay } from 'node:timers/promises'
import { knownDifferences } from '../known-differences.ts'
import { Lane } from './lane.ts'
import type { Observation } from './observation.ts'
import { Run } from './run.ts'
import { smaller } from './shrink.ts'
import type { Sequence, Step } from './step.ts'

/** The first step after which the two were not alike. */
export interface Difference {
  readonly sequence: Sequence
  /** Index of the step. */
  readonly at: number
  readonly step: Step | undefined
  /** What both have shown until then. */
  readonly before: readonly Observation[]
  readonly expected: Observation | undefined
  readonly actual: Observation | undefined
}

export interface Verdict {
  readonly seed: number
  readonly steps: number
  /** It repeats, and nobody has given a reason for it. */
  readonly difference?: Difference
  /** Name of the reason. */
  readonly known?: string
  /** It differed and did not when tried again with more patience. */
  readonly unsteady?: Difference
}

/** One sequence at a time on a connection pair of either server; several of these run beside each other. */
export class Comparison {
  static #count = 0
  readonly #reference: Lane
  readonly #subject: Lane

  constructor(ports: { reference: number; subject: number }) {
    this.#reference = new Lane(ports.reference)
    this.#subject = new Lane(ports.subject)
  }

  async judge(sequence: Sequence): Promise<Verdict> {
    const base = { seed: sequence.seed, steps: sequence.steps.length }
    const first = await this.compare(sequence)
    if (first === undefined) return base
    const known = reasonOf(first)
    if (known !== undefined) return { ...base, known }
    for (const patience of [3, 10, 40]) {
      await delay(20)
      const again = await this.compare(sequence, patience)
      if (again === undefined) return { ...base, unsteady: first }
      const reason = reasonOf(again)
      if (reason !== undefined) return { ...base, known: reason }
    }
    return { ...base, difference: first }
  }

  /** The first difference, if there is one. */
  async compare(sequence: Sequence, patience = 1): Promise<Difference | undefined> {
    const options = { prefix: `d${process.pid}x${(Comparison.#count += 1)}`, patience }
    const [expected, actual] = await Promise.all([
      new Run(this.#reference, sequence, options).run(),
      new Run(this.#subject, sequence, options).run(),
    ])
    const length = Math.max(expected.length, actual.length)
    for (let at = 0; at < length; at += 1) {
      if (isSame(expected[at], actual[at])) continue
      const before = expected.slice(0, at)
      return { sequence, at, step: sequence.steps[at], before, expected: expected[at], actual: actual[at] }
    }
    return undefined
  }

  /** The same difference with as few and as simple steps as can be found, within so many tries. */
  async shrink(difference: Difference, tries = 250): Promise<Difference> {
    let best = difference
    let left = tries
    for (let progress = true; progress && left > 0;) {
      progress = false
      for (const candidate of smaller(best)) {
        if ((left -= 1) <= 0) break
        const found = await this.compare(candidate, 3)
        if (found === undefined || reasonOf(found) !== undefined) continue
        best = found
        progress = true
        break
      }
    }
    return best
  }

  async close(): Promise<void> {
    await this.#reference.close()
    await this.#subject.close()
  }
}

function reasonOf(difference: Difference): string | undefined {
  return knownDifferences.find((known) => known.explains(difference))?.name
}

function isSame(a: Observation | undefined, b: Observation | undefined): boolean {
  return canonical(a) === canonical(b)
}

/** JSON with names in order; `undefined` for nothing. */
function canonical(value: unknown): string {
  const sorted = (inner: unknown): unknown =>
    inner === null || typeof inner !== 'object' || Array.isArray(inner)
      ? inner
      : Object.fromEntries(Object.entries(inner).sort(([a], [b]) => (a < b ? -1 : 1)))
  return value === undefined ? 'undefined' : JSON.stringify(value, (_, inner: unknown) => sorted(inner))
}
