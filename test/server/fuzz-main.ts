/**
 * Fuzzes the server: `npm run fuzz:server -- --rounds 1000000 --seed 7`. Without a seed the clock gives one; it is printed, and
 * what fails names it too. Says at the end how much memory the process has gained.
 */
import { parseArgs } from 'node:util'
import { fuzzServer } from './fuzz.ts'

const { values } = parseArgs({
  options: {
    rounds: { type: 'string', default: '100000' },
    seed: { type: 'string', default: String(Date.now() % 1_000_000_007) },
  },
})
const rounds = Number(values.rounds)
const seed = Number(values.seed)
const stepRounds = 5_000
console.log(`seed ${seed}, ${rounds} conversations`)
// The first ones warm up what is compiled and kept.
for (let step = 0; step < 4; step += 1) await fuzzServer(seed - 1 - step, Math.min(stepRounds, rounds))
const bytesBefore = memoryBytes()
let survived = 0
for (let done = 0; done < rounds; done += stepRounds) {
  survived += (await fuzzServer(seed + done, Math.min(stepRounds, rounds - done))).survived
}
const gainedMb = (memoryBytes() - bytesBefore) / 1_048_576
console.log(`${survived} conversations went to their end, ${gainedMb.toFixed(1)} MB gained`)

function memoryBytes(): number {
  const { heapUsed, external } = process.memoryUsage()
  return heapUsed + external
}
