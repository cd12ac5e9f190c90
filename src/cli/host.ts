/** What every command shares: the terminal, the engine that `--url` names, and how results and failures are told. */
import { setImmediate as nextTurn } from 'node:timers/promises'
import type { Client } from '../index.ts'
import { within } from '../client/timer.ts'
import { untilAborted } from '../client/wait.ts'
import { MillraceError } from '../model/errors.ts'
import { UsageError, exitCode, exitCodeOf, messageOf } from './exit-code.ts'
import { assertFolder, folderOf } from './folder.ts'
import { OutputClosed, momentAfter } from './terminal.ts'
import type { Terminal } from './terminal.ts'

/** Options that every command takes. */
export interface SharedOptions {
  readonly url?: string
  readonly namespace?: string
  readonly json?: boolean
  readonly debug?: boolean
}

interface ConnectedOptions {
  /** A data folder that is missing is made; else it is an error, for it is most likely a typing mistake. */
  readonly create?: boolean
}

/** The broker on this machine, as `millrace serve` starts it and RabbitMQ too: for who names no engine. */
const localBroker = 'amqp://127.0.0.1:5672'

/** How long a connection may be away before it is told. */
const patienceMs = 500
/** For a command to finish what it has in hand after Ctrl-C: a server that does not answer must not hold up the end. */
const graceMs = 3_000

export class Host {
  readonly terminal: Terminal
  /** What the process ends with. */
  code: number = exitCode.ok
  readonly #localBroker: string

  constructor(terminal: Terminal, broker = localBroker) {
    this.terminal = terminal
    this.#localBroker = broker
  }

  /** Runs a command; what it returns or throws becomes the exit code. */
  async run(options: SharedOptions, task: () => Promise<number>): Promise<void> {
    try {
      this.code = await task()
    } catch (error) {
      this.code = this.#report(error, options)
    }
  }

  /** Opens the engine for a task and closes it, whatever happens. */
  async connected(
    options: SharedOptions & ConnectedOptions,
    task: (mq: Client) => Promise<number>,
  ): Promise<number> {
    const mq = await this.#connect(options)
    this.#tell(mq)
    try {
      // What recovery found is told in the next turn, and a short command would be over by then.
      await nextTurn()
      return await untilAborted(momentAfter(this.terminal.interrupted, graceMs), task(mq))
    } finally {
      await this.#close(mq)
    }
  }

  async #connect(options: SharedOptions & ConnectedOptions): Promise<Client> {
    // Most likely a variable of a script that is not set: what it meant is nobody's guess.
    if (options.url === '')
      throw new UsageError('--url is empty: give one, e.g. --url file:./data, or leave it out')
    const named = options.url ?? this.terminal.environment['MQ_URL'] ?? ''
    const folder = folderOf(named)
    if (options.create !== true && folder !== undefined) assertFolder(folder)
    try {
      return await this.#open(named === '' ? this.#localBroker : named, options)
    } catch (error) {
      if (named !== '' || !(error instanceof MillraceError) || error.code !== 'UNREACHABLE') throw error
      throw new UsageError(
        `no engine is named, and no broker answers on this machine (${this.#localBroker}): give --url, e.g. --url file:./data, set MQ_URL, ` +
          'or start the broker with `millrace serve`',
        { cause: error },
      )
    }
  }

  async #open(url: string, options: SharedOptions): Promise<Client> {
    // Loaded here, so that what needs no client (serve, doctor, --help) starts without it.
    const { connect } = await import('../index.ts')
    return connect(url, {
      signal: this.terminal.interrupted,
      ...(options.namespace !== undefined && { namespace: options.namespace }),
    })
  }

  /** Who pressed Ctrl-C wants to go, also where the server does not answer. */
  async #close(mq: Client): Promise<void> {
    const { interrupted } = this.terminal
    if (interrupted.aborted) await within(graceMs, mq.close({ timeout: '1s' }))
    else await mq.close({ timeout: '5s' })
  }

  /** What happens to the connection meanwhile, lest a command that waits seem to hang. */
  #tell(mq: Client): void {
    const { terminal } = this
    mq.on('warning', (message) => terminal.note(`millrace: warning: ${message}`))
    mq.on('blocked', (reason) => terminal.note(`millrace: sending waits: ${reason}`))
    mq.on('unblocked', () => terminal.note('millrace: sending goes on'))
    let outage: NodeJS.Timeout | undefined
    mq.on('down', (cause) => {
      // One that is over soon is nobody's concern, and one that ends the command is its error.
      outage = setTimeout(() => {
        outage = undefined
        terminal.note(`millrace: ${cause.message}; connecting again`)
      }, patienceMs).unref()
    })
    mq.on('up', () => {
      if (outage === undefined) terminal.note('millrace: connected again')
      clearTimeout(outage)
    })
  }

  #report(error: unknown, options: SharedOptions): number {
    if (error instanceof OutputClosed) return exitCode.ok
    const code = exitCodeOf(error)
    if (code === exitCode.interrupted && this.terminal.interrupted.aborted) return code
    this.terminal.note(`millrace: ${messageOf(error)}${codeOf(error)}`)
    if (options.debug === true || this.terminal.environment['MILLRACE_DEBUG'])
      this.terminal.note(trace(error))
    return code
  }
}

function codeOf(error: unknown): string {
  if (error instanceof UsageError) return ''
  return error instanceof MillraceError ? ` (${error.code})` : ' (unexpected; --debug shows where)'
}

/** The stack and those of its causes. */
function trace(error: unknown): string {
  const stacks: string[] = []
  for (let at: unknown = error; at instanceof Error && stacks.length < 10; at = at.cause) {
    stacks.push(`${stacks.length === 0 ? '' : 'caused by '}${at.stack ?? at.message}`)
  }
  return stacks.join('\n')
}
