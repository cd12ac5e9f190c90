/** Timers of any length: `setTimeout` counts in 32 bits, and what is longer would fire at once. */

const longestMs = 2_147_483_647

/** Calls back once, after so long; returns what calls it off. */
export function after(delayMs: number, callback: () => void): () => void {
  let timer: NodeJS.Timeout
  const wait = (leftMs: number): void => {
    const nextMs = Math.min(leftMs, longestMs)
    timer = setTimeout(() => (leftMs > nextMs ? wait(leftMs - nextMs) : callback()), nextMs)
  }
  wait(delayMs)
  return () => clearTimeout(timer)
}

/** Waits for the work, for so long at most (undefined: until it is done); says whether it was done in time. */
export async function within(timeoutMs: number | undefined, work: Promise<unknown>): Promise<boolean> {
  const done = work.then(() => true)
  if (timeoutMs === undefined) return done
  let callOff: () => void = () => undefined
  const late = new Promise<false>((resolve) => (callOff = after(timeoutMs, () => resolve(false))))
  return Promise.race([done, late]).finally(callOff)
}
