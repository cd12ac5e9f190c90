/** What every handle of one connection shares: the driver, the outbox, what is declared, and who must be closed. */
import { ClosedError } from '../model/errors.ts'
import type { Declarations } from './declarations.ts'
import type { Capabilities, Driver } from './driver.ts'
import type { Outbox } from './outbox.ts'

export interface Link {
  readonly driver: Driver
  readonly capabilities: Capabilities
  readonly outbox: Outbox
  readonly declarations: Declarations
  /** Makes something that is closed with the connection unless it was before. */
  keep<T extends Closable>(make: (onClosed: (closed: T) => void) => T): T
  /** @throws ClosedError */
  assertOpen(): void
}

export interface Closable {
  /** @internal The connection closes. @param timeoutMs what runs longer is handed back */
  closeWithConnection(timeoutMs: number | undefined): Promise<void>
}

export function closedError(): ClosedError {
  return new ClosedError('The connection is closed; call connect() for a new one')
}
