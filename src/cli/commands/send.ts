/** `millrace send`: messages from the command line or the standard input into a queue. */
import { Option } from 'commander'
import type { Command } from 'commander'
import type { Client, SendOptions, Sent } from '../../index.ts'
import { MillraceError } from '../../model/errors.ts'
import { untilAborted } from '../../client/wait.ts'
import { duration, header, integer } from '../arguments.ts'
import { UsageError, exitCode } from '../exit-code.ts'
import { counted } from '../format.ts'
import type { Host, SharedOptions } from '../host.ts'
import { messageData } from '../input.ts'
import { Progress } from '../progress.ts'
import { momentAfter } from '../terminal.ts'
import type { Terminal } from '../terminal.ts'

interface SendFlags extends SharedOptions {
  readonly text?: boolean
  readonly lines?: boolean
  readonly count?: number
  readonly delay?: number
  readonly ttl?: number
  readonly priority?: number
  readonly id?: string
  readonly key?: string
  readonly header?: Readonly<Record<string, string>>
  readonly dedupe?: string
  readonly window: number
  readonly declare?: boolean
}

/** Sends that wait for the engine at once. */
const maximumUnderWay = 1_000
/** What is under way when Ctrl-C is pressed: a server that takes nothing must not hold up the end. */
const graceMs = 1_000

export function addSend(program: Command, host: Host): void {
  program
    .command('send')
    .description('Send a message to a queue; data comes from the command line or the standard input')
    .argument('<queue>', 'the queue')
    .argument('[data]', 'JSON, or text with --text (default: the standard input)')
    .option('--text', 'the data is text, not JSON')
    .addOption(new Option('--lines', 'each line of the input is a message').conflicts('count'))
    .option('--count <n>', 'send the same message so many times', integer(1))
    .option('--delay <duration>', 'not delivered before, e.g. 5m', duration)
    .option('--ttl <duration>', 'dead-lettered when it waits longer', duration)
    .option('--priority <level>', '0 to 255, higher first, where the queue has priorities', integer(0, 255))
    .option('--id <id>', 'its message id (default: a new one)')
    .option('--key <key>', 'messages of one key are handled in order, one at a time')
    .option('--header <name=value>', 'a header; may be repeated', header)
    .option('--dedupe <key>', 'stored once for each key within the --window')
    .addOption(
      new Option('--window <duration>', 'how long --dedupe remembers a key')
        .argParser(duration)
        .default(300_000, '5m'),
    )
    .option('--declare', 'make the queue (and data folder) if it is missing')
    .addHelpText('after', example)
    .action(async (queue: string, data: string | undefined, _local: unknown, command: Command) => {
      const flags = command.optsWithGlobals<SendFlags>()
      await host.run(flags, () => send(host, queue, data, flags))
    })
}

const example = `
Examples:
  $ millrace send emails '{"to":"a@b.c"}' --delay 5m
  $ millrace send log --text --lines < access.log
`

async function send(
  host: Host,
  name: string,
  argument: string | undefined,
  flags: SendFlags,
): Promise<number> {
  const { terminal } = host
  if (argument !== undefined && flags.lines === true) {
    throw new UsageError('--lines reads the standard input; leave out the data')
  }
  if (flags.id !== undefined && (flags.lines === true || (flags.count ?? 1) > 1)) {
    throw new UsageError('--id names one message; leave it out with --lines or --count')
  }
  const data = messageData(terminal, argument, {
    text: flags.text === true,
    lines: flags.lines === true,
    count: flags.count ?? 1,
  })
  return host.connected({ ...flags, create: flags.declare === true }, (mq) =>
    sendAll(mq, terminal, name, data, flags),
  )
}

