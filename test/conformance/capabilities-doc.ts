/** docs/capabilities.md: written from conformance runs, and compared with each later one. */
import { readFileSync } from 'node:fs'
import { resolve } from 'node:path'
import { capabilityTable, columnTitle, legend, numberText } from '../../src/conformance/index.ts'
import type { LineResult, RunResults } from '../../src/conformance/index.ts'

/** For servers that take seconds to start, on machines with other things to do. */
export const patience = { patienceMs: 40_000, testTimeoutMs: 100_000 } as const

export const documentPath = resolve(import.meta.dirname, '../../docs/capabilities.md')

/** The whole document. */
export function capabilitiesDocument(runs: RunResults): string {
  return `# What each engine does

This table is printed by the conformance suite (\`millrace/conformance\`) from a run on each engine, by
\`npm run docs:capabilities\`; the tests fail when it no longer says what they find. The numbers are those of the tests.

${legend}

${capabilityTable(runs)}`
}

/** What the document on disk says of one engine: the sign in each row, by the row's number. */
export function documentedSigns(engine: string): Map<string, string> {
  return signsOf(readFileSync(documentPath, 'utf8'), engine)
}

/** What a run says of it, in the same form. */
export function foundSigns(engine: string, results: readonly LineResult[]): Map<string, string> {
  return signsOf(capabilityTable({ [engine]: results }), engine)
}

function signsOf(markdown: string, engine: string): Map<string, string> {
  const signs = new Map<string, string>()
  let column = -1
  for (const line of markdown.split('\n')) {
    if (!line.startsWith('|')) continue
    const cells = line.split('|').map((cell) => cell.trim())
    if (cells[1] === '#') column = cells.indexOf(columnTitle(engine))
    else if (/^\d+$/.test(cells[1] ?? ''))
      signs.set(cells[1] ?? '', (cells[column] ?? '').split(' ')[0] ?? '')
  }
  return signs
}

/** For messages: '05 a resolved send survives a restart: Error …'. */
export function failures(results: readonly LineResult[]): string[] {
  return results.flatMap(({ number, title, outcome }) =>
    outcome.type === 'failed' ? [`${numberText(number)} ${title}: ${outcome.error}`] : [],
  )
}
