#!/usr/bin/env node
/** The `millrace` command. */
import { exitCode } from './exit-code.ts'
import { run } from './program.ts'
import { Terminal } from './terminal.ts'

const interrupted = new AbortController()

/** The first signal lets the command finish what it has in hand, the second one does not wait. */
function interrupt(): void {
  if (interrupted.signal.aborted) process.exit(exitCode.interrupted)
  interrupted.abort()
}

process.on('SIGINT', interrupt)
process.on('SIGTERM', interrupt)
process.on('SIGHUP', interrupt)

const terminal = new Terminal({
  input: process.stdin,
  output: process.stdout,
  errors: process.stderr,
  environment: process.env,
  interrupted: interrupted.signal,
})

process.exitCode = await run(process.argv.slice(2), terminal)
// What a server that is away was not told is no reason to stay.
if (interrupted.signal.aborted) process.exit()
// A terminal or pipe that was read from would keep the process waiting for more.
process.stdin.unref?.()