async function sendAll(
  mq: Client,
  terminal: Terminal,
  name: string,
  data: AsyncIterable<unknown> | Iterable<unknown>,
  flags: SendFlags,
): Promise<number> {
  const queue = mq.queue(name, { declare: flags.declare === true })
  await queue.declare().catch((error: unknown) => {
    throw withHint(error, name)
  })
  const options = sendOptions(flags)
  const report = new Report(terminal, name, flags)
  const patience = momentAfter(terminal.interrupted, graceMs)
  // Told in the order they were given, while later ones are under way.
  let told: Promise<void> = Promise.resolve()
  let failure: unknown
  let begun = 0
  try {
    for await (const body of data) {
      if (failure !== undefined) break
      if (terminal.interrupted.aborted) throw new MillraceError('ABORTED', 'Interrupted')
      const sent = queue.send(body, options)
      sent.catch((error: unknown) => (failure ??= error))
      told = told.then(async () => report.tell(await sent))
      told.catch((error: unknown) => (failure ??= error))
      begun += 1
      if (begun % maximumUnderWay === 0) await untilAborted(patience, told)
    }
  } catch (error) {
    failure ??= error
  }
  await untilAborted(patience, told).catch((error: unknown) => (failure ??= error))
  if (failure === undefined) return report.end()
  report.broken(terminal.interrupted.aborted ? begun : 0)
  throw failure
}

function sendOptions(flags: SendFlags): SendOptions {
  const { delay, ttl, priority, id, key, header, dedupe, window } = flags
  return {
    ...(delay !== undefined && { delay }),
    ...(ttl !== undefined && { ttl }),
    ...(priority !== undefined && { priority }),
    ...(id !== undefined && { id }),
    ...(key !== undefined && { key }),
    ...(header !== undefined && { headers: header }),
    ...(dedupe !== undefined && { dedupe: { key: dedupe, window } }),
  }
}

function withHint(error: unknown, name: string): unknown {
  if (!(error instanceof MillraceError) || error.code !== 'NOT_FOUND') return error
  return new MillraceError('NOT_FOUND', `There is no queue ${name}; --declare makes it`, { cause: error })
}

/** Says what became of the messages. */
class Report {
  readonly #terminal: Terminal
  readonly #queue: string
  readonly #json: boolean
  readonly #progress: Progress
  #duplicates = 0
  #last: Sent | undefined

  constructor(terminal: Terminal, queue: string, flags: SendFlags) {
    this.#terminal = terminal
    this.#queue = queue
    this.#json = flags.json === true
    this.#progress = new Progress(terminal, 'sending', flags.count)
  }

  async tell(sent: Sent): Promise<void> {
    this.#progress.advance(1)
    this.#last = sent
    if (sent.duplicate) this.#duplicates += 1
    if (this.#json) await this.#terminal.print(JSON.stringify(sent))
  }

  /**
   * It ends before the input does: what went before it is in the queue.
   * @param begun how many were sent, where nobody waited for the rest of them
   */
  broken(begun: number): void {
    this.#progress.end()
    const { done } = this.#progress
    if (done > 0)
      this.#terminal.note(`millrace: ${counted(done, 'message')} went to ${this.#queue} before this`)
    if (begun > done) {
      this.#terminal.note(
        `millrace: ${counted(begun - done, 'message')} may have gone to ${this.#queue} or not`,
      )
    }
  }

  async end(): Promise<number> {
    this.#progress.end()
    if (!this.#json) await this.#terminal.print(this.#summary())
    return exitCode.ok
  }

  #summary(): string {
    const { done } = this.#progress
    if (done === 1 && this.#last !== undefined) {
      const { id, duplicate } = this.#last
      return duplicate
        ? `Not sent: ${this.#queue} was given a message with this dedupe key before (id ${id})`
        : `Sent to ${this.#queue} (id ${id})`
    }
    const stored = counted(done - this.#duplicates, 'message')
    const duplicates = this.#duplicates === 0 ? '' : `; ${counted(this.#duplicates, 'duplicate')} left out`
    return `Sent ${stored} to ${this.#queue}${duplicates}`
  }
}
