/** Runs command lines in this process, with streams of the test's own, and in a process of their own where that matters. */
import { spawn } from 'node:child_process'
import type { ChildProcessWithoutNullStreams } from 'node:child_process'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { PassThrough, Readable, Writable } from 'node:stream'
import { after } from 'node:test'
import { fileURLToPath } from 'node:url'
import { run } from '../../src/cli/program.ts'
import { Terminal } from '../../src/cli/terminal.ts'

export interface Ran {
  readonly code: number
  readonly output: string
  readonly errors: string
}

export interface RunOptions {
  readonly input?: string | Readable
  readonly environment?: Record<string, string>
  readonly interrupted?: AbortSignal
  /** The input and the error stream are a terminal. */
  readonly terminal?: boolean
  /** Called with what is written, as it is written. */
  readonly onOutput?: (text: string) => void
  /** Where the broker of this machine is; by default nowhere. */
  readonly broker?: string
  /** The same for the error stream. */
  readonly onErrors?: (text: string) => void
}

/** Nobody listens at TCP's port 1. */
const nowhere = 'amqp://127.0.0.1:1'

/** One command line, e.g. `millrace(['send', 'q', '1'], { environment: { MQ_URL } })`. */
export async function millrace(argv: readonly string[], options: RunOptions = {}): Promise<Ran> {
  const written = { output: '', errors: '' }
  const input =
    options.input instanceof Readable ? options.input : Readable.from([Buffer.from(options.input ?? '')])
  const terminal = new Terminal({
    input: Object.assign(input, { isTTY: options.terminal === true }),
    output: sink((chunk) => {
      written.output += chunk
      options.onOutput?.(chunk)
    }),
    errors: Object.assign(
      sink((chunk) => {
        written.errors += chunk
        options.onErrors?.(chunk)
      }),
      { isTTY: options.terminal === true },
    ),
    environment: options.environment ?? {},
    interrupted: options.interrupted ?? new AbortController().signal,
  })
  const code = await run(argv, terminal, options.broker ?? nowhere)
  return { code, ...written }
}

function sink(take: (text: string) => void): Writable {
  return new Writable({
    write(chunk: Buffer, _encoding, done) {
      take(chunk.toString())
      done()
    },
  })
}

/** Words, or a line to be cut at its spaces. */
type Line = string | readonly string[]

const folders: string[] = []
// Hooks of a test run in the order they were made: one of its own would go for a folder that somebody still writes to.
after(async () => {
  for (const folder of folders) await rm(folder, { recursive: true, force: true })
})

/** A folder of the test's own, which goes when all tests of its file have ended. */
export async function newFolder(): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'millrace-cli-'))
  folders.push(folder)
  return folder
}

/** A data folder of the test's own, and command lines that use it. */
export async function shell() {
  const folder = await newFolder()
  const url = `file:${join(folder, 'data')}`
  const sh = (line: Line, options: RunOptions = {}): Promise<Ran> =>
    millrace(wordsOf(line), { ...options, environment: { MQ_URL: url, ...options.environment } })
  return { folder, url, sh }
}

/** Command lines with this `--url`. */
export function shellOn(url: string): (line: Line, options?: RunOptions) => Promise<Ran> {
  return (line, options) => millrace([...wordsOf(line), '--url', url], options)
}

function wordsOf(line: Line): readonly string[] {
  return typeof line === 'string' ? line.split(' ') : line
}

const main = fileURLToPath(new URL('../../src/cli/main.ts', import.meta.url))

/** A process of its own. */
export function spawnMillrace(argv: readonly string[], url: string): ChildProcessWithoutNullStreams {
  return spawn(process.execPath, ['--import', 'tsx', main, ...argv], { env: { ...process.env, MQ_URL: url } })
}

/** Resolves when the process has ended; the test may close its output before. */
export async function ended(child: ChildProcessWithoutNullStreams): Promise<Ran> {
  const written = { output: '', errors: '' }
  child.stdout.on('data', (chunk: Buffer) => (written.output += chunk.toString()))
  child.stderr.on('data', (chunk: Buffer) => (written.errors += chunk.toString()))
  const code = await new Promise<number>((resolve) => child.once('close', (exit) => resolve(exit ?? -1)))
  return { code, ...written }
}

/** Where a serving process says, in JSON, that it listens. */
export function listening(child: ChildProcessWithoutNullStreams): Promise<string> {
  return new Promise((resolve, reject) => {
    let text = ''
    child.stderr.on('data', (chunk: Buffer) => {
      text += chunk.toString()
      const match = /"event":"listening","url":"(.*?)"/.exec(text)
      if (match !== null) resolve(match[1]!)
    })
    child.once('exit', () => reject(new Error(`it ended: ${text}`)))
  })
}

/** Input that stays open until the test ends it. */
export function openInput(): PassThrough {
  return new PassThrough()
}

/** The lines of some output, each read as JSON. */
export function jsonLines(output: string): Record<string, unknown>[] {
  return output
    .trimEnd()
    .split('\n')
    .map((line): Record<string, unknown> => JSON.parse(line))
}
