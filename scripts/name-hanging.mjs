// Loaded into each process that runs a test file: says which test takes long, and ends the file when one hangs. Node's own
// --test-timeout counts for a file as a whole, and when it strikes it does not tell which test it was.
import { basename } from 'node:path'

const { clearTimeout, setInterval, setTimeout } = globalThis
const tellEveryMs = 60_000
/** Several times what the slowest test takes on a busy machine: kills and sequences by the hundred take over a minute there. */
const hangsAfterMs = /faults|conformance|differential/.test(process.argv[1] ?? '') ? 300_000 : 120_000

if (process.env['NODE_TEST_CONTEXT'] !== undefined) {
  const { afterEach, beforeEach } = await import('node:test')
  const running = new Map()
  const betweenTests = 'what comes before, between or after the tests'
  const begins = (task, name) => running.set(task, watch(name))
  const ends = (task) => {
    for (const timer of running.get(task) ?? []) clearTimeout(timer)
    running.delete(task)
  }
  begins(betweenTests, betweenTests)
  beforeEach((test) => {
    ends(betweenTests)
    begins(test, test.name)
  })
  afterEach((test) => {
    ends(test)
    if (running.size === 0) begins(betweenTests, betweenTests)
  })
}

/** Timers of the time before a test could set up ones that are not real. */
function watch(name) {
  const startMs = performance.now()
  const told = `'${name}' in ${basename(process.argv[1] ?? '')}`
  const telling = setInterval(() => {
    const seconds = Math.round((performance.now() - startMs) / 1_000)
    console.error(`${told} has run for ${seconds} s`)
  }, tellEveryMs)
  const ending = setTimeout(() => {
    const open = process.getActiveResourcesInfo().join(', ')
    console.error(`${told} hangs: it has not ended after ${hangsAfterMs / 1_000} s. Still open: ${open}`)
    process.exit(1)
  }, hangsAfterMs)
  return [telling.unref(), ending.unref()]
}
