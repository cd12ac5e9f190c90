/** `npm run kill:broker -- [rounds] [seed]`: rounds of kill -9 of `millrace serve` (default 500), of the built package. */
import { resolve } from 'node:path'
import { killBrokerOverAndOver } from './kill-broker.ts'

const rounds = Number(process.argv[2] ?? 500)
const seed = Number(process.argv[3] ?? 1)
const report = await killBrokerOverAndOver({
  rounds,
  seed,
  command: [resolve(import.meta.dirname, '../../dist/cli/main.js')],
  onRound: (round) => {
    if (round % 20 === 0) console.log(`${round} of ${rounds} rounds`)
  },
})
console.log(
  `${report.rounds} kills: ${report.confirmed} confirmed, ${report.deliveries} deliveries, ${report.committed} acks committed, ` +
    `${report.broken.length} promises broken (seed ${seed})`,
)
for (const line of report.broken.slice(0, 20)) console.log(`  ${line}`)
process.exitCode = report.broken.length === 0 ? 0 : 1
