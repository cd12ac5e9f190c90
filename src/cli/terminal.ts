/**
 * The one seam between the command line and the process: its streams, environment and signals. Tests hand in their own.
 */
import { createInterface } from 'node:readline/promises'
import type { Readable, Writable } from 'node:stream'
import { styleText } from 'node:util'

interface TerminalSetup {
  readonly input: Readable & { readonly isTTY?: boolean }
  readonly output: Writable & { readonly isTTY?: boolean; readonly columns?: number }
  readonly errors: Writable & { readonly isTTY?: boolean; readonly columns?: number }
  readonly environment: Readonly<Record<string, string | undefined>>
  /** Aborts at Ctrl-C. */
  readonly interrupted: AbortSignal
}

/** Whoever read our output went away (EPIPE): there is nobody left to write to, and nothing to complain about. */
export class OutputClosed extends Error {
  constructor() {
    super('The output was closed')
    this.name = 'OutputClosed'
  }
}

type Style = 'bold' | 'dim' | 'red' | 'green' | 'yellow' | 'cyan'

export class Terminal {
  readonly input: Readable
  readonly environment: Readonly<Record<string, string | undefined>>
  readonly interrupted: AbortSignal
  readonly #setup: TerminalSetup
  #closed = false

  constructor(setup: TerminalSetup) {
    this.#setup = setup
    this.input = setup.input
    this.environment = setup.environment
    this.interrupted = setup.interrupted
    setup.output.on('error', () => (this.#closed = true))
    setup.errors.on('error', () => undefined)
  }

  get inputIsTerminal(): boolean {
    return this.#setup.input.isTTY === true
  }

  get outputIsTerminal(): boolean {
    return this.#setup.output.isTTY === true
  }

  get errorsIsTerminal(): boolean {
    return this.#setup.errors.isTTY === true
  }

  /** Width in characters where the output is a terminal, else no limit. */
  get columns(): number {
    return this.outputIsTerminal ? this.#setup.output.columns || 80 : Infinity
  }

  /**
   * Writes one line; resolves when the operating system has it.
   * @throws OutputClosed
   */
  print(line: string): Promise<void> {
    return this.write(`${line}\n`)
  }

  write(text: string): Promise<void> {
    if (this.#closed) return Promise.reject(new OutputClosed())
    return new Promise((resolve, reject) => {
      this.#setup.output.write(text, (error) => {
        if (error === undefined || error === null) return resolve()
        this.#closed = true
        reject((error as NodeJS.ErrnoException).code === 'EPIPE' ? new OutputClosed() : error)
      })
    })
  }

  /** To the error stream, for people: never part of the result. */
  note(text: string): void {
    this.writeNote(`${text}\n`)
  }

  writeNote(text: string): void {
    this.#setup.errors.write(text)
  }

  /** Coloured where the output is a terminal that has colours and the user did not say NO_COLOR. */
  style(style: Style, text: string): string {
    const plain = !this.outputIsTerminal || Boolean(this.environment['NO_COLOR'])
    return plain ? text : styleText(style, text)
  }

  /** Asks a question and waits for the answer; '' where the input ends, or Ctrl-C is pressed. */
  async ask(question: string): Promise<string> {
    if (this.interrupted.aborted) return ''
    const { input, errors } = this.#setup
    const lines = createInterface({ input, output: errors })
    const close = (): void => lines.close()
    // While it asks, the terminal hands Ctrl-C to us instead of sending the signal.
    lines.once('SIGINT', close)
    this.interrupted.addEventListener('abort', close)
    try {
      const closed = new Promise<string>((resolve) => lines.once('close', () => resolve('')))
      return await Promise.race([lines.question(question), closed])
    } finally {
      this.interrupted.removeEventListener('abort', close)
      lines.close()
    }
  }
}

/** Aborts so long after the other one. */
export function momentAfter(interrupted: AbortSignal, ms: number): AbortSignal {
  const controller = new AbortController()
  const begin = (): void => void setTimeout(() => controller.abort(), ms).unref()
  if (interrupted.aborted) begin()
  else interrupted.addEventListener('abort', begin, { once: true })
  return controller.signal
}
