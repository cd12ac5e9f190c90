// Loaded before what `npm start` runs: builds dist/ first where it is missing or older than a source.
import { spawnSync } from 'node:child_process'
import { existsSync, readdirSync, statSync, utimesSync } from 'node:fs'
import { join } from 'node:path'

/** Its time tells what the build has seen. */
const built = 'dist/cli/main.js'

if (!existsSync('node_modules/typescript')) {
  console.error('The packages are not installed: run npm ci')
  process.exit(1)
}
const newestMs = newestSourceMs()
if (newestMs > changedMs(built)) {
  console.error('Building dist/: it is missing or older than src/')
  const { status } = spawnSync('npm run --silent build', { shell: true, stdio: 'inherit' })
  if (status !== 0) process.exit(status ?? 1)
  // What was edited meanwhile is newer than this.
  utimesSync(built, new Date(), newestMs / 1000)
}

function newestSourceMs() {
  const within = readdirSync('src', { recursive: true }).map((path) => join('src', path))
  // A folder changes when a file leaves it.
  const sources = ['tsconfig.json', 'tsconfig.build.json', 'src', ...within]
  return Math.max(...sources.map(changedMs))
}

/** In whole ms: a time that was set is not exact. */
function changedMs(path) {
  return Math.round(statSync(path, { throwIfNoEntry: false })?.mtimeMs ?? 0)
}
