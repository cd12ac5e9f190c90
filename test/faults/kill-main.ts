/** `npm run kill -- [rounds] [seed] [entry]`: rounds of kill -9 under load (default 500) against the built package, or another [entry] file. */
import { resolve } from 'node:path'
import { killOverAndOver } from './kill.ts'

const rounds = Number(process.argv[2] ?? 500)
const seed = Number(process.argv[3] ?? 1)
const report = await killOverAndOver({
  rounds,
  seed,
  entry: process.argv[4] ?? resolve(import.meta.dirname, '../../dist/index.js'),
  onRound: (round) => {
    if (round % 20 === 0) console.log(`${round} of ${rounds} rounds`)
  },
})
console.log(
  `${report.rounds} kills: ${report.sent} confirmed, ${report.deliveries} deliveries, ${report.acked} ends synced, ` +
    `${report.broken.length} promises broken (seed ${seed})`,
)
for (const line of report.broken.slice(0, 20)) console.log(`  ${line}`)
process.exitCode = report.broken.length === 0 ? 0 : 1
