/** Purging: every ready or delayed entry of a queue leaves at once, in one record however many they are. */
import type { Kernel } from './kernel.ts'
import type { Queue } from './queue.ts'

/** Drops the entries and says how many; those in consumers' hands stay. */
export function purgeQueue(kernel: Kernel, queue: Queue, state: 'ready' | 'delayed' | 'all'): number {
  let messages = 0
  const survivors = heldSeqs(kernel, queue)
  // Keys' owners that became due are ready, and on record as held back.
  queue.forEachDue((entry) => {
    if (state === 'ready' && entry.stored) kernel.journal.settled(entry.seq)
    if (state === 'delayed') survivors.push(entry.seq)
  })
  if (state !== 'delayed') messages += queue.clearReady()
  if (state !== 'ready') {
    messages += queue.delayed.length
    queue.delayed.clear()
    queue.freeDelayedKeys()
  }
  if (messages > 0 && (queue.persistent || kernel.pager !== undefined)) {
    survivors.sort((a, b) => a - b)
    kernel.journal.purged({ queueId: queue.id, throughSeq: kernel.nextSeq - 1, state, survivors })
  }
  return messages
}

/** The entries of a queue in consumers' hands. */
function heldSeqs(kernel: Kernel, queue: Queue): number[] {
  const seqs: number[] = []
  if (queue.unackedMessages === 0) return seqs
  for (const session of kernel.sessions) {
    session.forEachOutstanding((delivery) => {
      if (delivery.queue === queue) seqs.push(delivery.entry.seq)
    })
  }
  return seqs
}
