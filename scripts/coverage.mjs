// Measures branch coverage: of each folder of src/ over the tests in the folder of test/ that mirrors it, and no others.
// Ends with 1 where engine, routing or store has less than 95 %.
//
//   node scripts/coverage.mjs                  engine, routing and store, and for information wire and server
//   node scripts/coverage.mjs store --missing  one folder, with the lines of the branches that were not taken
//
// A branch is what V8 counts as one block: a way through an `if`, `?:`, `&&`, `??`, `catch`, a loop, a function. A function that
// was never called counts as one that was not taken.
import { spawn } from 'node:child_process'
import { existsSync, mkdtempSync, readFileSync, readdirSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

const minimumPercent = 95
const demanded = ['engine', 'routing', 'store']
const informative = ['wire', 'server']

const words = process.argv.slice(2)
const showsMissing = words.includes('--missing')
const named = words.filter((word) => !word.startsWith('--'))
const folders = named.length === 0 ? [...demanded, ...informative] : named

const unknown = folders.find(
  (folder) => !existsSync(join('test', folder)) || !existsSync(join('src', folder)),
)
if (unknown !== undefined) {
  console.error(`There is no folder src/${unknown} with tests in test/${unknown}`)
  process.exit(2)
}

const scratch = mkdtempSync(join(tmpdir(), 'coverage-'))
const rows = []
try {
  for (const folder of folders) rows.push(await measure(folder))
} finally {
  rmSync(scratch, { recursive: true })
}
if (showsMissing) for (const { missing } of rows) for (const line of missing) console.log(line)
console.log('folder    branches        of         %   demanded')
for (const row of rows) console.log(format(row))
const low = rows.filter((row) => demanded.includes(row.folder) && row.percent < minimumPercent)
for (const { folder } of low) console.error(`src/${folder} has less than ${minimumPercent} % branch coverage`)
const failed = rows.filter((row) => row.exitCode !== 0)
for (const { folder } of failed)
  console.error(`tests in test/${folder} failed: node scripts/test.mjs ${folder}`)
process.exitCode = low.length + failed.length > 0 ? 1 : 0

async function measure(folder) {
  const report = join(scratch, `${folder}.lcov`)
  const files = readdirSync(join('test', folder), { recursive: true })
    .filter((path) => path.endsWith('.test.ts'))
    .map((path) => join('test', folder, path))
    .sort()
  const exitCode = await run([
    '--import=tsx',
    '--test',
    '--test-concurrency=2',
    '--experimental-test-coverage',
    '--test-reporter=lcov',
    `--test-reporter-destination=${report}`,
    ...files,
  ])
  return { folder, exitCode, ...count(folder, readFileSync(report, 'utf8')) }
}

function run(parameters) {
  const child = spawn(process.execPath, parameters, { stdio: 'ignore' })
  return new Promise((resolve) => child.on('exit', (code) => resolve(code ?? 1)))
}

/** Reads the report: `SF` begins a file, `BRDA:line,…,taken` is a branch, `FN:line,name` and `FNDA:calls,name` a function. */
function count(folder, report) {
  let file = ''
  let branches = 0
  let taken = 0
  const lineOf = new Map()
  const missing = []
  for (const line of report.split('\n')) {
    const [tag, ...rest] = line.split(':')
    const fields = rest.join(':').split(',')
    if (tag === 'SF') file = fields.join(',').replaceAll('\\', '/')
    if (!file.startsWith(`src/${folder}/`)) continue
    const isBranch = tag === 'BRDA'
    const isUncalled = tag === 'FNDA' && fields[0] === '0'
    if (tag === 'FN') lineOf.set(`${file}:${fields[1]}`, fields[0])
    if (!isBranch && !isUncalled) continue
    branches += 1
    if (isBranch && fields[3] !== '0') taken += 1
    else
      missing.push(`${file}:${isBranch ? fields[0] : `${lineOf.get(`${file}:${fields[1]}`)} ${fields[1]}`}`)
  }
  return { branches, taken, missing, percent: branches === 0 ? 0 : (taken * 100) / branches }
}

function format({ folder, taken, branches, percent }) {
  const columns = [String(taken).padStart(9), String(branches).padStart(9), percent.toFixed(2).padStart(9)]
  return `${folder.padEnd(9)}${columns.join(' ')}   ${demanded.includes(folder) ? `${minimumPercent} %` : '-'}`
}
