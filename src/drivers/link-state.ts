/**
 * The life of one connection to the server, as a state machine.
 *
 * ```text
 *               connected                restored
 *  connecting ────────────▶ restoring ────────────▶ up ◀─┐ steady: the count of failures
 *    ▲     │                    │                   │ └──┘ starts anew
 *    │due  │ failed             │ failed            │ failed
 *    │     ▼                    ▼                   ▼
 *  waiting ◀────────────────────┴───────────────────┘
 *
 *  any state ── close ──▶ closed
 * ```
 *
 * `failed` is every way to lose or not to get a connection: refused, unreachable, cut, silent for too long, closed by the
 * server, or its topology could not be restored. `failures` counts them in a row; the wait grows with it.
 */

export type LinkState =
  | { readonly type: 'connecting'; readonly failures: number }
  /** Connected; topology and consumers are being restored. */
  | { readonly type: 'restoring'; readonly failures: number }
  | { readonly type: 'up'; readonly failures: number }
  /** For the time to connect again. */
  | { readonly type: 'waiting'; readonly failures: number; readonly cause: Error }
  | { readonly type: 'closed' }

export type LinkEvent =
  | { readonly type: 'connected' | 'restored' | 'steady' | 'due' | 'close' }
  | { readonly type: 'failed'; readonly cause: Error }

export const firstLinkState: LinkState = { type: 'connecting', failures: 0 }

/** The state after the event; the same one where the event means nothing in it: it came late. */
export function nextLinkState(state: LinkState, event: LinkEvent): LinkState {
  if (state.type === 'closed') return state
  const { failures } = state
  switch (event.type) {
    case 'connected':
      return state.type === 'connecting' ? { type: 'restoring', failures } : state
    case 'restored':
      return state.type === 'restoring' ? { type: 'up', failures } : state
    case 'steady':
      return state.type === 'up' ? { type: 'up', failures: 0 } : state
    case 'failed':
      return state.type === 'waiting'
        ? state
        : { type: 'waiting', failures: failures + 1, cause: event.cause }
    case 'due':
      return state.type === 'waiting' ? { type: 'connecting', failures } : state
    case 'close':
      return { type: 'closed' }
  }
}

const firstWaitMs = 100
const longestWaitMs = 10_000
const jitter = 0.2

/** The wait before the next try: doubled each time, spread so that not all clients come back at the same moment. */
export function reconnectDelayMs(failures: number, chance: number = Math.random()): number {
  const doubled = firstWaitMs * 2 ** Math.min(failures - 1, 16)
  return Math.round(Math.min(doubled, longestWaitMs) * (1 + jitter * (2 * chance - 1)))
}
