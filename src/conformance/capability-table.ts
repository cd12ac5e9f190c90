/**
 * What each engine does, as a table made from conformance runs themselves: one row a line, one column an engine, the
 * reason of each exception under the table.
 */
import type { LineResult, Outcome } from './engine.ts'

/** The results of one engine's run, by its name. */
export type RunResults = Readonly<Record<string, readonly LineResult[]>>

/** Markdown. Engines are columns in the order given. */
export function capabilityTable(runs: RunResults): string {
  const engines = Object.keys(runs)
  const byNumber = new Map<number, { line: LineResult; outcomes: Map<string, Outcome> }>()
  for (const engine of engines) {
    for (const line of runs[engine] ?? []) {
      const row = byNumber.get(line.number) ?? { line, outcomes: new Map<string, Outcome>() }
      row.outcomes.set(engine, line.outcome)
      byNumber.set(line.number, row)
    }
  }
  const notes = new Notes()
  const lines: string[] = []
  let heading = ''
  for (const [, { line, outcomes }] of [...byNumber].sort(([a], [b]) => a - b)) {
    if (line.heading !== heading) {
      heading = line.heading
      lines.push(...tableHead(heading, engines, lines.length === 0))
    }
    const cells = engines.map((engine) => cell(outcomes.get(engine), notes))
    lines.push(`| ${numberText(line.number)} | ${line.title} | ${cells.join(' | ')} |`)
  }
  return [...lines, ...notes.lines()].join('\n') + '\n'
}

/** The key to the cells. */
export const legend =
  '✓ does it · **no**: refuses with an `UnsupportedError` · –: does not apply, for the reason given · ✗ fails'

/** '05': the number as the names of the tests carry it. */
export function numberText(number: number): string {
  return String(number).padStart(2, '0')
}

function tableHead(heading: string, engines: readonly string[], first: boolean): string[] {
  const columns = engines.map(columnTitle).join(' | ')
  const rule = engines.map(() => '---').join(' | ')
  return [...(first ? [] : ['']), `## ${heading}`, '', `| # | rule | ${columns} |`, `| --- | --- | ${rule} |`]
}

/** '`file:`' of 'file', '`amqp:` on RabbitMQ' of 'amqp: on RabbitMQ'. */
export function columnTitle(engine: string): string {
  const [scheme = engine, ...where] = engine.split(': ')
  return [`\`${scheme}:\``, ...where].join(' ')
}

const signs = { passed: '✓', unsupported: '**no**', 'not applicable': '–', failed: '✗' } as const

function cell(outcome: Outcome | undefined, notes: Notes): string {
  if (outcome === undefined) return '?'
  const sign = signs[outcome.type]
  const note = noteOf(outcome)
  return note === undefined ? sign : `${sign} ${notes.mark(note)}`
}

function noteOf(outcome: Outcome): string | undefined {
  if (outcome.type === 'passed') return outcome.note
  if (outcome.type === 'unsupported') return outcome.feature
  return outcome.type === 'not applicable' ? outcome.reason : undefined
}

/** Footnotes, numbered in the order of their first use, each text once. */
class Notes {
  readonly #texts: string[] = []

  mark(text: string): string {
    let index = this.#texts.indexOf(text)
    if (index === -1) index = this.#texts.push(text) - 1
    return `<sup>${index + 1}</sup>`
  }

  lines(): string[] {
    if (this.#texts.length === 0) return []
    return ['', '## Notes', '', ...this.#texts.map((text, index) => `${index + 1}. ${text}`)]
  }
}
