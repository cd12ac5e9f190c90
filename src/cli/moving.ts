/** Moving messages from queue to queue in parts, so that it can be watched and interrupted. */
import type { Client } from '../index.ts'
import { Progress } from './progress.ts'
import type { Terminal } from './terminal.ts'

/** Messages moved in one call. */
const part = 1_000

export interface Move {
  readonly from: string
  readonly to: string
  /** At most so many, else what is ready at the start: what arrives meanwhile stays. */
  readonly limit: number | undefined
}

/** Says how many were moved; stops early when interrupted. */
export async function moveMessages(mq: Client, terminal: Terminal, move: Move): Promise<number> {
  const { ready } = await mq.queue(move.from, { declare: false }).stats()
  const total = Math.min(ready, move.limit ?? Infinity)
  const progress = new Progress(terminal, 'moving', total)
  try {
    while (progress.done < total && !terminal.interrupted.aborted) {
      const limit = Math.min(part, total - progress.done)
      const moved = await mq.move(move.from, move.to, { limit })
      if (moved === 0) break
      progress.advance(moved)
    }
  } finally {
    progress.end()
  }
  return progress.done
}
