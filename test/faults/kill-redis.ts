/**
 * Kills over and over what `redis://` lives by, at random moments under load: the server, whose append-only file is synced at
 * each write, and worker processes. And freezes a worker beyond its lease, so that it wakes up and settles what is no more its
 * own, or the server, so that leases run out while settlements are on their way. Then asks the workers' witness whether a promise was broken, and looks whether the server's keys agree.
 */
import { spawn } from 'node:child_process'
import type { ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, readFileSync, rmSync, statSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { RedisServer } from '../servers/redis.ts'
import { Random } from '../std/random.ts'
import { gone, judge } from './judge.ts'
import type { Verdict } from './judge.ts'
import { brokenKeys } from './redis-keys.ts'

export interface RedisKillReport extends Verdict {
  readonly rounds: number
  /** How often each kind of harm was done. */
  readonly harms: Readonly<Record<Harm, number>>
}

export interface RedisKillOptions {
  readonly rounds: number
  readonly seed: number
  /** The package's entry: built, because it starts faster, or from source. */
  readonly entry: string
  /** What is done to the server's functions, to see whether it is found out. */
  readonly spoil?: (library: string) => string
  /** A lie of the workers; see kill-redis-child.ts. */
  readonly lie?: 'early'
  /** Whether the server keeps what it is given (default 'always'). */
  readonly sync?: 'always' | 'none'
  /** Whether the workers take what they send (default true). */
  readonly consumes?: boolean
  /** What may happen, each as likely as it is often there (default all). */
  readonly harms?: readonly Harm[]
  readonly onRound?: (round: number) => void
}

export type Harm = 'server' | 'worker' | 'both' | 'freeze' | 'stall'

const allHarms: readonly Harm[] = ['server', 'server', 'worker', 'worker', 'both', 'freeze', 'stall']

const workers = 3
const leaseMs = 1_000
const readyPatienceMs = 100_000
/** Who was cut off several times in a row waits ten seconds before it comes again. */
const workPatienceMs = 60_000
/** Who carries messages elsewhere and dies keeps the others from them for ten seconds. */
const drainPatienceMs = 30_000
/** Keys are looked at so often. */
const looksEvery = 10

/** Says where the folder is that it kept when a promise was broken. */
export async function killRedisOverAndOver(options: RedisKillOptions): Promise<RedisKillReport> {
  const run = new Run(options)
  try {
    await run.start()
    for (let round = 1; round <= options.rounds; round += 1) {
      await run.round(round)
      options.onRound?.(round)
    }
    return await run.end()
  } finally {
    await run.close()
  }
}

class Run {
  readonly #options: RedisKillOptions
  readonly #folder = mkdtempSync(join(tmpdir(), 'millrace-kill-redis-'))
  readonly #random: Random
  readonly #workers: Worker[] = []
  readonly #broken: string[] = []
  readonly #harms = { server: 0, worker: 0, both: 0, freeze: 0, stall: 0 }
  #server: RedisServer | undefined

  constructor(options: RedisKillOptions) {
    this.#options = options
    this.#random = new Random(options.seed)
  }

  async start(): Promise<void> {
    const { sync = 'always', spoil } = this.#options
    // The file is rewritten now and then, and so the server is killed at that too.
    const settings = { 'auto-aof-rewrite-min-size': '4mb' }
    this.#server = await RedisServer.start({ sync, settings })
    if (spoil !== undefined) await spoilLibrary(this.#server, spoil)
    for (let index = 0; index < workers; index += 1) this.#workers.push(this.#spawn('run'))
    for (const worker of this.#workers) await worker.ready
  }

  async round(round: number): Promise<void> {
    await this.#progress()
    await sleep(20 + this.#random.below(230))
    const harm = this.#random.pick(this.#options.harms ?? allHarms)
    this.#harms[harm] += 1
    if (harm === 'freeze') await this.#freeze()
    else if (harm === 'stall') await this.#stall()
    else await this.#kill(harm)
    if (round % looksEvery === 0) await this.#look()
  }

  async end(): Promise<RedisKillReport> {
    for (const worker of this.#workers.splice(0)) await worker.kill()
    // What was broken on the way may keep it from ever being drained.
    if (this.#judge().broken.every((line) => line.endsWith(gone))) await this.#drain()
    await this.#look()
    const verdict = this.#judge()
    const broken = [...verdict.broken, ...this.#broken]
    // Frozen on its way from having looked to having said so.
    if (verdict.late > this.#harms.freeze)
      broken.push(`${verdict.late} deliveries were of an attempt that was over`)
    if (broken.length > 0) broken.push(`kept: ${this.#folder}`)
    else rmSync(this.#folder, { recursive: true, force: true })
    return { ...verdict, rounds: this.#options.rounds, harms: this.#harms, broken }
  }

  async close(): Promise<void> {
    for (const worker of this.#workers.splice(0)) await worker.kill()
    await this.#server?.close()
  }

  get #witness(): string {
    return join(this.#folder, 'witness')
  }

  #judge(): Verdict {
    return judge(readFileSync(this.#witness, 'utf8').split('\n'), { knowsTheDead: true })
  }

  async #drain(): Promise<void> {
    const last = this.#spawn('drain')
    const stuck = new AbortController()
    const end = (async () => {
      for (let before = -1; sizeOf(this.#witness) > before;) {
        before = sizeOf(this.#witness)
        await sleep(drainPatienceMs, undefined, { signal: stuck.signal })
      }
      this.#broken.push('what was left could not be drained')
      await last.kill()
    })().catch(() => undefined)
    const code = await last.exited
    stuck.abort()
    await end
    if (code !== 0) this.#broken.push(`the last worker ended with ${code}`)
  }

  async #kill(harm: 'server' | 'worker' | 'both'): Promise<void> {
    const victim = this.#random.below(workers)
    const downMs = this.#random.below(300)
    const ended: Promise<unknown>[] = []
    if (harm !== 'server') ended.push((this.#workers[victim] as Worker).kill())
    if (harm !== 'worker') ended.push((this.#server as RedisServer).kill())
    await Promise.all(ended)
    await sleep(downMs)
    await this.#server?.boot()
    if (harm === 'server') return
    const next = this.#spawn('run')
    this.#workers[victim] = next
    await next.ready
  }

  /** Beyond its lease: the others get what it holds. */
  async #freeze(): Promise<void> {
    const victim = this.#workers[this.#random.below(workers)] as Worker
    victim.signal('SIGSTOP')
    await sleep(leaseMs * 1.5)
    victim.signal('SIGCONT')
  }

  async #stall(): Promise<void> {
    this.#server?.freeze()
    await sleep(leaseMs * 1.5)
    this.#server?.thaw()
  }

  async #look(): Promise<void> {
    if (this.#server !== undefined) this.#broken.push(...(await brokenKeys(this.#server)))
  }

  /** On a busy machine little happens in a short time, and a round in which nothing was promised shows nothing. */
  async #progress(): Promise<void> {
    const before = sizeOf(this.#witness)
    const deadline = Date.now() + workPatienceMs
    while (sizeOf(this.#witness) < before + 4_096) {
      if (Date.now() > deadline) throw new Error(`nothing happens any more; kept: ${this.#folder}`)
      await sleep(5)
    }
  }

  #spawn(does: 'run' | 'drain'): Worker {
    const { entry, lie, consumes = true } = this.#options
    const mode = does === 'run' && !consumes ? 'send' : does
    const url = `${this.#server?.url()}?lease=${leaseMs}&heartbeat=1000`
    const seed = String(1 + this.#random.below(1_000_000_000))
    const words = [entry, url, this.#witness, seed, mode, ...(lie === undefined ? [] : [lie])]
    return new Worker(words)
  }
}

class Worker {
  readonly #child: ChildProcess
  readonly exited: Promise<number | null>
  readonly ready: Promise<void>

  constructor(words: readonly string[]) {
    const program = resolve(import.meta.dirname, 'kill-redis-child.ts')
    const child = spawn(process.execPath, ['--import', 'tsx', program, ...words], {
      stdio: ['ignore', 'inherit', 'inherit', 'ipc'],
    })
    this.#child = child
    this.exited = once(child, 'exit').then(([code]) => code as number | null)
    this.ready = readyOf(child)
    const end = (): void => void child.kill('SIGKILL')
    process.once('exit', end)
    void this.exited.then(() => process.off('exit', end))
  }

  signal(signal: 'SIGSTOP' | 'SIGCONT'): void {
    this.#child.kill(signal)
  }

  async kill(): Promise<void> {
    this.#child.kill('SIGKILL')
    await this.exited
  }
}

async function readyOf(child: ChildProcess): Promise<void> {
  const waiting = new AbortController()
  const { signal } = waiting
  const ended = once(child, 'exit', { signal }).then(() => {
    throw new Error(`a worker ended by itself with code ${child.exitCode}`)
  })
  const late = sleep(readyPatienceMs, undefined, { signal }).then(() => {
    throw new Error('a worker did not get ready in time')
  })
  try {
    await Promise.race([once(child, 'message', { signal }), ended, late])
  } finally {
    waiting.abort()
    await Promise.allSettled([ended, late])
  }
}

/** The driver loads its functions where they are missing or old, and takes these for its own. */
async function spoilLibrary(server: RedisServer, spoil: (library: string) => string): Promise<void> {
  const folder = resolve(import.meta.dirname, '../../src/drivers/redis/lua')
  const parts = ['1-queue', '2-publish', '3-work', '4-manage', '5-transfer', '6-topology', '7-functions'].map(
    (part) => readFileSync(join(folder, `${part}.lua`), 'utf8'),
  )
  const library = `#!lua name=millrace\n${parts.join('\n')}`
  const spoiled = spoil(library)
  if (spoiled === library) throw new Error('nothing was spoiled: the text to be replaced is not there')
  await server.command('FUNCTION', 'LOAD', spoiled)
}

function sizeOf(file: string): number {
  return statSync(file, { throwIfNoEntry: false })?.size ?? 0
}
