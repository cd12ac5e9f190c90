/**
 * `npm run sim -- SEED` replays one run; `npm run sim -- FROM TO` runs a range; `--steps N`; `--sabotage sync` or
 * `--sabotage record` breaks the product on purpose, to see that the simulation can tell.
 */
import { simulate } from './simulation.ts'
import type { Sabotage } from './simulation.ts'

const words = process.argv.slice(2)
const option = (name: string): string | undefined => {
  const at = words.indexOf(name)
  return at < 0 ? undefined : words.splice(at, 2)[1]
}
const sabotages: Readonly<Record<string, Sabotage>> = {
  sync: 'sync does nothing',
  record: 'a record is dropped',
}
const sabotage = sabotages[option('--sabotage') ?? '']
const steps = Number(option('--steps') ?? 400)
const from = Number(words[0] ?? 1)
const to = Number(words[1] ?? from)
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
