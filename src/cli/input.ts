/** The data of messages to send: from the command line or the standard input. */
import { createInterface } from 'node:readline'
import { MillraceError } from '../model/errors.ts'
import { UsageError, messageOf } from './exit-code.ts'
import type { Terminal } from './terminal.ts'

interface InputOptions {
  /** Text as it is, not JSON. */
  readonly text: boolean
  /** Each line is a message of its own. */
  readonly lines: boolean
  /** The one message sent so many times. */
  readonly count: number
}

/** The messages' data, one after another. @throws UsageError for what is not JSON, with the line's number */
export function messageData(
  terminal: Terminal,
  argument: string | undefined,
  options: InputOptions,
): AsyncIterable<unknown> | Iterable<unknown> {
  if (argument !== undefined) return repeated(parse(argument, options.text, 'the data'), options.count)
  if (terminal.inputIsTerminal) {
    terminal.note(`Reading ${options.lines ? 'one message per line' : 'the message'}; Ctrl-D ends it.`)
  }
  return options.lines ? linesOf(terminal, options.text) : wholeOf(terminal, options)
}

function* repeated(data: unknown, count: number): Iterable<unknown> {
  for (let index = 0; index < count; index++) yield data
}

async function* linesOf(terminal: Terminal, text: boolean): AsyncIterable<unknown> {
  const lines = createInterface({ input: terminal.input, crlfDelay: Infinity })
  const stop = (): void => lines.close()
  terminal.interrupted.addEventListener('abort', stop)
  let number = 0
  try {
    for await (const line of lines) {
      number += 1
      if (line === '' && !text) continue
      yield parse(line, text, `line ${number}`)
    }
  } finally {
    terminal.interrupted.removeEventListener('abort', stop)
  }
  assertNotInterrupted(terminal)
}

async function* wholeOf(terminal: Terminal, options: InputOptions): AsyncIterable<unknown> {
  const chunks: Buffer[] = []
  const stop = (): void => void terminal.input.destroy()
  terminal.interrupted.addEventListener('abort', stop)
  try {
    for await (const chunk of terminal.input as AsyncIterable<Uint8Array>) chunks.push(Buffer.from(chunk))
  } catch (error) {
    assertNotInterrupted(terminal)
    throw error
  } finally {
    terminal.interrupted.removeEventListener('abort', stop)
  }
  assertNotInterrupted(terminal)
  const whole = Buffer.concat(chunks)
    .toString('utf8')
    .replace(/\r?\n$/, '')
  yield* repeated(parse(whole, options.text, 'the standard input'), options.count)
}

function parse(text: string, asText: boolean, what: string): unknown {
  if (asText) return text
  try {
    return JSON.parse(text)
  } catch (error) {
    const found = text.trim() === '' ? 'is empty' : `is not JSON: ${messageOf(error)}`
    throw new UsageError(`${what} ${found}; quote it for the shell ('{"a":1}'), or give --text`, {
      cause: error,
    })
  }
}

function assertNotInterrupted(terminal: Terminal): void {
  if (terminal.interrupted.aborted) throw new MillraceError('ABORTED', 'Interrupted')
}
