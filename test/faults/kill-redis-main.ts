/**
 * `npm run kill:redis -- [rounds] [seed] [entry]`: rounds of kill -9 of a Redis and of worker processes under load (default
 * 300) against the built package, or another [entry] file.
 */
import { resolve } from 'node:path'
import { killRedisOverAndOver } from './kill-redis.ts'

const rounds = Number(process.argv[2] ?? 300)
const seed = Number(process.argv[3] ?? 1)
const report = await killRedisOverAndOver({
  rounds,
  seed,
  entry: resolve(process.argv[4] ?? resolve(import.meta.dirname, '../../dist/index.js')),
  onRound: (round) => {
    if (round % 20 === 0) console.log(`${round} of ${rounds} rounds`)
  },
})
const { server, worker, both, freeze, stall } = report.harms
console.log(
  `${report.rounds} rounds (the server killed ${server + both} times and frozen ${stall} times, a worker killed ${worker + both} and frozen ${freeze} times): ` +
    `${report.sent} confirmed, ${report.deliveries} deliveries, ${report.acked} ends told, ` +
    `${report.broken.length} promises broken (seed ${seed})`,
)
for (const line of report.broken.slice(0, 20)) console.log(`  ${line}`)
process.exitCode = report.broken.length === 0 ? 0 : 1
