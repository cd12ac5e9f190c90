/** `millrace consume`: takes messages from a queue and prints them. */
import type { Command } from 'commander'
import type { Client, Messages, Queue } from '../../index.ts'
import type { Job } from '../../client/job.ts'
import { integer } from '../arguments.ts'
import { UsageError, exitCode } from '../exit-code.ts'
import { dataText, jobJson } from '../format.ts'
import type { Host, SharedOptions } from '../host.ts'
import { OutputClosed } from '../terminal.ts'
import type { Terminal } from '../terminal.ts'

interface ConsumeFlags extends SharedOptions {
  readonly count?: number
  readonly follow?: boolean
  readonly ack: boolean
}

/** Messages in hand at most; with --no-ack, all that are printed are in hand until the end. */
const maximumInHand = 1_000
const pollMs = 50
/** How long to wait for a message that is ready and does not come, because the queue is paused or others take it. */
const patienceMs = 2_000

export function addConsume(program: Command, host: Host): void {
  program
    .command('consume')
    .description(
      'Take messages from a queue and print them, one per line; each is acknowledged once it is written',
    )
    .argument('<queue>', 'the queue')
    .option('--count <n>', 'stop after so many', integer(1))
    .option('--follow', 'wait for more when the queue is empty, until Ctrl-C')
    .option('--no-ack', `put them back afterwards (at most ${maximumInHand}); peek does not take them at all`)
    .addHelpText('after', example)
    .action(async (queue: string, _local: unknown, command: Command) => {
      const flags = command.optsWithGlobals<ConsumeFlags>()
      await host.run(flags, () => consume(host, queue, flags))
    })
}

const example = `
Examples:
  $ millrace consume emails --count 10
  $ millrace consume emails --follow --json | jq .data.to
`

async function consume(host: Host, name: string, flags: ConsumeFlags): Promise<number> {
  if (!flags.ack && flags.follow === true) {
    throw new UsageError('--no-ack holds what it prints, so it cannot --follow; use one of them')
  }
  if (!flags.ack && (flags.count ?? 1) > maximumInHand) {
    throw new UsageError(`--no-ack takes a --count of at most ${maximumInHand}; use peek to see more`)
  }
  return host.connected(flags, async (mq) => {
    const printed = await new Consumption(mq, host.terminal, name, flags).run()
    return printed === 0 && flags.follow !== true ? exitCode.notFound : exitCode.ok
  })
}

class Consumption {
  readonly #terminal: Terminal
  readonly #queue: Queue
  readonly #flags: ConsumeFlags
  readonly #limit: number
  readonly #messages: Messages<unknown>
  readonly #held: Job[] = []
  readonly #acks = new Set<Promise<unknown>>()
  #failure: unknown
  #printed = 0

  constructor(mq: Client, terminal: Terminal, name: string, flags: ConsumeFlags) {
    this.#terminal = terminal
    this.#flags = flags
    this.#limit = flags.count ?? (flags.ack ? Infinity : maximumInHand)
    this.#queue = mq.queue(name, { declare: false })
    this.#messages = this.#queue.consume({ prefetch: Math.min(this.#limit, maximumInHand) })
  }

  /** Prints until there is no more to print; says how many. */
  async run(): Promise<number> {
    const stop = (): void => void this.#messages.close().catch(() => undefined)
    this.#terminal.interrupted.addEventListener('abort', stop)
    try {
      while (
        this.#printed < this.#limit &&
        !this.#terminal.interrupted.aborted &&
        this.#failure === undefined
      ) {
        const job = await this.#next()
        if (job === undefined) break
        await this.#print(job)
      }
    } finally {
      this.#terminal.interrupted.removeEventListener('abort', stop)
      await this.#putBack()
      await Promise.all(this.#acks)
      await this.#messages.close()
    }
    if (this.#failure !== undefined) throw this.#failure
    return this.#printed
  }

  /** The next job; undefined when the queue is empty and is not followed. */
  async #next(): Promise<Job | undefined> {
    const next = this.#messages.next()
    if (this.#flags.follow !== true) await this.#waitFor(next)
    const result = await next
    return result.done === true ? undefined : result.value
  }

  /** Resolves when `next` has come, or the queue has no more to give and was let go. */
  async #waitFor(next: Promise<unknown>): Promise<void> {
    const untilMs = Date.now() + patienceMs
    const come = next.then(
      () => true,
      () => true,
    )
    // The first look is soon, for what was there is here by then.
    for (let waitMs = 0; ; waitMs = pollMs) {
      if (await Promise.race([come, delay(waitMs)])) return
      if (!(await this.#exhausted(untilMs))) continue
      // It may have come while we asked: then nothing is ready because we hold it.
      if (await Promise.race([come, delay(0)])) return
      return this.#messages.close()
    }
  }

  async #exhausted(untilMs: number): Promise<boolean> {
    const { ready, paused } = await this.#queue.stats()
    if (ready === 0) return true
    if (Date.now() < untilMs) return false
    const why = paused ? 'is paused' : 'gives them to others'
    this.#terminal.note(`millrace: ${ready.toLocaleString('en')} are ready, but the queue ${why}`)
    return true
  }

  /** A message that could not be written goes back to its place. */
  async #print(job: Job): Promise<void> {
    try {
      await this.#terminal.print(this.#flags.json === true ? jobJson(job) : dataText(job.data))
    } catch (error) {
      await job.release()
      throw error instanceof OutputClosed
        ? error
        : new Error('The output could not be written', { cause: error })
    }
    this.#printed += 1
    if (!this.#flags.ack) {
      this.#held.push(job)
      return
    }
    // The next message is printed meanwhile; how many are under way is bounded by the prefetch.
    const acked = job.ack().catch((error: unknown) => (this.#failure ??= error))
    this.#acks.add(acked)
    void acked.finally(() => this.#acks.delete(acked))
  }

  /** Each to its place: they were delivered in order, and a release without delay keeps a message's place. */
  async #putBack(): Promise<void> {
    await Promise.all(this.#held.map((job) => job.release()))
  }
}

function delay(ms: number): Promise<false> {
  return new Promise((resolve) => setTimeout(resolve, ms, false))
}
