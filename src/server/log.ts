/**
 * What the server tells its operator: one line a fact, for people or for machines. Facts, not prose: an event's name and
 * its fields, so that both forms say the same.
 *
 *   text  2026-11-21T12:00:00.000Z info  connection opened  id=7 peer=127.0.0.1:50312 user=guest vhost=/
 *   json  {"time":"2026-11-21T12:00:00.000Z","level":"info","event":"connection opened","id":7,…}
 *
 * Written here in fifty lines because a broker writes a handful of lines a connection: pino is built for thousands a
 * second and brings eleven packages.
 */
export type LogLevel = 'debug' | 'info' | 'warn' | 'error'

export const logLevels: readonly LogLevel[] = ['debug', 'info', 'warn', 'error']

export type LogFields = Readonly<Record<string, string | number | boolean | undefined>>

export interface Log {
  debug(event: string, fields?: LogFields): void
  info(event: string, fields?: LogFields): void
  warn(event: string, fields?: LogFields): void
  error(event: string, fields?: LogFields): void
}

export interface LogOptions {
  readonly format: 'text' | 'json'
  /** Facts below it are left out. */
  readonly level: LogLevel
  /** Takes a line, its end included. */
  readonly write: (line: string) => void
  readonly now?: () => Date
}

/** A log that says nothing. */
export const silentLog: Log = { debug: ignore, info: ignore, warn: ignore, error: ignore }

/** A log that writes lines. */
export function createLog(options: LogOptions): Log {
  const { format, write, now = () => new Date() } = options
  const least = logLevels.indexOf(options.level)
  const at =
    (level: LogLevel) =>
    (event: string, fields: LogFields = {}): void => {
      const time = now().toISOString()
      write(format === 'json' ? jsonLine(time, level, event, fields) : textLine(time, level, event, fields))
    }
  const from = (level: LogLevel) => (logLevels.indexOf(level) >= least ? at(level) : ignore)
  return { debug: from('debug'), info: from('info'), warn: from('warn'), error: from('error') }
}

function jsonLine(time: string, level: LogLevel, event: string, fields: LogFields): string {
  return `${JSON.stringify({ time, level, event, ...fields })}\n`
}

function textLine(time: string, level: LogLevel, event: string, fields: LogFields): string {
  const told = Object.entries(fields)
    .filter(([, value]) => value !== undefined)
    .map(([name, value]) => `${name}=${show(value)}`)
    .join(' ')
  return `${time} ${level.padEnd(5)} ${event}${told === '' ? '' : `  ${told}`}\n`
}

/** Quoted where it would not be read back as one word; what a peer chose may hold anything. */
function show(value: string | number | boolean | undefined): string {
  return typeof value === 'string' && !/^[\w.:/@+-]+$/.test(value) ? JSON.stringify(value) : String(value)
}

function ignore(): void {
  return
}
