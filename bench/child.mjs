/**
 * One contestant (or one phase of it) in a process of its own, so that no heap, JIT state or page of one is another's.
 * This file is both sides: `runProcess` forks it, and forked it runs what it is told and sends the result.
 */
import { fork } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { argv, pid } from 'node:process'
import { fileURLToPath, pathToFileURL } from 'node:url'

const self = fileURLToPath(import.meta.url)

/**
 * Resolves with what the contestant returned, and the peak of its memory. With `kill`, the process gets a SIGKILL the
 * moment it reports, while all it has open is still open: a crash.
 */
export function runProcess(file, name, context, { kill = false } = {}) {
  return new Promise((resolve, reject) => {
    const child = fork(self, [file, name, JSON.stringify({ ...context, stay: kill })])
    const end = () => child.kill('SIGKILL')
    process.prependOnceListener('exit', end)
    let result
    child.on('message', (message) => {
      result = message
      if (kill) end()
    })
    child.on('error', reject)
    child.on('exit', (code, signal) => {
      process.off('exit', end)
      if (result === undefined) reject(new Error(`${name} ended without a result (${signal ?? code})`))
      else if (result.error !== undefined) reject(new Error(result.error))
      else resolve(result)
    })
  })
}

/** Peak resident memory of this process in MB. (`resourceUsage().maxRSS` would start from the parent's.) */
function peakMemoryMb() {
  try {
    const kilobytes = /VmHWM:\s+(\d+)/.exec(readFileSync(`/proc/${pid}/status`, 'latin1'))?.[1]
    if (kilobytes !== undefined) return Math.round(Number(kilobytes) / 1024)
  } catch {
    // Not Linux.
  }
  return Math.round(process.resourceUsage().maxRSS / 1024)
}

async function main() {
  const [, , file, name, json] = argv
  const { stay, ...context } = JSON.parse(json)
  // Without a parent there is nobody to run for.
  process.on('disconnect', () => process.exit(1))
  let message
  try {
    const scenario = (await import(pathToFileURL(file).href)).default
    const run = scenario.contestants[name] ?? scenario.phases[name]
    const phase = (next, { kill, ...more } = {}) => runProcess(file, next, { ...context, ...more }, { kill })
    const result = await run({ ...context, phase })
    message = { peakMb: peakMemoryMb(), ...result }
  } catch (error) {
    message = { error: error.stack?.split('\n').slice(0, 4).join('\n') ?? String(error) }
  }
  process.send(message, () => {
    if (!stay || message.error !== undefined) process.exit(0)
  })
}

if (argv[1] === self) await main()
