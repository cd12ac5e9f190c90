/**
 * The conformance suite: what every engine behind the driver port passes, as tests for the runner of your choice.
 *
 * ```ts
 * import { describe, test } from 'node:test'
 * import { conformance } from 'millrace/conformance'
 *
 * conformance({ runner: { test, describe }, engine: { name: 'mine', create: async () => new MyHarness() } })
 * ```
 *
 * Each rule is one test, named by its number. A test of what the engine says it cannot do asserts the UnsupportedError; a
 * rule that cannot apply ends with its reason in the result. Neither is ever skipped.
 */
import type { ConformanceOptions, LineResult } from './engine.ts'
import { numberText } from './capability-table.ts'
import { lineCount, chapters } from './registry.ts'
import { Trial } from './trial.ts'

export { capabilityTable, columnTitle, legend, numberText } from './capability-table.ts'
export type { RunResults } from './capability-table.ts'
export type {
  ConformanceOptions,
  ConnectOptions,
  EngineUnderTest,
  Harness,
  LineResult,
  NetworkHooks,
  Outcome,
  Runner,
  VirtualClock,
} from './engine.ts'
export { chapters, lineCount } from './registry.ts'
export type { Chapter, Line } from './line.ts'

const defaultSoakMs = 2_000
const defaultPatienceMs = 30_000
const defaultTimeoutMs = 90_000

/**
 * Registers one test per rule, and one more that finds every rule accounted for. Returns the results, which fill as the
 * tests run.
 */
export function conformance(options: ConformanceOptions): readonly LineResult[] {
  const { runner, engine } = options
  const results: LineResult[] = []
  const limits = {
    soakMs: options.soakMs ?? defaultSoakMs,
    patienceMs: options.patienceMs ?? defaultPatienceMs,
    timeoutMs: Math.max(options.testTimeoutMs ?? defaultTimeoutMs, (options.soakMs ?? 0) * 2),
  }
  for (const { heading, lines } of chapters) {
    const register = (): void => {
      for (const { number, title, run } of lines) {
        runner.test(`${numberText(number)} ${title}`, async () => {
          const { outcome, error } = await Trial.run(engine, run, limits)
          const result: LineResult = { number, heading, title, outcome }
          results.push(result)
          options.onResult?.(result)
          if (outcome.type === 'failed') throw error
        })
      }
    }
    if (runner.describe === undefined) register()
    else runner.describe(`${engine.name}: ${heading}`, register)
  }
  return results
}

/** The rules that a run said nothing about; none, after a whole one. */
export function missing(results: readonly LineResult[]): number[] {
  const seen = new Set(results.map(({ number }) => number))
  return Array.from({ length: lineCount }, (_, index) => index + 1).filter((number) => !seen.has(number))
}
