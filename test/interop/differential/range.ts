/** Runs a range of seeds over several lanes, and tells of what differs. */
import { Comparison } from './compare.ts'
import type { Difference } from './compare.ts'
import { generate } from './generate.ts'
import { countQuorumSteps } from './step.ts'
import type { Step } from './step.ts'

export interface RangeOptions {
  readonly ports: { readonly reference: number; readonly subject: number }
  readonly from: number
  readonly count: number
  /** Sequences at the same time. */
  readonly lanes: number
  /** No new ones after so many differences. */
  readonly stopAfter: number
  readonly shrinks: boolean
  readonly tell: (text: string) => void
  /** From one seed to the next; default 1. */
  readonly every?: number
}

export interface Summary {
  sequences: number
  steps: number
  /** Of these, the ones that name a quorum queue. */
  quorumSteps: number
  readonly differences: Difference[]
  /** Seeds that differed once and not again. */
  readonly unsteady: number[]
  /** How often each reason was needed. */
  readonly known: Map<string, number>
}

export async function runRange(options: RangeOptions): Promise<Summary> {
  const summary: Summary = {
    sequences: 0,
    steps: 0,
    quorumSteps: 0,
    differences: [],
    unsteady: [],
    known: new Map(),
  }
  const every = options.every ?? 1
  const end = options.from + options.count * every
  let next = options.from
  const lane = async (): Promise<void> => {
    const comparison = new Comparison(options.ports)
    while (next < end && summary.differences.length < options.stopAfter) {
      const seed = next
      next += every
      await judge(comparison, seed, summary, options)
      if (summary.sequences % 500 === 0) options.tell(report(summary))
    }
    await comparison.close()
  }
  await Promise.all(Array.from({ length: options.lanes }, lane))
  return summary
}

async function judge(
  comparison: Comparison,
  seed: number,
  summary: Summary,
  options: RangeOptions,
): Promise<void> {
  const sequence = generate(seed)
  const verdict = await comparison.judge(sequence)
  summary.sequences += 1
  summary.steps += verdict.steps
  summary.quorumSteps += countQuorumSteps(sequence)
  if (verdict.known !== undefined)
    summary.known.set(verdict.known, (summary.known.get(verdict.known) ?? 0) + 1)
  if (verdict.unsteady !== undefined) {
    summary.unsteady.push(seed)
    options.tell(`seed ${seed} differed once:\n${print(verdict.unsteady)}`)
  }
  if (verdict.difference !== undefined) {
    summary.differences.push(verdict.difference)
    const shrunk = options.shrinks ? await comparison.shrink(verdict.difference) : verdict.difference
    options.tell(`seed ${seed} differs:\n${print(shrunk)}`)
  }
}

/** A difference in full: the steps up to it, and the two observations. */
export function print(difference: Difference): string {
  const steps = difference.sequence.steps.slice(0, difference.at + 1)
  return [
    ...steps.map((step, index) => `  ${index}: ${JSON.stringify(withoutDefaults(step))}`),
    `  expected: ${JSON.stringify(difference.expected)}`,
    `  actual:   ${JSON.stringify(difference.actual)}`,
  ].join('\n')
}

function withoutDefaults(step: Step): unknown {
  if (step.type !== 'method') return step
  const fields = Object.entries(step.method).filter(([, value]) => value !== false)
  return { ...step, method: Object.fromEntries(fields) }
}

export function report(summary: Summary): string {
  const known = [...summary.known].map(([name, times]) => `${name} ${times}`).join(', ')
  return (
    `${summary.sequences} sequences, ${summary.steps} steps (${summary.quorumSteps} on quorum queues): ${summary.differences.length} differences, ` +
    `${summary.unsteady.length} unsteady (${summary.unsteady.slice(0, 20).join(', ')})${known === '' ? '' : `, known: ${known}`}`
  )
}
