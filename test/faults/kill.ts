/** Kills the child of kill-child.ts over and over, then asks its witness whether a promise was broken. */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { closeSync, cpSync, mkdtempSync, openSync, readFileSync, readSync, rmSync, statSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { Random } from '../std/random.ts'
import { judge } from './judge.ts'
import type { Verdict } from './judge.ts'

export interface KillReport extends Verdict {
  readonly rounds: number
}

export interface KillOptions {
  readonly rounds: number
  readonly seed: number
  /** The package's entry: built, because it starts faster, or from source. */
  readonly entry: string
  readonly onRound?: (round: number) => void
}

/** Keeps the folder, and says where, when a promise was broken. */
export async function killOverAndOver(options: KillOptions): Promise<KillReport> {
  const base = mkdtempSync(join(tmpdir(), 'millrace-kill-'))
  const random = new Random(options.seed)
  for (let round = 0; round < options.rounds; round++) {
    await killOnce(base, options, {
      seed: 1 + Math.floor(random.next() * 1e9),
      afterMs: 20 + random.next() * 250,
      leastSent: round % 3 === 0 ? 25 : 0,
    })
    options.onRound?.(round + 1)
  }
  const code = await runChild(base, options.entry, 1, 'drain').exited
  const report = judge(readFileSync(join(base, 'witness'), 'utf8').split('\n'), { knowsTheDead: true })
  const broken = [...report.broken]
  if (code !== 0) broken.push(`the last start ended with code ${code}`)
  if (report.late > 0) broken.push(`${report.late} deliveries were of an attempt that was over`)
  if (broken.length === 0) rmSync(base, { recursive: true, force: true })
  else cpSync(join(base, 'witness'), join(base, 'witness.kept'))
  return {
    ...report,
    rounds: options.rounds,
    broken: broken.length === 0 ? [] : [...broken, `kept: ${base}`],
  }
}

function runChild(base: string, entry: string, seed: number, mode: 'run' | 'drain') {
  const child = spawn(
    process.execPath,
    [
      '--import',
      'tsx',
      resolve(import.meta.dirname, 'kill-child.ts'),
      entry,
      join(base, 'data'),
      join(base, 'witness'),
      String(seed),
      mode,
    ],
    { stdio: ['ignore', 'inherit', 'inherit'] },
  )
  const exited = once(child, 'exit').then(([code]) => code as number | null)
  return { child, exited }
}

interface Moment {
  readonly seed: number
  /** From the time it is ready. */
  readonly afterMs: number
  /** On a busy machine little happens in that time, and rounds in which nothing was promised show nothing. */
  readonly leastSent: number
}

async function killOnce(base: string, options: KillOptions, moment: Moment): Promise<void> {
  const { seed, afterMs, leastSent } = moment
  const before = sizeOf(join(base, 'witness'))
  const { child, exited } = runChild(base, options.entry, seed, 'run')
  const begun = Date.now()
  const isReady = (): boolean => newsAfter(base, before, 4096).includes('ready\n')
  while (!isReady() && child.exitCode === null) {
    if (Date.now() - begun > 100_000) throw new Error('The child did not get ready within 100 s')
    await new Promise((wake) => setTimeout(wake, 5))
  }
  if (child.exitCode !== null) throw new Error(`The child ended by itself with code ${child.exitCode}`)
  await new Promise((wake) => setTimeout(wake, afterMs))
  const sent = (): number => newsAfter(base, before, Infinity).split('\nS ').length - 1
  while (sent() < leastSent && child.exitCode === null) await new Promise((wake) => setTimeout(wake, 5))
  child.kill('SIGKILL')
  await exited
}

/** What the witness says behind this place, up to so many bytes: only what is new is read. */
function newsAfter(base: string, position: number, limitBytes: number): string {
  const file = join(base, 'witness')
  const size = sizeOf(file)
  if (size <= position) return ''
  const bytes = Buffer.alloc(Math.min(size - position, limitBytes))
  const handle = openSync(file, 'r')
  readSync(handle, bytes, 0, bytes.length, position)
  closeSync(handle)
  return bytes.toString()
}

function sizeOf(file: string): number {
  return statSync(file, { throwIfNoEntry: false })?.size ?? 0
}
