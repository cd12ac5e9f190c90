/** When things happen: injected, so that the simulation decides it. */
export interface Scheduler {
  /** Calls back when what runs now, with its microtasks, is over. */
  endOfTurn(callback: () => void): void
  /** Calls back when the function that runs now has returned, before anything else is read from outside. */
  soon(callback: () => void): void
  /** Calls back once after so many ms; the result calls it off. The process lives on for it when somebody waits for it. */
  after(ms: number, callback: () => void, isAwaited?: boolean): () => void
}

export const nodeScheduler: Scheduler = {
  endOfTurn: (callback) => {
    setImmediate(callback)
  },
  soon: (callback) => {
    queueMicrotask(callback)
  },
  after: (ms, callback, isAwaited = false) => {
    const timer = setTimeout(callback, ms)
    if (!isAwaited) timer.unref()
    return () => {
      clearTimeout(timer)
    }
  },
}

/** Lets everything else that is ready run first. */
export function nextTurn(scheduler: Scheduler): Promise<void> {
  return new Promise<void>((resolve) => {
    scheduler.endOfTurn(resolve)
  })
}
