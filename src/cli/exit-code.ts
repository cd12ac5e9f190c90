/** What the process says to the shell, and how an error becomes one of them. */
import { MillraceError } from '../model/errors.ts'

export const exitCode = {
  ok: 0,
  /** It went wrong: the engine refused, the disk is full, the folder is in use. */
  failure: 1,
  /** The command line is not understood, or an option's value is not valid; nothing was done. */
  usage: 2,
  /** The queue or folder is not there, or there was no message to print. */
  notFound: 3,
  /** Ctrl-C, before the work was done. */
  interrupted: 130,
} as const

/** Codes of errors that the command line's own words cause. */
const usageCodes = new Set<string>([
  'INVALID_URL',
  'UNKNOWN_SCHEME',
  'INVALID_OPTION',
  'INVALID_NAME',
  'INVALID_ARGUMENT',
  'UNSERIALIZABLE',
])

export function exitCodeOf(error: unknown): number {
  if (error instanceof UsageError) return exitCode.usage
  if (isAborted(error)) return exitCode.interrupted
  if (!(error instanceof MillraceError)) return exitCode.failure
  if (error.code === 'NOT_FOUND') return exitCode.notFound
  return usageCodes.has(error.code) ? exitCode.usage : exitCode.failure
}

/** A wait that was called off, by us or by Node.js. */
function isAborted(error: unknown): boolean {
  return error instanceof MillraceError
    ? error.code === 'ABORTED'
    : error instanceof Error && error.name === 'AbortError'
}

/** The command line cannot be carried out as it is written. */
export class UsageError extends Error {
  constructor(message: string, options?: { cause?: unknown }) {
    super(message, options)
    this.name = 'UsageError'
  }
}

/** Anything can be thrown. */
export function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error)
}
