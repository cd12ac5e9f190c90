// Loaded before what `npm start` runs: builds first where a source is newer than what is built.
import { spawnSync } from 'node:child_process'
import { readdirSync, statSync } from 'node:fs'
import { join } from 'node:path'

/** What `npm run build` writes last. */
const builtMs = changedMs('dist/drivers/redis/lua')
const within = readdirSync('src', { recursive: true }).map((path) => join('src', path))
// A folder changes when a file leaves it.
const sources = ['tsconfig.json', 'tsconfig.build.json', 'src', ...within]
if (sources.some((path) => changedMs(path) > builtMs)) {
  console.error('A source is newer than what is built: building')
  const { status } = spawnSync('npm run --silent build', { shell: true, stdio: 'inherit' })
  if (status !== 0) process.exit(status ?? 1)
}

function changedMs(path) {
  return statSync(path, { throwIfNoEntry: false })?.mtimeMs ?? 0
}
