/**
 * `npm run sim -- SEED` replays one run; `npm run sim -- FROM TO` runs a range; `--steps N`; `--sabotage sync` or
 * `--sabotage record` breaks the product on purpose, to see that the simulation can tell. Without a seed, the one in the
 * environment's SEED, as for the test, or 1.
 */
import { parseArgs } from 'node:util'
import { simulate } from './simulation.ts'
import type { Sabotage } from './simulation.ts'

const sabotages = new Map<string, Sabotage>([
  ['sync', 'sync does nothing'],
  ['record', 'a record is dropped'],
])

/** Ends the program where a word is not understood: a run that tested nothing must not look like one that passed. */
function refuse(problem: string): never {
  console.error(`${problem}\nnpm run sim -- [SEED | FROM TO] [--steps N] [--sabotage sync|record]`)
  process.exit(2)
}

function whole(text: string, what: string): number {
  if (!/^\d{1,9}$/.test(text)) refuse(`${what} must be a whole number from 0 to 999999999, not '${text}'`)
  return Number(text)
}

const { values, positionals } = parseArgs({
  options: { steps: { type: 'string', default: '400' }, sabotage: { type: 'string' } },
  allowPositionals: true,
})
if (positionals.length > 2) refuse(`it takes one seed or two, not ${positionals.length}`)
const from = whole(positionals[0] ?? process.env['SEED'] ?? '1', 'the seed')
const to = whole(positionals[1] ?? String(from), 'the last seed')
if (to < from) refuse(`the last seed, ${to}, comes before the first, ${from}`)
const steps = whole(values.steps, '--steps')
const sabotage = sabotages.get(values.sabotage ?? '')
if (values.sabotage !== undefined && sabotage === undefined)
  refuse(`--sabotage takes ${[...sabotages.keys()].join(' or ')}`)

const broken: number[] = []
const sums = { copies: 0, deliveries: 0, crashes: 0 }
for (let seed = from; seed <= to; seed++) {
  const report = await simulate({ seed, steps, ...(sabotage !== undefined && { sabotage }) })
  sums.copies += report.copies
  sums.deliveries += report.deliveries
  sums.crashes += report.crashes
  if (report.broken.length > 0) {
    broken.push(seed)
    console.log(`seed ${seed}: ${report.broken.length} broken`)
    for (const line of report.broken.slice(0, from === to ? 50 : 3)) console.log(`  ${line}`)
  }
  if (seed % 500 === 0) console.log(`${seed - from + 1} seeds, ${broken.length} broken`)
}
console.log(
  `${to - from + 1} seeds, ${sums.copies} messages, ${sums.deliveries} deliveries, ${sums.crashes} crashes: ` +
    `${broken.length} seeds with a broken promise${broken.length > 0 ? ` (${broken.slice(0, 20).join(', ')})` : ''}`,
)
process.exitCode = broken.length === 0 ? 0 : 1
