/** Asserts that stay on in production: they catch our own bugs before those reach a disk. */
export function assert(condition: unknown, message: string): asserts condition {
  if (!condition) throw new AssertionError(message)
}

/** A bug in Millrace, never a mistake of a caller or peer. */
export class AssertionError extends Error {
  constructor(message: string) {
    super(`${message} (this is a bug in Millrace)`)
    this.name = 'AssertionError'
  }
}
