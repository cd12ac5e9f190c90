/**
 * Fuzzes the codec: `npm run fuzz -- --rounds 1000000 --seed 7`. Without a seed the clock gives one; it is printed, and what
 * fails names it too. Says at the end how much memory the process has gained.
 */
import { parseArgs } from 'node:util'
import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import { fuzz } from './fuzz.ts'

const { values } = parseArgs({
  options: {
    rounds: { type: 'string', default: '100000' },
    seed: { type: 'string', default: String(Date.now() % 1_000_000_007) },
  },
})
const rounds = Number(values.rounds)
const seed = Number(values.seed)
const stepRounds = 10_000
console.log(`seed ${seed}, ${rounds} rounds`)
fuzz(seed, Math.min(stepRounds, rounds))
const bytesBefore = memoryBytes()
let refused = 0
let events = 0
for (let done = 0; done < rounds; done += stepRounds) {
  const result = fuzz(seed + done, Math.min(stepRounds, rounds - done))
  refused += result.refused
  events += result.events
}
const gainedMb = (memoryBytes() - bytesBefore) / 1_048_576
console.log(
  `${refused} streams refused, ${events} methods and contents read, ${gainedMb.toFixed(1)} MB gained`,
)

/** After a collection of garbage. */
function memoryBytes(): number {
  setFlagsFromString('--expose-gc')
  const collect = runInNewContext('gc') as () => void
  collect()
  const { heapUsed, external } = process.memoryUsage()
  return heapUsed + external
}
