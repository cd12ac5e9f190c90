// Runs the tests: all of them, or those whose path holds one of the given words. `node scripts/test.mjs store client`
import { spawn } from 'node:child_process'
import { readdirSync } from 'node:fs'
import { availableParallelism } from 'node:os'
import { join } from 'node:path'

const words = process.argv.slice(2)
const files = readdirSync('test', { recursive: true })
  .filter((path) => path.endsWith('.test.ts'))
  .map((path) => join('test', path))
  .filter((path) => words.length === 0 || words.some((word) => path.includes(word)))
  .sort()
if (files.length === 0) {
  console.error(`No test file matches ${words.join(', ')}`)
  process.exit(1)
}
// A test that hangs is named and ended by what is imported; this bound is for a file whose thread never comes to rest.
const fileTimeoutMs = 900_000
// One more than there are processors: many files wait for servers most of the time.
const concurrency = `--test-concurrency=${availableParallelism() + 1}`
const flags = ['--import', 'tsx', '--import', './scripts/name-hanging.mjs', '--test', concurrency]
const child = spawn(process.execPath, [...flags, `--test-timeout=${fileTimeoutMs}`, ...files], {
  stdio: 'inherit',
})
child.on('exit', (code, signal) => process.exit(signal === null ? code : 1))
