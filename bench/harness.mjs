/**
 * Runs scenarios: each contestant in a process of its own with an empty folder, alternating A B C A B C, as many rounds
 * as asked; then the medians, the targets as ratios within the same run, a table, and results/NAME.json.
 *
 *   npm run bench -- [names] [--rounds 5] [--quick] [--only a,b] [--messages n] [--out folder]
 *
 * A scenario file exports `{ title, options, quick, contestants, needs, phases, targets }`; see README.md.
 */
import { rmSync } from 'node:fs'
import { mkdir, mkdtemp, readdir, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'
import { runProcess } from './child.mjs'
import { describeRun, printTable, summarize } from './report.mjs'
import { startServers } from './servers.mjs'

const here = fileURLToPath(new URL('.', import.meta.url))

const { values: flags, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    rounds: { type: 'string' },
    quick: { type: 'boolean', default: false },
    only: { type: 'string' },
    messages: { type: 'string' },
    out: { type: 'string' },
  },
})

const files = (await readdir(here)).filter((name) => /^p\d+-.*\.mjs$/.test(name))
const names = files.map((file) => file.slice(0, -'.mjs'.length)).sort((a, b) => number(a) - number(b))
const wanted = names.filter(
  (name) =>
    positionals.length === 0 || positionals.some((given) => name === given || name.split('-')[0] === given),
)
if (wanted.length === 0) {
  console.error(`No scenario is called ${positionals.join(' ')}; there are:\n  ${names.join('\n  ')}`)
  process.exit(2)
}

const work = await mkdtemp(join(process.env['BENCH_DIR'] ?? tmpdir(), 'millrace-bench-'))
// However it ends; what still runs in there is ended by the listeners before this one.
process.once('exit', () => rmSync(work, { recursive: true, force: true, maxRetries: 5 }))
for (const signal of ['SIGINT', 'SIGTERM']) process.once(signal, () => process.exit(130))
for (const name of wanted) if (!(await runScenario(name))) process.exitCode = 1

/** True where every contestant that could run did run. Targets are reported, not enforced: machines are noisy. */
async function runScenario(name) {
  const file = join(here, `${name}.mjs`)
  const scenario = (await import(file)).default
  const options = { ...scenario.options, ...(flags.quick && scenario.quick) }
  if (flags.messages !== undefined) options.messages = positive(flags.messages, '--messages')
  const rounds =
    flags.rounds !== undefined ? positive(flags.rounds, '--rounds') : flags.quick ? 1 : (scenario.rounds ?? 5)
  const only = flags.only?.split(',')
  const contestants = Object.keys(scenario.contestants).filter((key) => only?.includes(key) ?? true)
  console.log(`\n${name}: ${scenario.title}\n${JSON.stringify(options)}, rounds: ${rounds}`)

  const needs = new Set(contestants.map((key) => scenario.needs?.[key]).filter((need) => need !== undefined))
  const servers = await startServers(needs, work)
  const results = {}
  const problems = {}
  try {
    for (let round = 1; round <= rounds; round++) {
      for (const contestant of contestants) {
        if (problems[contestant] !== undefined) continue
        const missing = servers.missing[scenario.needs?.[contestant]]
        if (missing !== undefined) {
          problems[contestant] = `skipped: ${missing}`
          continue
        }
        try {
          const result = await inEmptyFolder((folder) =>
            runProcess(file, contestant, { options, folder, urls: servers.urls, pids: servers.pids }),
          )
          ;(results[contestant] ??= []).push(result)
          console.log(`  round ${round}  ${contestant.padEnd(24)} ${JSON.stringify(result)}`)
        } catch (error) {
          problems[contestant] = error.message
        }
      }
    }
  } finally {
    await servers.stop()
  }
  const summary = summarize(results, scenario.targets ?? [])
  printTable(summary, problems)
  await save(
    name,
    { scenario: scenario.title, options, rounds, ...summary, problems, results },
    servers.versions,
  )
  return Object.values(problems).every((problem) => problem.startsWith('skipped'))
}

async function inEmptyFolder(run) {
  const folder = await mkdtemp(join(work, 'run-'))
  try {
    return await run(folder)
  } finally {
    await rm(folder, { recursive: true, force: true })
  }
}

/** A quick or partial run overwrites no result, unless it is told where to write. */
async function save(name, report, versions) {
  const partial = flags.quick || flags.only !== undefined || flags.messages !== undefined
  if (partial && flags.out === undefined) return
  const folder = flags.out ?? join(here, 'results')
  await mkdir(folder, { recursive: true })
  const run = await describeRun(here, work, versions)
  await writeFile(join(folder, `${name}.json`), JSON.stringify({ ...run, ...report }, undefined, 2) + '\n')
}

function number(name) {
  return Number(name.slice(1).split('-')[0])
}

function positive(text, flag) {
  const value = Number(text)
  if (Number.isInteger(value) && value > 0) return value
  console.error(`${flag} takes a whole number above 0, not ${text}`)
  return process.exit(2)
}
