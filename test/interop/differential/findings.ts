/**
 * What differential runs have found: short sequences, each with what RabbitMQ answered, so that they are tried without one too.
 * `npm run differential -- --learn` asks a RabbitMQ anew for all answers, after a sequence was added to findings.jsonl.
 */
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { Lane } from './lane.ts'
import type { Observation } from './observation.ts'
import { Run } from './run.ts'
import type { Step } from './step.ts'

export interface Finding {
  /** What it shows. */
  readonly rule: string
  readonly steps: readonly Step[]
  readonly answers?: readonly Observation[]
}

const path = join(import.meta.dirname, 'findings.jsonl')

export function readFindings(): readonly Finding[] {
  const lines = readFileSync(path, 'utf8').trim().split('\n')
  return lines.map((line) => JSON.parse(line) as Finding)
}

/** Runs each on a server. @param patience by which times are stretched */
export async function answer(
  findings: readonly Finding[],
  port: number,
  patience = 1,
): Promise<Observation[][]> {
  const lane = new Lane(port)
  const answers: Observation[][] = []
  for (const [index, { steps }] of findings.entries()) {
    const run = new Run(
      lane,
      { seed: 0, steps },
      { prefix: `f${process.pid}x${patience}x${index}`, patience },
    )
    answers.push(await run.run())
  }
  await lane.close()
  return answers
}

/** Writes down what a server answers. */
export async function learn(port: number): Promise<void> {
  const findings = readFindings()
  const answers = await answer(findings, port)
  const lines = findings.map((finding, index) => JSON.stringify({ ...finding, answers: answers[index] }))
  writeFileSync(path, `${lines.join('\n')}\n`)
}
