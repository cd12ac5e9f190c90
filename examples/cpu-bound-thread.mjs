/** A thread of the cpu-bound example: counts the primes of each range it is given, by trial division, slow on purpose. */
import { parentPort } from 'node:worker_threads'

parentPort.on('message', ({ from, to }) => parentPort.postMessage(countPrimes(from, to)))

function countPrimes(from, to) {
  let count = 0
  for (let n = Math.max(2, from); n < to; n++) {
    let prime = true
    for (let divisor = 2; divisor * divisor <= n && prime; divisor++) prime = n % divisor !== 0
    if (prime) count += 1
  }
  return count
}
