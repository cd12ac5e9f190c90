/** What every command shares: the terminal, the engine that `--url` names, and how results and failures are told. */
import { setImmediate as nextTurn } from 'node:timers/promises'
import type { Client } from '../index.ts'
import { MillraceError } from '../model/errors.ts'
import { UsageError, exitCode, exitCodeOf, messageOf } from './exit-code.ts'
import { assertFolder, folderOf } from './folder.ts'
import { OutputClosed } from './terminal.ts'
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

export class Host {
  readonly terminal: Terminal
  /** What the process ends with. */
  code: number = exitCode.ok

  constructor(terminal: Terminal) {
    this.terminal = terminal
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
    mq.on('warning', (message) => this.terminal.note(`millrace: warning: ${message}`))
    mq.on('blocked', (reason) => this.terminal.note(`millrace: sending waits: ${reason}`))
    try {
      // What recovery found is told in the next turn, and a short command would be over by then.
      await nextTurn()
      return await task(mq)
    } finally {
      await mq.close({ timeout: '5s' })
    }
  }

  async #connect(options: SharedOptions & ConnectedOptions): Promise<Client> {
    const url = options.url ?? this.terminal.environment['MQ_URL']
    if (url === undefined || url === '') {
      throw new UsageError('say which engine: give --url, e.g. --url file:./data, or set MQ_URL')
    }
    const folder = folderOf(url)
    if (options.create !== true && folder !== undefined) assertFolder(folder)
    // Loaded here, so that what needs no client (serve, doctor, --help) starts without it.
    const { connect } = await import('../index.ts')
    return connect(url, {
      signal: this.terminal.interrupted,
      ...(options.namespace !== undefined && { namespace: options.namespace }),
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
